//! What the menu takes once: an entry on trial.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{ONE, Tree};

#[test]
fn what_is_on_trial_is_taken_once_and_only_where_that_can_be_noted() {
    let tree = Tree::new();
    tree.write("deploy-vfio/trial.toml", "entry = \"deploy-vfio-x\"\n");
    assert_eq!(tree.run(&[]).0, "", "nothing is tried without an entry");
    tree.entry("deploy-vfio-trial", ONE);
    let (menu, _) = tree.run(&[]);
    let script = menu.rsplit_once("}\n").unwrap().1;
    // The variable is cleared before the entry is taken, and it is not taken where that fails.
    assert_eq!(
        script,
        "if [ -n \"${dv_next}\" ]; then\n  set dv_tried=\"${dv_next}\"\n  set dv_next=\n  \
         if save_env dv_next dv_tried; then\n    set default=\"${dv_tried}\"\n  fi\nfi\n"
    );
    fs::remove_file(tree.etc.join("deploy-vfio/trial.toml")).unwrap();
    assert!(!tree.run(&[]).0.contains("dv_next"));
}

#[test]
fn where_grub_cannot_write_beside_its_menu_the_firmware_s_partition_serves() {
    let tree = Tree::new();
    tree.write(
        "deploy-vfio/trial.toml",
        "entry = \"x\"\nvariables = \"boot/efi/EFI/deploy-vfio.grubenv\"\n",
    );
    tree.entry("deploy-vfio-trial", ONE);
    let bin = tree.root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let probe = |script: &str| {
        fs::write(bin.join("grub-probe"), script).unwrap();
        fs::set_permissions(bin.join("grub-probe"), fs::Permissions::from_mode(0o755)).unwrap();
        tree.run(&[("PATH", &format!("{}:/usr/bin:/bin", bin.display()))])
    };
    let (menu, _) = probe("#!/bin/sh\ncase $2 in */boot/efi) echo 5E1F-C0DE ;; esac\n");
    let script = menu.rsplit_once("}\n").unwrap().1;
    assert_eq!(
        script,
        "insmod part_gpt\ninsmod part_msdos\ninsmod fat\nset dv_next=\n\
         search --no-floppy --fs-uuid --set=dv_disk 5E1F-C0DE\n\
         load_env --file (${dv_disk})/EFI/deploy-vfio.grubenv dv_next\n\
         if [ -n \"${dv_next}\" ]; then\n  set dv_tried=\"${dv_next}\"\n  set dv_next=\n  \
         if save_env --file (${dv_disk})/EFI/deploy-vfio.grubenv dv_next dv_tried; then\n    \
         set default=\"${dv_tried}\"\n  fi\nfi\n"
    );
    for script in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho '$(x)'\n"] {
        let (menu, warnings) = probe(script);
        assert!(!menu.contains("dv_next") && warnings.contains("nothing is tried"), "{menu}");
    }
}

#[test]
fn an_entry_on_trial_does_not_become_the_default_by_being_started() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-0000:01:00.0", ONE);
    tree.entry("deploy-vfio-trial", ONE);
    let (menu, _) = tree.run(&[("GRUB_SAVEDEFAULT", "true")]);
    let (before, trial) = menu.split_once("'deploy-vfio-trial' {").unwrap();
    assert!(before.contains("savedefault") && !trial.contains("savedefault"), "{menu}");
}

//! What the original got wrong about the files that it wrote; each test is named after the number
//! of the mistake.

use std::{fs, path::Path};

use vfio_testkit::{Stage, Tree, boot_menu};

use crate::original::{done, run, stage, tree};

/// All features at once.
const ALL: &str = "-h 2M 64 --cpu --evdev --parse vga --multiboot last --yes";

const SETUPS: [&str; 4] = [
    "--parse all --multiboot last --yes",
    "--parse vga --static grub --yes",
    "--parse vga --static file --yes",
    "-h 2M 64 --cpu --evdev --skip-vfio-setup --yes",
];

fn text(stage: &Stage, path: &str) -> String {
    fs::read_to_string(stage.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn names(stage: &Stage, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(stage.path().join(dir)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files that are new or other than `before`, and their texts.
fn written(before: &Tree, stage: &Stage) -> Vec<(String, String)> {
    let now = tree(stage);
    let new = now.0.iter().filter(|(path, now)| before.0.get(*path) != Some(now));
    let files = new.filter(|(path, _)| stage.path().join(path).is_file());
    files.map(|(path, _)| (path.clone(), text(stage, path))).collect()
}

#[test]
fn b19_the_settings_of_grub_stay_as_the_user_has_them() {
    let own = "GRUB_DEFAULT=saved\nGRUB_TIMEOUT=3\nGRUB_DISABLE_OS_PROBER=false\n\
               GRUB_CMDLINE_LINUX_DEFAULT='quiet'\n\
               GRUB_CMDLINE_LINUX=\"cryptdevice=UUID=1:root resume=/dev/x\" # mine\n";
    for line in SETUPS {
        let stage = stage("many-inputs");
        fs::write(stage.path().join("etc/default/grub"), own).unwrap();
        done(&stage, line);
        assert_eq!(text(&stage, "etc/default/grub"), own, "{line}");
        let menu = boot_menu(stage.path()).unwrap().stdout;
        let kernels: Vec<_> =
            menu.lines().filter(|l| l.trim_start().starts_with("linux")).collect();
        let kept = |l: &&&str| l.contains("cryptdevice=UUID=1:root resume=/dev/x");
        assert!(!kernels.is_empty() && kernels.iter().all(|l| kept(&l)), "{line}: {menu}");
        done(&stage, "--uninstall-pre-setup --uninstall-vfio-setup --yes");
        assert_eq!(text(&stage, "etc/default/grub"), own, "{line}");
    }
}

#[test]
fn b19a_no_parameter_is_there_by_habit_and_none_is_empty() {
    const HABITS: [&str; 11] = [
        "rfkill.",
        "systemd.restore_state",
        "acpi=",
        "apm=",
        "pcie_aspm",
        "efifb:off",
        "vesafb:off",
        "ignore_msrs",
        "modprobe.blacklist",
        "pci_stub",
        "amd_iommu=on",
    ];
    for line in SETUPS {
        let stage = stage("many-inputs");
        done(&stage, line);
        let menu = boot_menu(stage.path()).unwrap().stdout;
        for line in menu.lines().filter(|line| line.trim_start().starts_with("linux")) {
            assert!(!HABITS.iter().any(|habit| line.contains(habit)), "{line}");
            assert!(line.split_whitespace().all(|word| !word.ends_with('=')), "{line}");
        }
    }
}

#[test]
fn b20_b21_b26a_the_users_own_entries_stay_and_nothing_is_left_beside_them() {
    for line in SETUPS {
        let stage = stage("two-gpus");
        let own = "#!/bin/sh\nexec tail -n +3 $0\nmenuentry 'my+' {\n\ttrue\n}\n";
        fs::write(stage.path().join("etc/grub.d/40_custom"), own).unwrap();
        let before = names(&stage, "etc/grub.d");
        // A plan that is replaced by another, and one that is taken back.
        done(&stage, "multiboot first --yes");
        done(&stage, line.replace("--evdev ", "").as_str());
        done(&stage, "undo --yes");
        done(&stage, "redo --yes");
        let mut now = names(&stage, "etc/grub.d");
        now.retain(|name| name != "45_deploy-vfio");
        assert_eq!(now, before, "{line}");
        assert_eq!(text(&stage, "etc/grub.d/40_custom"), own, "{line}");
    }
}

#[test]
fn b22_new_kernels_get_entries_and_removed_ones_leave_none() {
    let stage = stage("two-gpus");
    done(&stage, "multiboot last --yes");
    let ours = || {
        let menu = boot_menu(stage.path()).unwrap();
        assert_eq!((menu.code, menu.stderr.as_str()), (0, ""), "{}", menu.stdout);
        let lines = menu.stdout.lines().filter(|line| line.contains("deploy_vfio.bind="));
        let releases = lines.filter_map(|line| line.split("vmlinuz-").nth(1)?.split(' ').next());
        let mut releases: Vec<_> = releases.map(str::to_owned).collect();
        releases.dedup();
        releases
    };
    let kernel = |name: &str| stage.path().join(format!("boot/{name}"));
    let before = ours();
    for release in ["6.10.0-zen1", "6.9.0"] {
        for name in ["vmlinuz", "initrd.img"] {
            fs::write(kernel(&format!("{name}-{release}")), "").unwrap();
        }
    }
    assert!(ours().starts_with(&["6.10.0-zen1".to_owned(), "6.9.0".to_owned()]), "{:?}", ours());
    for name in ["vmlinuz-6.10.0-zen1", "vmlinuz-6.9.0"] {
        fs::remove_file(kernel(name)).unwrap();
    }
    assert_eq!(ours(), before);
}

#[test]
fn b24_b25_entries_are_the_distributions_own_with_other_arguments() {
    let stage = stage("two-gpus");
    let linux = stage.path().join("etc/grub.d/10_linux");
    let theirs = fs::read_to_string(&linux).unwrap();
    let odd = theirs
        .replace("insmod ext2", "insmod luks\n\tcryptomount -u 0123\n\tinsmod btrfs")
        .replace(
            "/boot/vmlinuz-$1 root=UUID=$uuid ro",
            "/@/boot/vmlinuz-$1 root=/dev/mapper/r ro rootflags=subvol=@",
        );
    assert_ne!(odd, theirs);
    fs::write(&linux, odd).unwrap();
    done(&stage, "multiboot last --yes");
    let menu = boot_menu(stage.path()).unwrap().stdout;
    // The first entry is the normal one; ours differ from it in what follows `rootflags`.
    let body = |entry: &str| -> Vec<String> {
        let lines = entry.lines().skip(1).map(|line| line.trim().to_owned());
        let lines = lines.take_while(|line| line != "}");
        lines.map(|line| line.split(" rootflags=").next().unwrap_or_default().to_owned()).collect()
    };
    let entries: Vec<&str> = menu.split("menuentry '").skip(1).collect();
    let normal = body(entries[0]);
    assert!(normal.contains(&"cryptomount -u 0123".to_owned()), "{menu}");
    let newest = normal.iter().find(|line| line.starts_with("linux")).unwrap();
    let ours = entries.iter().filter(|entry| entry.contains("deploy_vfio.bind="));
    let ours: Vec<_> = ours.map(|entry| body(entry)).collect();
    let same: Vec<_> = ours.iter().filter(|body| body.contains(newest)).collect();
    assert_eq!(same.len(), 2, "an entry for each card: {menu}");
    assert!(same.iter().all(|body| **body == normal), "{menu}");
    assert!(ours.iter().all(|body| body.contains(&"cryptomount -u 0123".to_owned())), "{menu}");
}

#[test]
fn b27_whatever_is_taken_back_is_as_it_was() {
    for line in SETUPS {
        let stage = stage("many-inputs");
        let before = tree(&stage);
        done(&stage, line);
        assert_ne!(before.diff(&tree(&stage)), "", "{line}");
        done(&stage, "--undo --yes");
        assert_eq!(before.diff(&tree(&stage)), "", "{line}: undo");
        done(&stage, line);
        done(&stage, "--uninstall-pre-setup --uninstall-vfio-setup --yes");
        let contents = |tree: Tree| -> Vec<_> {
            let files = tree.without(&["etc/deploy-vfio"]).0.into_iter();
            files.map(|(path, file)| (path, file.content, file.mode, file.owner)).collect()
        };
        assert!(contents(before) == contents(tree(&stage)), "{line}: uninstalled");
    }
}

#[test]
fn b27_what_is_deployed_goes_while_devices_wait_and_without_a_choice() {
    let stage = stage("two-gpus");
    let before = tree(&stage);
    done(&stage, "multiboot last --yes");
    for function in 0..4 {
        let device = format!("sys/bus/pci/devices/0000:01:00.{function}/uevent");
        let device = fs::canonicalize(stage.path().join(device)).unwrap();
        let facts = fs::read_to_string(&device).unwrap();
        let facts = facts.lines().filter(|line| !line.starts_with("DRIVER="));
        let facts: String = facts.map(|line| format!("{line}\n")).collect();
        fs::write(&device, format!("DRIVER=vfio-pci\n{facts}")).unwrap();
    }
    assert!(done(&stage, "groups").stdout.contains("vfio-pci"));
    done(&stage, "--uninstall-vfio-setup --skip-pre-setup --yes");
    let kernel = ["sys", "etc/deploy-vfio"];
    assert_eq!(before.without(&kernel).diff(&tree(&stage).without(&kernel)), "");
}

#[test]
fn b27_a_failing_generator_leaves_everything_as_it_was() {
    for line in [SETUPS[0], SETUPS[1], SETUPS[2]] {
        let stage = stage("two-gpus");
        for program in ["usr/sbin/update-grub", "usr/sbin/update-initramfs"] {
            fs::write(stage.path().join(program), "#!/bin/sh\nexit 3\n").unwrap();
        }
        let before = tree(&stage);
        let words: Vec<&str> = line.split(' ').collect();
        let programs = vfio_testkit::Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")));
        let failed = programs.run(stage.path(), &words).unwrap();
        assert!(![0, 2].contains(&failed.code), "{line}: {}", failed.stdout);
        assert!(!failed.stderr.contains("Done"), "{line}: {}", failed.stderr);
        assert_eq!(before.diff(&tree(&stage)), "", "{line}: {}", failed.stderr);
    }
}

#[test]
fn b34_b34a_keyboard_and_mouse_need_no_network_and_hinder_no_other_feature() {
    let stage = stage("many-inputs");
    // No program beside ours, and every word of every option counts, whatever the order.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
    command.env_clear().env("PATH", "/nonexistent").arg("--root").arg(stage.path());
    let output = command.args(["--no-rebuild", "evdev", "--yes"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    done(&stage, ALL);
    let deployed = done(&stage, "log --as-toml").stdout;
    for table in ["[hugepages]\nsize = \"2M\"\ncount = 64", "[cpu]", "[evdev]", "[multiboot]"] {
        assert!(deployed.contains(table), "{deployed}");
    }
}

#[test]
fn b36_b37_b38_lists_of_modules_hold_modules_that_there_are() {
    let stage = stage("many-inputs");
    let before = tree(&stage);
    done(&stage, "--parse vga --static file --yes");
    let mut modules = 0;
    for (path, text) in written(&before, &stage) {
        if !path.starts_with("etc/modules") && !path.starts_with("etc/initramfs-tools/modules") {
            continue;
        }
        let ours = text.split("# >>> deploy-vfio >>>").last().unwrap_or_default();
        for line in ours.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let plain = line.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            assert!(plain, "{path}: {line}");
            assert!(line.starts_with("vfio"), "{path}: {line}");
            assert_ne!(line, "vfio_virqfd", "{path}: gone from Linux 6.2");
            modules += 1;
        }
    }
    assert!(modules > 0, "no list of modules was written");
}

/// Makes another system of a machine, and tells what its refusal names.
type Other = (fn(&Stage), &'static str);

#[test]
fn b39_a_system_that_is_not_served_is_told_so_and_nothing_is_written() {
    let systemd_boot = |stage: &Stage| {
        fs::remove_dir_all(stage.path().join("boot/grub")).unwrap();
        fs::create_dir_all(stage.path().join("boot/loader")).unwrap();
        fs::write(stage.path().join("boot/loader/loader.conf"), "timeout 3\n").unwrap();
    };
    let entries = |stage: &Stage| {
        fs::create_dir_all(stage.path().join("boot/loader/entries")).unwrap();
        fs::write(stage.path().join("boot/loader/entries/x.conf"), "title x\n").unwrap();
        fs::write(stage.path().join("boot/grub/grub.cfg"), "insmod blscfg\nblscfg\n").unwrap();
    };
    let mkinitcpio = |stage: &Stage| {
        for name in ["update-initramfs", "mkinitramfs"] {
            fs::remove_file(stage.path().join("usr/sbin").join(name)).unwrap();
        }
        fs::write(stage.path().join("usr/sbin/mkinitcpio"), "#!/bin/sh\n").unwrap();
    };
    let others: [Other; 3] = [
        (systemd_boot, "systemd-boot"),
        (entries, "/boot/loader/entries"),
        (mkinitcpio, "mkinitcpio"),
    ];
    for (change, named) in others {
        let stage = stage("two-gpus");
        change(&stage);
        let before = tree(&stage);
        for line in ["multiboot last --yes", "static grub --yes"] {
            let refused = run(&stage, line);
            let told = format!("{}{}", refused.stdout, refused.stderr);
            assert_eq!(refused.code, 6, "{line}: {told}");
            assert!(refused.stderr.contains(named), "{line}: {told}");
            assert_eq!(before.diff(&tree(&stage)), "", "{line}");
        }
        // What needs neither works.
        done(&stage, "hugepages 2M 64 --runtime --yes");
    }
}

#[test]
fn b42a_b45_b47_of_qemu_conf_only_the_list_of_devices_changes() {
    let stage = stage("many-inputs");
    let file = stage.path().join("etc/libvirt/qemu.conf");
    let own = "# mine\nhugetlbfs_mount = \"/dev/hugepages\"\nuser = \"anna\"\n\
               nvram = [ \"/a/OVMF_CODE_4M.fd:/a/OVMF_VARS_4M.fd\" ]\n";
    fs::write(&file, own).unwrap();
    done(&stage, "hugepages 2M 64 --yes");
    assert_eq!(text(&stage, "etc/libvirt/qemu.conf"), own);
    let before = text(&stage, "etc/group");
    done(&stage, "evdev --qemu-conf --user bert --yes");
    let now = text(&stage, "etc/libvirt/qemu.conf");
    let key = |line: &&str| line.contains('=') && !line.starts_with('#');
    let keys: Vec<_> =
        now.lines().filter(key).map(|line| line.split(" =").next().unwrap()).collect();
    assert_eq!(keys, ["hugetlbfs_mount", "user", "nvram", "cgroup_device_acl"], "{now}");
    assert!(now.starts_with(own), "{now}");
    // The user who was named, and never root.
    let joined: Vec<_> = text(&stage, "etc/group")
        .lines()
        .filter(|l| !before.contains(*l))
        .map(str::to_owned)
        .collect();
    assert!(joined.iter().any(|line| line.contains("bert")), "{joined:?}");
    assert!(!joined.iter().any(|line| line.contains("root")), "{joined:?}");
    // Again, and taken back: the first version is not lost.
    assert_eq!(
        done(&stage, "evdev --qemu-conf --user bert --yes").stdout.lines().next(),
        Some("Nothing to do.")
    );
    done(&stage, "undo --yes");
    assert_eq!(text(&stage, "etc/libvirt/qemu.conf"), own);
    assert_eq!(text(&stage, "etc/group"), before);
}

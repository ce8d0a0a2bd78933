//! `multiboot --by-hand`: files for systems that are not served, which nobody puts in place but a person.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use vfio_testkit::{Description, Edits, Outcome, Programs, Stage, Tree};

const WORDS: [&str; 3] = ["multiboot", "last", "--by-hand"];

/// A machine whose initramfs mkinitcpio builds; with these files besides.
fn arch(files: &[(&str, &str)]) -> Stage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    let stage = Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap();
    has_mkinitcpio(stage.path());
    for (path, text) in files {
        write(stage.path(), path, text);
    }
    stage
}

/// Has mkinitcpio build the initramfs of the machine that is laid out at `root`.
pub fn has_mkinitcpio(root: &Path) {
    for gone in ["update-initramfs", "mkinitramfs"] {
        let _ = fs::remove_file(root.join("usr/sbin").join(gone));
    }
    fs::remove_dir_all(root.join("etc/initramfs-tools")).unwrap();
    for path in ["usr/bin/mkinitcpio", "etc/mkinitcpio.conf"] {
        write(root, path, "");
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The same, started by systemd-boot.
fn with_systemd_boot(entries: &[(&str, &str)]) -> Stage {
    let stage = arch(entries);
    for gone in ["boot/grub", "etc/grub.d"] {
        fs::remove_dir_all(stage.path().join(gone)).unwrap();
    }
    for program in ["grub-mkconfig", "update-grub"] {
        let _ = fs::remove_file(stage.path().join("usr/sbin").join(program));
    }
    fs::create_dir_all(stage.path().join("boot/loader")).unwrap();
    fs::write(stage.path().join("boot/loader/loader.conf"), "timeout 3\n").unwrap();
    stage
}

fn run(stage: &Stage, words: &[&str]) -> Outcome {
    let programs = Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")));
    programs.run(stage.path(), words).unwrap()
}

/// The files that are printed, by path, and the steps; nothing is written.
fn printed(stage: &Stage) -> (BTreeMap<String, String>, Vec<String>) {
    let before = Tree::read(stage.path()).unwrap();
    let outcome = run(stage, &[&WORDS[..], &["--json"]].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let after = Tree::read(stage.path()).unwrap();
    assert_eq!(before.diff(&after), "", "something was written");
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let plain = run(stage, &WORDS).stdout;
    let mut files = BTreeMap::new();
    for file in document["files"].as_array().unwrap() {
        let head = format!("==> {} ({}) <==\n", text(&file["path"]), text(&file["mode"]));
        assert!(plain.contains(&head), "{head}");
        files.insert(text(&file["path"]), text(&file["text"]));
    }
    (files, document["steps"].as_array().unwrap().iter().map(text).collect())
}

/// What the shell says of a script, which it reads and does not run.
fn is_a_script(shell: &str, text: &str) {
    let mut child = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{shell}: {text}");
}

#[test]
fn systemd_boot_gets_entries_beside_its_own() {
    let own = "title Arch Linux\nversion 6.11.5-arch1\nlinux /vmlinuz-linux\n\
               initrd /initramfs-linux.img\noptions root=UUID=1 rw\n";
    let stage = with_systemd_boot(&[("boot/loader/entries/arch.conf", own)]);
    let (files, steps) = printed(&stage);
    let entries: Vec<&String> = files.keys().filter(|path| path.contains("/entries/")).collect();
    assert_eq!(
        entries,
        [
            "/boot/loader/entries/deploy-vfio-0000-01-00.0-arch.conf",
            "/boot/loader/entries/deploy-vfio-0000-04-00.0-arch.conf"
        ]
    );
    let last = &files[entries[1]];
    assert!(last.contains("\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\n"), "{last}");
    let options = last.lines().find(|line| line.starts_with("options ")).unwrap();
    assert!(options.starts_with("options root=UUID=1 rw "), "{options}");
    assert!(options.contains(" deploy_vfio.bind=0000:01:00.0=10de:1f02,"), "{options}");
    assert!(!options.contains("sysfb_init"), "a new kernel hands its framebuffer over: {options}");
    assert!(steps.contains(&"bootctl set-default deploy-vfio-0000-04-00.0-arch.conf".into()));
    assert!(steps.iter().any(|step| step.contains("HOOKS")), "{steps:?}");
}

/// Its functions are played, and tell what an image would get.
#[test]
fn mkinitcpio_gets_a_hook_whose_files_are_all_there() {
    let stage = arch(&[]);
    let (files, steps) = printed(&stage);
    let install = &files["/etc/initcpio/install/deploy-vfio"];
    is_a_script("bash", install);
    is_a_script("dash", &files["/etc/initcpio/hooks/deploy-vfio"]);
    is_a_script("dash", &files["/usr/local/lib/deploy-vfio/bind"]);
    let play = format!(
        "for name in module file symlink runscript; do eval \"add_$name() {{ echo $name \\\"\\$@\\\"; }}\"; \
         done\n{install}\nbuild\n"
    );
    let output = Command::new("bash").args(["-euc", &play]).output().unwrap();
    let added = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{added}");
    assert!(added.contains("module vfio-pci\nmodule vfio_iommu_type1\n"), "{added}");
    assert!(added.contains(" /scripts/init-top/deploy-vfio 755\nrunscript"), "{added}");
    for line in added.lines().filter_map(|line| line.strip_prefix("file ")) {
        let source = line.split(' ').next().unwrap();
        assert!(files.contains_key(source), "{source} is nowhere");
    }
    assert!(files["/etc/initcpio/hooks/deploy-vfio"].contains("run_earlyhook()"));
    // GRUB as its makers ship it reads the menu's generator, and no drop-ins.
    assert!(files.contains_key("/etc/grub.d/45_deploy-vfio"), "{:?}", files.keys());
    assert!(steps.contains(&"grub-mkconfig -o /boot/grub/grub.cfg".into()), "{steps:?}");
}

#[test]
fn a_system_that_is_served_is_told_so_and_another_the_way() {
    let stage = arch(&[]);
    let outcome = run(&stage, &["multiboot", "last", "--yes"]);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("`deploy-vfio multiboot --by-hand` prints"),
        "{}",
        outcome.stderr
    );
    fs::write(stage.path().join("usr/sbin/mkinitramfs"), "").unwrap();
    let outcome = run(&stage, &WORDS);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (6, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("this system is served"), "{}", outcome.stderr);
    let outcome = run(&with_systemd_boot(&[]), &WORDS);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no boot loader entry to begin with"), "{}", outcome.stderr);
}

//! T6, T11, T12: what libvirt calls with a guest's name, and what is never granted to guests.

use std::fs;

use vfio_testkit::Description;

use super::*;

/// Every described machine of the project.
fn machines() -> Vec<Stage> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|suffix| suffix == "json"));
    files.map(|file| Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap()).collect()
}

/// All that these commands would write on any machine.
fn plans(commands: &[&[&str]]) -> String {
    let mut all = String::new();
    for stage in machines() {
        for words in commands {
            let words = [words, &["--dry-run", "--verbose"][..]].concat();
            let output = run(stage.path(), &words);
            assert!(matches!(output.status.code(), Some(0 | 2 | 6)), "{words:?}: {output:?}");
            all += &String::from_utf8_lossy(&output.stdout);
        }
    }
    assert!(all.contains("\n+"), "nothing was planned");
    all
}

#[test]
fn sec_t6_a_guest_s_name_is_never_code() {
    let hook = include_str!("../../../crates/vfio-post/assets/libvirt-hook");
    let code = hook.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code: Vec<&str> = code.filter(|line| !line.is_empty()).collect();
    assert!(code.iter().all(|line| !line.contains("eval")), "{code:?}");
    assert!(code.iter().any(|line| line.contains("\"$@\"")), "{code:?}");
}

/// libvirt runs it with a name that would be a command, an option, a path.
#[test]
fn sec_t6_the_script_passes_every_name_on_as_it_is() {
    let dir = private();
    let program = dir.path().join("vfio-hook");
    script(&program, "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done\n");
    let hook = include_str!("../../../crates/vfio-post/assets/libvirt-hook");
    let file = dir.path().join("hook");
    script(
        &file,
        &hook.replace("/usr/local/lib/deploy-vfio/guest-hook", program.to_str().unwrap()),
    );
    let ran = dir.path().join("PWNED");
    let long = "x".repeat(4096);
    for name in [
        &format!("w$(touch {})x", ran.display()),
        "-rf",
        "--",
        "../../x",
        "a b",
        "a'b\"c",
        "*",
        "",
        "a\nb",
        "ünï",
        "`id`",
        long.as_str(),
    ] {
        let output = Command::new(&file).args([name, "prepare", "begin", "-"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told, format!("<{name}><prepare><begin><->"), "{output:?}");
    }
    assert!(!ran.exists());
}

#[test]
fn sec_t11_qemu_never_runs_as_root() {
    let all = plans(&[&["evdev"], &["libvirt-hooks"], &["dynamic"]]);
    for line in all.lines().filter(|line| line.starts_with('+')) {
        let plain: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        let root = ["+user=\"root\"", "+group=\"root\"", "+user=\"0\"", "+user=\"+0\""];
        assert!(!root.iter().any(|words| plain.starts_with(words)), "{line}");
        assert!(!plain.contains("security_driver=\"none\""), "{line}");
        assert!(!line.contains("\"/dev/input\""), "all inputs: {line}");
    }
}

#[test]
fn sec_t12_the_isolation_is_never_weakened() {
    let all = plans(&[
        &["multiboot", "last"],
        &["multiboot", "first", "--parse", "all"],
        &["static", "grub"],
        &["static", "file"],
    ]);
    for word in [
        "pcie_acs_override",
        "allow_unsafe_interrupts",
        "enable_unsafe_noiommu_mode",
        "iommu=off",
        "intremap=off",
        "iommu=pt,",
        "mitigations=off",
        "nosmep",
        "apparmor=0",
        "selinux=0",
    ] {
        assert!(!all.contains(word), "{word}");
    }
}

#[test]
fn sec_t12_nothing_is_writable_by_everybody() {
    let stage = stage();
    for words in [
        &["multiboot", "last"][..],
        &["hugepages", "2M", "64"],
        &["zram-swap", "1/4"],
        &["auto-xorg"],
        &["looking-glass"],
        &["cpu"],
    ] {
        let words = [words, &["--yes", "--no-rebuild"]].concat();
        let output = run(stage.path(), &words);
        assert!(matches!(output.status.code(), Some(0 | 6)), "{words:?}: {output:?}");
    }
    let mut todo = vec![stage.path().join("etc")];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let open = !meta.is_symlink() && meta.mode() & 0o002 != 0;
        assert!(!open && meta.mode() & 0o6000 == 0, "{}: {:o}", path.display(), meta.mode());
    }
}

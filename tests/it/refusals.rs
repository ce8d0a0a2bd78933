//! What cannot be done here is said by a dry run too, before anything is written.
//!
//! Needs root for mounts and flags; says so and passes without.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use vfio_testkit::{Description, Edits, Outcome, Programs, Stage, Tree};

const DROP_IN: &str = "etc/default/grub.d/deploy-vfio.cfg";
const WORDS: [&str; 3] = ["hugepages", "2M", "512"];

fn stage() -> Stage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap()
}

fn deploy_vfio() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_deploy-vfio"))
}

fn run(root: &Path, more: &[&str]) -> Outcome {
    Programs::new(&deploy_vfio()).run(root, &[&WORDS[..], more].concat()).unwrap()
}

/// A dry run and the real run refuse for the same reason, with no diff, and write nothing.
fn refused(root: &Path, because: &str) {
    let dry = run(root, &["--dry-run", "--no-rebuild"]);
    assert_eq!(dry.code, 6, "{because}: {}{}", dry.stdout, dry.stderr);
    assert!(dry.stderr.contains(because), "not `{because}`: {}", dry.stderr);
    assert_eq!(dry.stdout, "", "{because}");
    assert_eq!(run(root, &["--yes", "--no-rebuild"]), dry, "{because}");
    assert!(!root.join("var/lib/deploy-vfio").exists(), "{because}");
}

#[test]
fn what_cannot_be_replaced_is_refused_by_a_dry_run() {
    let stage = stage();
    let at = |path: &str| stage.path().join(path);
    fs::write(at(DROP_IN), "mine\n").unwrap();
    fs::hard_link(at(DROP_IN), at("etc/twin")).unwrap();
    refused(stage.path(), "it has 2 names (hard links), which would part");
    fs::remove_file(at("etc/twin")).unwrap();
    fs::remove_file(at(DROP_IN)).unwrap();

    fs::create_dir(at(DROP_IN)).unwrap();
    refused(stage.path(), "it is not a regular file");
    fs::remove_dir(at(DROP_IN)).unwrap();

    fs::rename(at("etc/default/grub.d"), at("etc/default/grub.d.old")).unwrap();
    symlink("../../../outside", at("etc/default/grub.d")).unwrap();
    refused(stage.path(), "/etc/default/grub.d is a symbolic link to ../../../outside");
    fs::remove_file(at("etc/default/grub.d")).unwrap();
    fs::write(at("etc/default/grub.d"), "").unwrap();
    refused(stage.path(), "/etc/default/grub.d is not a directory");
}

#[test]
fn an_immutable_file_is_refused_by_a_dry_run() {
    let stage = stage();
    let file = stage.path().join(DROP_IN);
    fs::write(&file, "mine\n").unwrap();
    let chattr = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(&file).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !chattr("+i") {
        eprintln!("skipped: no file can be made immutable here");
        return;
    }
    let checked = std::panic::catch_unwind(|| {
        refused(stage.path(), "deploy-vfio.cfg is immutable");
    });
    assert!(chattr("-i"));
    checked.unwrap();
}

/// Runs the program on a tree that is on a file system of its own, mounted with `options`.
fn on_mount(stage: &Stage, dir: &str, options: &str, prepare: &str, mode: &str) -> Option<Outcome> {
    const SCRIPT: &str = "mount -t tmpfs -o \"$3\" none \"$2/$4\" || exit 99
        eval \"$5\" || exit 99
        shift 5; exec \"$@\"";
    let root = stage.path();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", "sh"]);
    command.arg(root).args([options, dir, prepare]);
    command.arg(deploy_vfio()).arg("--root").arg(root).args(WORDS).arg(mode);
    let output = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code()?;
    let outcome = Outcome { code, stdout: text(output.stdout), stderr: text(output.stderr) };
    if code == 99 || outcome.stderr.contains("unshare") {
        eprintln!("skipped: {}", outcome.stderr);
        return None;
    }
    Some(outcome)
}

#[test]
fn a_full_or_read_only_file_system_is_refused_with_numbers() {
    let stage = stage();
    let small = "size=20m";
    let full = "dd if=/dev/zero of=\"$2/var/lib/fill\" bs=1M count=12 2>/dev/null";
    for mode in ["--dry-run", "--yes"] {
        let Some(outcome) = on_mount(&stage, "var/lib", small, full, mode) else { return };
        assert_eq!(outcome.code, 6, "{}{}", outcome.stdout, outcome.stderr);
        let message = "the file system of /var/lib is too full: 17 MiB are needed, 8 MiB are free";
        assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("help: free 9 MiB there"), "{}", outcome.stderr);
    }
    for mode in ["--dry-run", "--yes"] {
        let read_only = on_mount(&stage, "etc/default/grub.d", "ro", "true", mode).unwrap();
        assert_eq!(read_only.code, 6, "{}{}", read_only.stdout, read_only.stderr);
        let message = "because: its file system is mounted read-only";
        assert!(read_only.stderr.contains(message), "{}", read_only.stderr);
        assert_eq!(read_only.stdout, "");
    }
    assert!(!stage.path().join("var/lib/deploy-vfio").exists());
}

/// Who cannot see the plan has not agreed to it.
#[test]
fn a_plan_that_cannot_be_written_is_not_carried_out() {
    let stage = stage();
    let before = Tree::read(stage.path()).unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"))
        .arg("--root")
        .arg(stage.path())
        .args(WORDS)
        .args(["--yes", "--no-rebuild"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("so nothing is done"), "{said}");
    assert_eq!(before.diff(&Tree::read(stage.path()).unwrap()), "");
}

/// What is built has to take its place, which is asked before a minute of building.
#[test]
fn a_menu_that_cannot_be_replaced_is_refused_by_a_dry_run() {
    let stage = stage();
    let menu = stage.path().join("boot/grub/grub.cfg");
    fs::remove_file(&menu).unwrap();
    fs::create_dir(&menu).unwrap();
    let dry = run(stage.path(), &["--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert!(dry.stderr.contains("/boot/grub/grub.cfg cannot be edited"), "{dry:?}");
    assert!(dry.stderr.contains("it is not a regular file"), "{dry:?}");
}

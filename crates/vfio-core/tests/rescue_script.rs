//! `rescue.sh` of the state directory takes back what the engine did, without the engine, in every
//! shell that a live system may have.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees and runs shells")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use vfio_core::{
    Root,
    change::{self, Draft, Interrupt, NoRebuild, OnConflict, Settings, State},
};
use vfio_testkit::{Content, Tree};

const SHELLS: &[&[&str]] = &[&["dash"], &["bash", "--posix"], &["busybox", "sh"]];
const ODD: &str = "etc/an \"odd\" \\ one, it's $(touch x)";

static CALM: Interrupt = Interrupt::new();

fn settings() -> Settings<'static> {
    let wait = Duration::from_millis(100);
    Settings { rebuilder: &NoRebuild, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

/// Whether this machine has the shell; in CI it must.
fn has(shell: &[&str]) -> bool {
    let there = Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "{shell:?} is not installed");
    there
}

fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for path in ["etc/default", "etc/gone", "usr/share/thing"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for (path, text) in [
        ("etc/default/grub", "A=1"),
        ("etc/gone/only", "x\n"),
        ("usr/share/thing/real", "behind a link\n"),
        (ODD, "odd\0\r\n"),
    ] {
        fs::write(at(path), text).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::new(1_577_934_245, 6_789);
        fs::File::options().write(true).open(at(path)).unwrap().set_modified(time).unwrap();
    }
    fs::set_permissions(at(ODD), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../usr/share/thing/real", at("etc/link")).unwrap();
    symlink("default/grub", at("etc/pointer")).unwrap();
    dir
}

/// Two operations of every kind of step.
fn deploy(root: &Root) {
    let mut one = Draft::new(root);
    one.write("etc/default/grub", "A=2\n").unwrap();
    one.write("etc/link", "through the link\n").unwrap();
    one.write("etc/new/deep/one", "one\n").unwrap();
    one.write(ODD, "even").unwrap();
    one.remove("etc/gone/only");
    one.remove("etc/pointer");
    one.symlink("etc/new/link", "deep/one");
    change::apply(root, &one.finish("one").unwrap(), &settings()).unwrap();
    let mut two = Draft::new(root);
    two.write("etc/default/grub", "A=3\n").unwrap();
    two.write("etc/new/two", "two\n").unwrap();
    two.write_executable("usr/local/lib/large", vec![b'x'; 3 << 20]).unwrap();
    change::apply(root, &two.finish("two").unwrap(), &settings()).unwrap();
}

/// Everything but the engine's own directory; times are those of files, in the whole seconds that
/// busybox sets.
fn tree(dir: &Path) -> Tree {
    let tree = Tree::read(dir).unwrap().without(&["var"]);
    let mut tree = tree.without_link_times().without_directory_times();
    tree.0.values_mut().for_each(|fingerprint| fingerprint.mtime_ns /= 1_000_000_000);
    tree
}

fn rescue(shell: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(dir.join("var/lib/deploy-vfio/rescue.sh"));
    command.arg(dir).arg("--no-rebuild").current_dir(dir).output().unwrap()
}

#[test]
fn every_shell_takes_everything_back() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        assert_ne!(tree(dir.path()), before);
        let output = rescue(shell, dir.path());
        let said = format!("{shell:?}: {output:?}");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(tree(dir.path()), before, "{said}");
        // Again: nothing is to do. And the engine can be told.
        let again = String::from_utf8(rescue(shell, dir.path()).stdout).unwrap();
        assert!(again.ends_with("0 files are as before, 0 stay\n"), "{shell:?}: {again}");
        while change::undo(&root, OnConflict::Restore, &settings()).unwrap().is_some() {}
        assert!(change::history(&root).unwrap().iter().all(|one| one.state == State::Undone));
        assert_eq!(tree(dir.path()), before, "{shell:?}");
    }
}

/// For the scripts of packages, and for whoever is about to run it.
#[test]
fn what_is_in_force_is_listed_and_nothing_changed() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let list = || {
            let script = dir.path().join("var/lib/deploy-vfio/rescue.sh");
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg(script).arg(dir.path()).arg("--list");
            let output = command.output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let before = tree(dir.path());
        assert_eq!(list(), "operation 000002: two\noperation 000001: one\n", "{shell:?}");
        assert_eq!(tree(dir.path()), before, "{shell:?}");
        change::undo(&root, OnConflict::Stop, &settings()).unwrap();
        assert_eq!(list(), "operation 000001: one\n", "{shell:?}");
        change::undo(&root, OnConflict::Stop, &settings()).unwrap();
        assert_eq!(list(), "", "{shell:?}");
    }
}

/// What a failing disk leaves of the journal is no success, and never put in a file's place.
#[test]
fn a_damaged_record_or_copy_is_told_and_not_used() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        for (path, length, told) in [
            ("000001/plan.json", Some(700), "the record of operation 000001 is damaged or gone"),
            ("000001/plan.json", Some(0), "the record of operation 000001 is damaged or gone"),
            ("000001/plan.json", None, "the record of operation 000001 is damaged or gone"),
            ("000001/pre/0000", Some(1), "that the journal keeps is damaged or gone"),
            ("000001/pre/0000", None, "that the journal keeps is damaged or gone"),
        ] {
            let dir = machine();
            let root = Root::open(dir.path()).unwrap();
            deploy(&root);
            let file = dir.path().join("var/lib/deploy-vfio/tx").join(path);
            match length {
                Some(length) => fs::OpenOptions::new()
                    .write(true)
                    .open(&file)
                    .and_then(|file| file.set_len(length))
                    .unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let output = rescue(shell, dir.path());
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(4), "{shell:?} {path} {length:?}: {output:?}");
            assert!(said.contains(told), "{shell:?} {path} {length:?}: {said}");
            // The file whose copy is damaged is still ours; no fragment of it is put in its place.
            let odd = fs::read(dir.path().join(ODD)).unwrap();
            assert!([&b"odd\0\r\n"[..], b"even"].contains(&odd.as_slice()), "{odd:?}");
        }
    }
}

#[test]
fn an_edited_file_stays_and_is_named() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        fs::write(dir.path().join("etc/default/grub"), "MINE\n").unwrap();
        fs::write(dir.path().join("etc/new/mine"), "mine\n").unwrap();
        let output = rescue(shell, dir.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        assert!(said.contains("/etc/default/grub was changed since, and stays"), "{said}");
        let now = tree(dir.path());
        assert_eq!(now.0["etc/default/grub"].content, Content::File(b"MINE\n".to_vec()));
        assert!(now.0.contains_key("etc/new/mine") && !now.0.contains_key("etc/new/two"));
    }
}

/// A way that has become a link leads out of the mounted system, into the one that rescues it.
#[test]
fn what_has_no_place_any_more_is_named() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let _ = fs::remove_dir_all(dir.path().join("etc/gone"));
        fs::write(dir.path().join("etc/gone"), "a file\n").unwrap();
        let output = rescue(shell, dir.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        assert!(said.contains("/etc/gone/only could not be put back"), "{said}");
    }
}

/// An operation was interrupted: what it was writing and what it displaced goes, what somebody wrote stays.
#[test]
fn what_was_left_beside_files_goes_unless_it_is_somebody_s() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let at = |name: &str| dir.path().join(name);
        fs::write(at("etc/new/.two.dv-000002.new~"), "tw").unwrap();
        fs::write(at("etc/default/.grub.dv-000002.swp~"), "A=2\n").unwrap();
        let output = rescue(shell, dir.path());
        assert_eq!(output.status.code(), Some(0), "{shell:?}: {output:?}");
        assert_eq!(tree(dir.path()), before, "{shell:?}");

        let edit = "etc/default/.grub.dv-000002.swp~";
        fs::write(at(edit), "MINE\n").unwrap();
        let output = rescue(shell, dir.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        assert!(said.contains(&format!("/{edit} was left there")), "{said}");
        assert_eq!(fs::read(at(edit)).unwrap(), b"MINE\n");
    }
}

#[test]
fn a_link_on_the_way_is_not_followed() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let (dir, other) = (machine(), tempfile::tempdir().unwrap());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        fs::create_dir_all(other.path().join("deep")).unwrap();
        fs::write(other.path().join("deep/one"), "one\n").unwrap();
        fs::remove_dir_all(dir.path().join("etc/new")).unwrap();
        symlink(other.path(), dir.path().join("etc/new")).unwrap();
        let output = rescue(shell, dir.path());
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        assert!(other.path().join("deep/one").exists(), "{shell:?}: {output:?}");
    }
}

#[test]
fn what_is_no_system_is_refused() {
    for shell in SHELLS.iter().filter(|shell| has(shell)) {
        let dir = machine();
        deploy(&Root::open(dir.path()).unwrap());
        let script = dir.path().join("var/lib/deploy-vfio/rescue.sh");
        for words in [&["/proc"][..], &["--what"], &["/nowhere/at/all"]] {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg(&script).args(words);
            assert_eq!(command.output().unwrap().status.code(), Some(2), "{shell:?} {words:?}");
        }
    }
}

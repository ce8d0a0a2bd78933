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

use sha2::{Digest, Sha256};
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

/// Those that this machine has.
fn shells() -> impl Iterator<Item = &'static &'static [&'static str]> {
    SHELLS.iter().filter(|shell| has(shell))
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

/// Runs the script, after which all must be as `before`.
fn all_back(shell: &[&str], dir: &Path, before: &Tree) -> Output {
    let output = rescue(shell, dir);
    assert_eq!(output.status.code(), Some(0), "{shell:?}: {output:?}");
    assert_eq!(tree(dir), *before, "{shell:?}: {output:?}");
    output
}

/// What the script says that there is to take back.
fn list(shell: &[&str], dir: &Path) -> String {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(dir.join("var/lib/deploy-vfio/rescue.sh")).arg(dir).arg("--list");
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Takes the last line from the journal of an operation, which must hold `words`.
fn forget(dir: &Path, id: u32, words: &str) {
    let file = dir.join(format!("var/lib/deploy-vfio/tx/{id:06}/journal"));
    let text = fs::read_to_string(&file).unwrap();
    let at = text.trim_end().rfind('\n').unwrap() + 1;
    assert!(text[at..].contains(words), "{text}");
    fs::write(&file, &text[..at]).unwrap();
}

#[test]
fn every_shell_takes_everything_back() {
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        assert_ne!(tree(dir.path()), before);
        all_back(shell, dir.path(), &before);
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
    for shell in shells() {
        let dir = machine();
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let list = || list(shell, dir.path());
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
    for shell in shells() {
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
    for shell in shells() {
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
    for shell in shells() {
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
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let at = |name: &str| dir.path().join(name);
        fs::write(at("etc/new/.two.dv-000002.new~"), "tw").unwrap();
        fs::write(at("etc/default/.grub.dv-000002.swp~"), "A=2\n").unwrap();
        all_back(shell, dir.path(), &before);

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
    for shell in shells() {
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
    for shell in shells() {
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

/// The state directory may be full, or read-only: the script writes nothing there.
#[test]
fn no_file_is_needed_for_notes() {
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        deploy(&Root::open(dir.path()).unwrap());
        let state = dir.path().join("var/lib/deploy-vfio");
        // Not even root can write to these.
        for path in ["rescue~", ".rescue~", ".rescue"] {
            fs::create_dir(state.join(path)).unwrap();
        }
        let then = Tree::read(&state).unwrap();
        let output = all_back(shell, dir.path(), &before);
        assert!(output.stderr.is_empty(), "{shell:?}: {output:?}");
        assert_eq!(Tree::read(&state).unwrap(), then, "{shell:?}: {output:?}");
    }
}

#[test]
fn a_record_that_was_set_aside_is_in_force_no_more() {
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        deploy(&Root::open(dir.path()).unwrap());
        for name in ["000003.damaged", "000003.damaged-2"] {
            fs::create_dir(dir.path().join("var/lib/deploy-vfio/tx").join(name)).unwrap();
        }
        let listed = list(shell, dir.path());
        assert_eq!(listed, "operation 000002: two\noperation 000001: one\n", "{shell:?}");
        let output = rescue(shell, dir.path());
        // What it was about is not taken back, and a purge keeps what is left of the record.
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("the record of operation 000003 was set aside"), "{shell:?}: {said}");
        assert_eq!(tree(dir.path()), before, "{shell:?}");
    }
}

/// An undo was interrupted when its files were back: what lies beside them goes, and no more than that.
#[test]
fn what_an_undo_had_not_tidied_is_tidied() {
    for shell in shells() {
        for all in [false, true] {
            let dir = machine();
            let before = tree(dir.path());
            let root = Root::open(dir.path()).unwrap();
            deploy(&root);
            let at = |name: &str| dir.path().join(name);
            let (mut undone, mut in_force) = (before, "operation 000001: one\n");
            if all {
                fs::write(at("etc/default/grub"), "MINE\n").unwrap();
                change::undo_all(&root, OnConflict::Keep, &settings()).unwrap();
                (undone, in_force) = (tree(dir.path()), "");
                // It had not come to the journal of the older one.
                forget(dir.path(), 1, "\"clean\":true");
            } else {
                change::undo(&root, OnConflict::Stop, &settings()).unwrap();
            }
            forget(dir.path(), 2, "\"clean\":true");
            fs::create_dir_all(at("etc/new/deep")).unwrap();
            for (name, text) in [("two", "two\n"), ("link", ""), ("deep/.one", "one\n")] {
                let (above, name) = name.split_once("/.").unwrap_or((".", name));
                let work = at("etc/new").join(above).join(format!(".{name}.dv-000002.swp~"));
                match text {
                    "" => symlink("deep/one", work).unwrap(),
                    text => fs::write(work, text).unwrap(),
                }
            }
            assert_eq!(list(shell, dir.path()), in_force, "{shell:?} {all}");
            all_back(shell, dir.path(), &undone);
        }
    }
}

/// Mode and owner are part of a file, whether its text is as after or as before.
#[test]
fn a_file_with_other_rights_stays_and_is_named() {
    for shell in shells() {
        for text in ["A=3\n", "A=1"] {
            let dir = machine();
            deploy(&Root::open(dir.path()).unwrap());
            let file = dir.path().join("etc/default/grub");
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o4600)).unwrap();
            let output = rescue(shell, dir.path());
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(4), "{shell:?} {text:?}: {output:?}");
            assert!(said.contains("/etc/default/grub was changed since, and stays"), "{said}");
            assert!(said.contains(", 1 stay\n"), "{said}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o4600);
        }
    }
}

#[test]
fn links_to_odd_names_are_put_back_or_named() {
    for shell in shells() {
        let dir = machine();
        let at = |name: &str| dir.path().join(name);
        symlink("-f", at("etc/dash")).unwrap();
        symlink("?", at("etc/mark")).unwrap();
        symlink("a\tb", at("etc/tab")).unwrap();
        symlink("a\nb", at("etc/break")).unwrap();
        fs::create_dir(at("etc/folder")).unwrap();
        fs::write(at("etc/file"), "text\n").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let before = tree(dir.path());
        let mut draft = Draft::new(&root);
        for path in ["etc/dash", "etc/mark", "etc/tab", "etc/break"] {
            draft.remove(path);
        }
        draft.symlink("etc/file", "folder");
        change::apply(&root, &draft.finish("links").unwrap(), &settings()).unwrap();
        let output = rescue(shell, dir.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
        for path in ["/etc/tab", "/etc/break"] {
            assert!(said.contains(&format!("{path} has a name or a way there")), "{said}");
        }
        assert!(said.contains("3 files are as before, 2 stay"), "{said}");
        let now = tree(dir.path());
        assert!(!now.0.contains_key("etc/tab") && !now.0.contains_key("etc/break"));
        assert_eq!(now, before.without(&["etc/tab", "etc/break"]), "{shell:?}");
    }
}

#[test]
fn attributes_come_back_or_are_named() {
    for shell in shells() {
        let dir = machine();
        let file = dir.path().join("etc/default/grub");
        let name = "user.a:b =\\\"*c";
        let held =
            xattr::set(&file, name, b"\x00\xff").and_then(|()| xattr::set(&file, "user.none", b""));
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        let mut draft = Draft::new(&root);
        draft.write("etc/default/grub", "A=2\n").unwrap();
        change::apply(&root, &draft.finish("attributes").unwrap(), &settings()).unwrap();
        if held.is_ok() && has(&["setfattr", "--version"]) {
            all_back(shell, dir.path(), &before);
            assert_eq!(xattr::get(&file, name).unwrap().unwrap(), b"\x00\xff", "{shell:?}");
            xattr::remove(&file, name).unwrap();
        }
        // One that no file system takes.
        let plan = dir.path().join("var/lib/deploy-vfio/tx/000001/plan.json");
        let text = fs::read_to_string(&plan).unwrap();
        let end = text.rfind("sha256 ").unwrap();
        let more = "\"xattrs\": {\n            \"nonsense.x\": \"00\"";
        let text = text[..end].replace("\"xattrs\": {}", &format!("{more}\n          }}"));
        let text = text
            .replace("\"xattrs\": {\n            \"user", &format!("{more},\n            \"user"));
        let sum: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&plan, format!("{text}sha256 {sum}\n")).unwrap();
        // The second time there is nothing to put back, and it lacks them still.
        for _ in 0..2 {
            let output = rescue(shell, dir.path());
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(4), "{shell:?}: {output:?}");
            assert!(said.contains("/etc/default/grub lacks attributes: nonsense.x"), "{said}");
            assert_eq!(fs::read(&file).unwrap(), b"A=1", "{shell:?}");
        }
    }
}

/// What this script itself leaves when it is killed, beside files and links, in force or not.
#[test]
fn its_own_leftovers_go() {
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        deploy(&root);
        let leave = |path: &str| fs::write(dir.path().join(path), "hal").unwrap();
        leave("usr/share/thing/real.dv-rescue~");
        leave("etc/new/two.dv-rescue~");
        leave("etc/default/grub.dv-rescue~");
        all_back(shell, dir.path(), &before);
        change::undo_all(&root, OnConflict::Restore, &settings()).unwrap();
        leave("etc/default/grub.dv-rescue~");
        all_back(shell, dir.path(), &before);
    }
}

#[test]
fn directories_with_odd_names_go_too() {
    for shell in shells() {
        let dir = machine();
        let before = tree(dir.path());
        let root = Root::open(dir.path()).unwrap();
        let mut draft = Draft::new(&root);
        draft.write("etc/a \"b\" \\c/-d */e", "e\n").unwrap();
        change::apply(&root, &draft.finish("odd").unwrap(), &settings()).unwrap();
        all_back(shell, dir.path(), &before);
    }
}

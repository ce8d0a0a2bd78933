//! The engine's laws, on a scratch tree: undo restores every byte, a power cut at any call
//! leaves the old tree or the new one, and so does one in the recovery.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use super::*;
use crate::{
    Error, Result, Root,
    change::{
        disk::{Disk, LACKS, Lacks},
        engine::Work,
    },
    layout::GUESTS,
};

/// Stages artefacts as a generator would, from what the files hold.
pub(super) struct Fake {
    pub(super) fail: bool,
}

impl Rebuilder for Fake {
    fn stage(&self, root: &Root, what: Rebuild, job: &Job<'_>) -> Result<Vec<Artefact>> {
        let artefacts = self.outputs(root, what, job.tag)?;
        for artefact in &artefacts {
            let text = root.text("etc/default/grub")?.unwrap_or_default();
            fs::write(root.path().join(&artefact.staged), format!("menu of {text}")).unwrap();
        }
        job.given.iter().for_each(|path| accept(root, path));
        if self.fail {
            return Err(Error::Program {
                program: "update-grub".to_owned(),
                status: "exit status 1".to_owned(),
                output: Vec::new(),
            });
        }
        Ok(artefacts)
    }

    fn by_hand(&self, _: &Root, _: Rebuild) -> Vec<String> {
        vec!["update-grub".to_owned()]
    }

    fn outputs(&self, _: &Root, what: Rebuild, tag: &str) -> Result<Vec<Artefact>> {
        let path = match what {
            Rebuild::BootMenu => ("boot/grub", "grub.cfg"),
            Rebuild::Initramfs => ("boot", "initrd.img-6.1"),
            _ => return Ok(Vec::new()),
        };
        let staged = format!("{}/.{}.{tag}.new~", path.0, path.1);
        Ok(vec![Artefact {
            what,
            path: format!("{}/{}", path.0, path.1),
            staged,
            listing: None,
            replaces: None,
        }])
    }
}

/// A daemon accepts what it is given, and writes it in its own words.
fn accept(root: &Root, path: &str) {
    let (file, new) = (root.path().join(path), root.path().join(format!("{path}.new")));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&new, text.replace("ours", "ours, and an address")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, file).unwrap();
}

static CALM: Interrupt = Interrupt::new();

pub(super) fn settings(rebuilder: &dyn Rebuilder) -> Settings<'_> {
    let wait = Duration::from_secs(2);
    Settings { rebuilder, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

/// A small machine with an old, exact time on everything.
pub(super) fn machine() -> (tempfile::TempDir, Root) {
    // In memory where there is such a place: the laws sync tens of thousands of times.
    let memory = tempfile::tempdir_in("/dev/shm");
    let dir = memory.or_else(|_| tempfile::tempdir()).unwrap();
    let at = |path: &str| dir.path().join(path);
    const DIRS: [&str; 6] =
        ["etc/default", "etc/modprobe.d", "boot/grub", "usr/share", "etc/grub.d", GUESTS];
    for path in DIRS {
        fs::create_dir_all(at(path)).unwrap();
    }
    fs::write(at("etc/libvirt/qemu/guest.xml"), "<domain/>\n").unwrap();
    fs::set_permissions(at("etc/libvirt/qemu/guest.xml"), fs::Permissions::from_mode(0o600))
        .unwrap();
    fs::write(at("etc/default/grub"), "GRUB_TIMEOUT=5\n").unwrap();
    fs::write(at("etc/modules"), "loop\n").unwrap();
    fs::set_permissions(at("etc/modules"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(at("usr/share/real"), "linked\n").unwrap();
    symlink("../usr/share/real", at("etc/link")).unwrap();
    symlink("nowhere", at("etc/dangling")).unwrap();
    fs::write(at("boot/grub/grub.cfg"), "old menu\n").unwrap();
    fs::write(at("boot/initrd.img-6.1"), "old initrd\n").unwrap();
    age(dir.path());
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            age(&path);
        }
        let time = std::time::UNIX_EPOCH + Duration::new(1_577_934_245, 678_901_234);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

pub(super) fn plan(root: &Root) -> Plan {
    let mut draft = Draft::new(root);
    draft.write("etc/default/grub", "GRUB_TIMEOUT=5\nGRUB_DEFAULT=saved\n").unwrap();
    draft.write("etc/modprobe.d/deploy-vfio.conf", "options vfio-pci ids=10de:2484\n").unwrap();
    draft.write("etc/deploy-vfio/a/b", "new\n").unwrap();
    draft.write_executable("etc/libvirt/hooks/qemu.d/50-x", "#!/bin/sh\n").unwrap();
    draft.write("etc/link", "through\n").unwrap();
    let guest = "etc/libvirt/qemu/guest.xml";
    if !draft.text(guest).unwrap().unwrap().contains("ours") {
        draft.write(guest, "<domain>ours</domain>\n").unwrap();
    }
    draft.symlink("etc/new-link", "default/grub");
    draft.remove("etc/dangling");
    draft.remove("etc/modules");
    draft.finish("static file").unwrap()
}

/// Everything outside the state directory: type, mode, owner, time, content.
pub(super) fn tree(dir: &Path) -> BTreeMap<String, String> {
    fn walk(top: &Path, dir: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
            if name == "var" {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                walk(top, &path, out);
                format!("{:o} {} {}.{}", meta.mode(), meta.uid(), meta.mtime(), meta.mtime_nsec())
            } else {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                let time = format!("{}.{}", meta.mtime(), meta.mtime_nsec());
                format!("{:o} {} {} {time} {text:?}", meta.mode(), meta.uid(), meta.nlink())
            };
            out.insert(name, what);
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

/// The same below `etc`, but for the times.
pub(super) fn content(dir: &Path) -> BTreeMap<String, String> {
    fn walk(top: &Path, dir: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
            match (path.is_symlink(), path.is_dir()) {
                (true, _) => drop(out.insert(name, format!("{:?}", fs::read_link(&path).unwrap()))),
                (_, true) if name == "var" => {}
                (_, true) => {
                    out.insert(name, String::new());
                    walk(top, &path, out);
                }
                _ => {
                    let mode = fs::metadata(&path).unwrap().mode();
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                    out.insert(name, format!("{mode:o} {text}"));
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

pub(super) fn assert_same(
    now: &BTreeMap<String, String>,
    old: &BTreeMap<String, String>,
    what: &str,
) {
    for (name, value) in old {
        assert_eq!(now.get(name), Some(value), "{what}: {name}");
    }
    for name in now.keys() {
        assert!(old.contains_key(name), "{what}: {name} is left over");
    }
}

#[test]
fn undo_restores_every_byte_and_time() {
    let (dir, root) = machine();
    let old = tree(dir.path());
    let fake = Fake { fail: false };
    let plan = plan(&root);
    let applied = apply(&root, &plan, &settings(&fake)).unwrap();
    assert_eq!(applied.id, 1);
    let new = content(dir.path());
    assert_eq!(root.text("usr/share/real").unwrap().as_deref(), Some("through\n"));
    assert_eq!(root.link("etc/link").unwrap().as_deref(), Some("../usr/share/real"));
    assert!(root.text("boot/grub/grub.cfg").unwrap().unwrap().contains("GRUB_DEFAULT=saved"));
    let guest = root.text("etc/libvirt/qemu/guest.xml").unwrap().unwrap();
    assert_eq!(guest, "<domain>ours, and an address</domain>\n");
    let standings = standing(&root, &history(&root).unwrap()[0]).unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::InPlace));
    assert!(self::plan(&root).is_empty(), "the same draft again changes nothing");

    let undone = undo(&root, OnConflict::Stop, &settings(&fake)).unwrap().unwrap();
    assert_eq!((undone.id, undone.kept.len()), (1, 0));
    let mut now = tree(dir.path());
    let mut old = old;
    // An undo builds these anew; the files it builds them from are as before.
    for built in ["boot", "boot/grub", "boot/grub/grub.cfg", "boot/initrd.img-6.1"] {
        now.remove(built);
        old.remove(built);
    }
    assert_same(&now, &old, "after undo");
    assert_eq!(undo(&root, OnConflict::Stop, &settings(&fake)).unwrap(), None);

    redo(&root, &settings(&fake)).unwrap().unwrap();
    assert_same(&content(dir.path()), &new, "after redo");
    assert_eq!(redo(&root, &settings(&fake)).unwrap(), None);
    undo(&root, OnConflict::Stop, &settings(&fake)).unwrap().unwrap();
    let mut now = tree(dir.path());
    for built in ["boot", "boot/grub", "boot/grub/grub.cfg", "boot/initrd.img-6.1"] {
        now.remove(built);
    }
    assert_same(&now, &old, "after the second undo");
    assert_eq!(recover(&root, &settings(&fake)).unwrap(), []);
}

#[test]
fn a_failing_generator_rolls_everything_back() {
    let (dir, root) = machine();
    let old = tree(dir.path());
    let error = apply(&root, &plan(&root), &settings(&Fake { fail: true })).unwrap_err();
    assert!(matches!(error, Error::Program { .. }), "{error}");
    assert_same(&tree(dir.path()), &old, "after a failed update-grub");
    assert_eq!(history(&root).unwrap()[0].state, State::RolledBack);
    assert_eq!(interrupted(&root).unwrap(), None);
}

/// Recovers, with the power cut again and again on the way.
fn recover_through_cuts(root: &Root, fake: &Fake, first: usize) {
    for calls in (first..).step_by(7) {
        let disk = Disk::cut_after(calls);
        if Work::new(root, &disk, &settings(fake)).recover().is_ok() {
            break;
        }
    }
    recover(root, &settings(fake)).unwrap();
    assert_eq!(interrupted(root).unwrap(), None);
}

/// A machine that a law is tried on, and what is done to it.
pub(super) type Trial = (fn() -> (tempfile::TempDir, Root), fn(&Root) -> Plan);

/// Cuts the power at every call of an apply, looks at what is there, recovers: the tree is the old
/// one or the new.
pub(super) fn cut_applies((machine, plan): Trial, look: impl Fn(&Root, usize)) {
    let fake = Fake { fail: false };
    let mut cuts = 0;
    for calls in 0.. {
        let (dir, root) = machine();
        let old = tree(dir.path());
        let plan = plan(&root);
        let done = Work::new(&root, &Disk::cut_after(calls), &settings(&fake)).apply(&plan);
        look(&root, calls);
        recover_through_cuts(&root, &fake, calls % 11);
        let applied = history(&root).unwrap().iter().any(|o| o.state == State::Applied);
        if !applied {
            assert_same(&tree(dir.path()), &old, &format!("cut at {calls}"));
            cuts += 1;
        } else if done.is_ok() {
            break;
        }
    }
    assert!(cuts > 50, "only {cuts} cuts: the test no longer reaches the files");
}

/// The same for an undo: it is done or it is not.
pub(super) fn cut_undos((machine, plan): Trial) {
    cut_undos_of(machine, &[plan]);
}

/// The same of several operations, all of which are undone, or none.
fn cut_undos_of(machine: fn() -> (tempfile::TempDir, Root), plans: &[fn(&Root) -> Plan]) {
    let fake = Fake { fail: false };
    let mut undone = 0;
    for calls in 0.. {
        let (dir, root) = machine();
        let mut old = content(dir.path());
        for plan in plans {
            apply(&root, &plan(&root), &settings(&fake)).unwrap();
        }
        let new = content(dir.path());
        let disk = Disk::cut_after(calls);
        let done = Work::new(&root, &disk, &settings(&fake)).undo(OnConflict::Stop, plans.len());
        assert!(!matches!(done, Err(Error::Conflict { .. })), "it was not cut off: {done:?}");
        recover_through_cuts(&root, &fake, calls % 11);
        let mut now = content(dir.path());
        let states: Vec<_> = history(&root).unwrap().into_iter().map(|op| op.state).collect();
        if states.iter().all(|state| *state == State::Undone) {
            for built in ["boot/grub/grub.cfg", "boot/initrd.img-6.1"] {
                now.remove(built);
                old.remove(built);
            }
            assert_same(&now, &old, &format!("cut at {calls}"));
            undone += 1;
        } else {
            let none = states.iter().all(|state| *state == State::Applied);
            assert!(none, "cut at {calls}: {states:?}");
            assert_same(&now, &new, &format!("cut at {calls}"));
        }
        if done.is_ok() {
            break;
        }
    }
    assert!(undone > 10, "only {undone} cuts left an undo to finish");
}

#[test]
fn a_power_cut_anywhere_leaves_the_old_tree_or_the_new() {
    cut_applies((machine, plan), |root, calls| {
        let grub = root.text("boot/grub/grub.cfg").unwrap().unwrap();
        assert!(grub.starts_with("old menu") || grub.starts_with("menu of"), "torn at {calls}");
    });
}

/// The same where names cannot be exchanged, as on a firmware's partition, or not be taken only if free.
#[test]
fn a_power_cut_leaves_the_old_tree_or_the_new_on_poor_file_systems() {
    for lacks in [Lacks::Exchange, Lacks::Flags] {
        LACKS.set(lacks);
        cut_applies((machine, plan), |root, calls| {
            let menu = root.text("boot/grub/grub.cfg").unwrap().unwrap_or_default();
            let whole = menu.starts_with("old menu") || menu.starts_with("menu of");
            assert!(whole, "{lacks:?}: torn at {calls}: {menu:?}");
        });
        cut_undos((machine, plan));
        LACKS.set(Lacks::Nothing);
    }
}

#[test]
fn a_power_cut_in_an_undo_leaves_it_undone() {
    cut_undos((machine, plan));
}

/// Nothing is left but what an undo left to be rebuilt: the menu is the old one or the new one, what is undone
/// stays so, and a recovery that is cut off, too, leaves the rebuild owed.
#[test]
fn a_power_cut_while_only_a_rebuild_is_owed_leaves_all_undone() {
    let fake = Fake { fail: false };
    let mut finished = 0;
    for calls in 0.. {
        let (dir, root) = machine();
        apply(&root, &plan(&root), &settings(&fake)).unwrap();
        undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
        let undone = content(dir.path());
        let disk = Disk::cut_after(calls);
        let done = Work::new(&root, &disk, &settings(&fake)).undo(OnConflict::Stop, 1);
        recover_through_cuts(&root, &fake, calls % 11);
        let operation = history(&root).unwrap().remove(0);
        assert_eq!(operation.state, State::Undone, "cut at {calls}");
        let mut now = content(dir.path());
        if operation.by_hand.is_empty() {
            let menu = root.text("boot/grub/grub.cfg").unwrap().unwrap();
            assert_eq!(menu, "menu of GRUB_TIMEOUT=5\n", "cut at {calls}");
            for built in ["boot/grub/grub.cfg", "boot/initrd.img-6.1"] {
                now.insert(built.to_owned(), undone[built].clone());
            }
            finished += 1;
        }
        assert_same(&now, &undone, &format!("cut at {calls}"));
        assert_eq!(redo(&root, &settings(&fake)).unwrap().map(|redone| redone.id), Some(1));
        if done.is_ok() {
            break;
        }
    }
    assert!(finished > 5, "only {finished} cuts left a rebuild that was finished");
}

/// On top of the first: a file of its again, one of its own, and one of its taken away.
fn more(root: &Root) -> Plan {
    let mut draft = Draft::new(root);
    draft.write("etc/default/grub", "A=3\n").unwrap();
    draft.write("etc/new/deep/two", "two\n").unwrap();
    draft.remove("etc/modprobe.d/deploy-vfio.conf");
    draft.finish("more").unwrap()
}

#[test]
fn a_power_cut_while_everything_is_taken_back_leaves_all_or_nothing() {
    cut_undos_of(machine, &[plan, more]);
}

#[test]
fn one_failing_call_changes_nothing_or_is_reported() {
    let fake = Fake { fail: false };
    for calls in 0.. {
        let (dir, root) = machine();
        let old = tree(dir.path());
        let disk = Disk::fault_after(calls);
        match Work::new(&root, &disk, &settings(&fake)).apply(&plan(&root)) {
            Ok(_) if calls > 600 => break,
            Ok(_) => {
                let strays = tree(dir.path());
                let stray = strays.keys().find(|name| name.contains(".dv-"));
                assert_eq!(stray, None, "call {calls}");
            }
            Err(Error::NeedsRecovery { .. }) => recover(&root, &settings(&fake)).map(drop).unwrap(),
            Err(_) => assert_same(&tree(dir.path()), &old, &format!("call {calls}")),
        }
    }
}

/// An undo that was to discard an edit is cut off, and then a directory takes the file's place.
#[test]
fn a_recovered_undo_leaves_what_took_a_files_place() {
    let fake = Fake { fail: false };
    let mut tried = 0;
    for calls in (0..).step_by(9) {
        let (dir, root) = machine();
        let file = dir.path().join("etc/modprobe.d/deploy-vfio.conf");
        apply(&root, &plan(&root), &settings(&fake)).unwrap();
        fs::write(&file, "mine\n").unwrap();
        let disk = Disk::cut_after(calls);
        if Work::new(&root, &disk, &settings(&fake)).undo(OnConflict::Restore, 1).is_ok() {
            break;
        }
        if history(&root).unwrap()[0].state != State::Undoing {
            continue;
        }
        let _ = fs::remove_file(&file);
        fs::create_dir(&file).unwrap();
        let recovered = recover(&root, &settings(&fake)).unwrap();
        assert_eq!((recovered[0].outcome, recovered[0].kept.len()), ("undone", 1), "{calls}");
        assert!(file.is_dir() && dir.path().join("etc/modules").exists(), "cut at {calls}");
        assert_eq!(interrupted(&root).unwrap(), None);
        tried += 1;
    }
    assert!(tried > 5, "only {tried} cuts left an undo to finish");
}

#[test]
fn an_operation_that_takes_away_what_another_made_leaves_no_empty_directory() {
    let (dir, root) = machine();
    let fake = Fake { fail: false };
    let old = tree(dir.path());
    let plan_of = |act: &dyn Fn(&mut Draft<'_>)| {
        let mut draft = Draft::new(&root);
        act(&mut draft);
        draft.finish("one of two").unwrap()
    };
    let on = plan_of(&|draft| draft.write("etc/made/deep/one", "1\n").unwrap());
    apply(&root, &on, &settings(&fake)).unwrap();
    let with = tree(dir.path());
    let off = plan_of(&|draft| draft.remove("etc/made/deep/one"));
    apply(&root, &off, &settings(&fake)).unwrap();
    assert_eq!(content(dir.path()).keys().find(|path| path.contains("made")), None);
    undo(&root, OnConflict::Stop, &settings(&fake)).unwrap().unwrap();
    assert_same(&tree(dir.path()), &with, "after the first undo");
    redo(&root, &settings(&fake)).unwrap().unwrap();
    assert_eq!(content(dir.path()).keys().find(|path| path.contains("made")), None);
    for _ in 0..2 {
        undo(&root, OnConflict::Stop, &settings(&fake)).unwrap().unwrap();
    }
    assert_same(&tree(dir.path()), &old, "after both");
}

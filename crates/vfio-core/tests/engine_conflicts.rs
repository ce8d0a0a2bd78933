//! What the engine does when it is not alone: edits before, during and after, signals, damage.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{
    cell::Cell,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use vfio_core::{
    Advice, Error, Exit, Result, Root,
    change::{
        self, Artefact, Draft, Interrupt, Job, NoRebuild, OnConflict, Plan, Rebuild, Rebuilder,
        Settings, Standing, State,
    },
};

/// Runs a callback where a generator would run.
struct Meanwhile<'a>(&'a dyn Fn());

impl Rebuilder for Meanwhile<'_> {
    fn stage(&self, root: &Root, what: Rebuild, job: &Job<'_>) -> Result<Vec<Artefact>> {
        (self.0)();
        let staged = format!("boot/grub/.grub.cfg.{}.new~", job.tag);
        fs::write(root.path().join(&staged), "new menu\n").unwrap();
        Ok(vec![Artefact {
            what,
            path: "boot/grub/grub.cfg".to_owned(),
            staged,
            listing: None,
            replaces: None,
        }])
    }

    fn by_hand(&self, _: &Root, _: Rebuild) -> Vec<String> {
        Vec::new()
    }
}

fn machine() -> (tempfile::TempDir, Root) {
    let memory = tempfile::tempdir_in("/dev/shm");
    let dir = memory.or_else(|_| tempfile::tempdir()).unwrap();
    fs::create_dir_all(dir.path().join("etc/default")).unwrap();
    fs::create_dir_all(dir.path().join("boot/grub")).unwrap();
    fs::write(dir.path().join("etc/default/grub"), "A=1\n").unwrap();
    fs::write(dir.path().join("etc/modules"), "loop\n").unwrap();
    fs::write(dir.path().join("boot/grub/grub.cfg"), "old menu\n").unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

fn plan(root: &Root) -> Plan {
    let mut draft = Draft::new(root);
    draft.write("etc/default/grub", "A=2\n").unwrap();
    draft.write("etc/modules", "loop\nvfio\n").unwrap();
    draft.write("etc/new", "new\n").unwrap();
    draft.finish("test").unwrap()
}

static CALM: Interrupt = Interrupt::new();

fn settings(rebuilder: &dyn Rebuilder) -> Settings<'_> {
    let wait = Duration::from_millis(100);
    Settings { rebuilder, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

fn read(dir: &Path, path: &str) -> String {
    fs::read_to_string(dir.join(path)).unwrap_or_else(|_| "(absent)".to_owned())
}

fn strays(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() && !path.ends_with("var") {
            found.extend(strays(&path));
        } else if path.to_string_lossy().contains(".dv-") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn an_edit_before_the_apply_stops_it() {
    let (dir, root) = machine();
    let plan = plan(&root);
    fs::write(dir.path().join("etc/modules"), "mine\n").unwrap();
    let error = change::apply(&root, &plan, &settings(&NoRebuild)).unwrap_err();
    assert!(matches!(&error, Error::Changed { path } if path == "etc/modules"), "{error}");
    assert_eq!(error.exit(), Exit::Busy);
    assert_eq!(read(dir.path(), "etc/default/grub"), "A=1\n");
}

#[test]
fn an_edit_during_the_apply_survives_and_everything_else_goes_back() {
    let (dir, root) = machine();
    let edit = || fs::write(dir.path().join("etc/modules"), "mine\n").unwrap();
    let error = change::apply(&root, &plan(&root), &settings(&Meanwhile(&edit))).unwrap_err();
    assert!(matches!(&error, Error::Changed { path } if path == "etc/modules"), "{error}");
    assert_eq!(read(dir.path(), "etc/modules"), "mine\n");
    assert_eq!(read(dir.path(), "etc/default/grub"), "A=1\n");
    assert_eq!(read(dir.path(), "etc/new"), "(absent)");
    assert_eq!(read(dir.path(), "boot/grub/grub.cfg"), "old menu\n");
    assert_eq!(strays(dir.path()), Vec::<String>::new());
}

#[test]
fn a_menu_that_someone_else_builds_meanwhile_survives() {
    let (dir, root) = machine();
    let edit = || fs::write(dir.path().join("etc/new2"), "x").unwrap();
    let verify = |root: &Root, artefacts: &[Artefact]| {
        assert_eq!(artefacts.len(), 1);
        assert_eq!(root.text(&artefacts[0].staged)?.as_deref(), Some("new menu\n"));
        Err(Error::Unverified { what: "no".to_owned(), because: Vec::new() })
    };
    let rebuilder = Meanwhile(&edit);
    let settings = Settings { verify: Some(&verify), ..settings(&rebuilder) };
    let error = change::apply(&root, &plan(&root), &settings).unwrap_err();
    assert_eq!(error.exit(), Exit::Unverified);
    assert_eq!(read(dir.path(), "boot/grub/grub.cfg"), "old menu\n");
    assert_eq!(read(dir.path(), "etc/new2"), "x");
    assert_eq!(strays(dir.path()), Vec::<String>::new());
    assert_eq!(change::history(&root).unwrap()[0].state, State::RolledBack);
}

#[test]
fn a_signal_at_any_time_puts_everything_back() {
    let (dir, root) = machine();
    let interrupt = Interrupt::new();
    interrupt.raise(15);
    let early = Settings { interrupt: &interrupt, ..settings(&NoRebuild) };
    let error = change::apply(&root, &plan(&root), &early).unwrap_err();
    assert_eq!(error.exit(), Exit::Terminated);
    let interrupt = Interrupt::new();
    let raise = || interrupt.raise(2);
    let rebuilder = Meanwhile(&raise);
    let during = Settings { interrupt: &interrupt, ..settings(&rebuilder) };
    let error = change::apply(&root, &plan(&root), &during).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted);
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
    assert_eq!(read(dir.path(), "boot/grub/grub.cfg"), "old menu\n");
    assert_eq!(strays(dir.path()), Vec::<String>::new());
    assert_eq!(change::interrupted(&root).unwrap(), None);
}

#[test]
fn an_edited_file_is_a_conflict_until_the_user_decides() {
    for (on_conflict, modules) in [(OnConflict::Keep, "mine\n"), (OnConflict::Restore, "loop\n")] {
        let (dir, root) = machine();
        change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
        fs::write(dir.path().join("etc/modules"), "mine\n").unwrap();
        let error = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap_err();
        assert!(matches!(&error, Error::Conflict { id: 1, paths } if paths == &["etc/modules"]));
        assert_eq!(read(dir.path(), "etc/default/grub"), "A=2\n", "nothing changed");
        let operation = &change::history(&root).unwrap()[0];
        let standing = change::standing(&root, operation).unwrap();
        assert!(standing.contains(&("etc/modules".to_owned(), Standing::Edited)));
        let preview = |on| change::preview_undo(&root, on).unwrap().unwrap();
        let stop = preview(OnConflict::Stop);
        assert_eq!(stop.conflict.unwrap().to_string(), error.to_string(), "a dry run says it too");
        assert_eq!(stop.plan.changes.len(), 2);
        let edits = change::diff(&stop.edits);
        assert!(edits.ends_with("@@ -1,2 +1 @@\n-loop\n-vfio\n+mine\n"), "{edits}");
        let shown = preview(on_conflict);
        assert!(shown.conflict.is_none());
        let discarded = change::diff(&shown.plan).contains("\n-mine\n+loop\n");
        assert_eq!(discarded, on_conflict == OnConflict::Restore);
        let undone = change::undo(&root, on_conflict, &settings(&NoRebuild)).unwrap().unwrap();
        assert_eq!(undone.kept.is_empty(), on_conflict == OnConflict::Restore);
        assert_eq!(read(dir.path(), "etc/modules"), modules);
        assert_eq!(read(dir.path(), "etc/default/grub"), "A=1\n");
        assert_eq!(read(dir.path(), "etc/new"), "(absent)");
        assert!(!undone.by_hand.is_empty(), "the boot menu is left to the user");
    }
}

#[test]
fn a_block_is_taken_out_around_the_users_edits() {
    let (dir, root) = machine();
    let mut draft = Draft::new(&root);
    let text = change::edit::set_block(b"A=1\n", "OURS=1\n").unwrap();
    draft.write("etc/default/grub", text).unwrap();
    change::apply(&root, &draft.finish("block").unwrap(), &settings(&NoRebuild)).unwrap();
    let edited = format!("B=2\n{}C=3\n", read(dir.path(), "etc/default/grub"));
    fs::write(dir.path().join("etc/default/grub"), edited).unwrap();
    let undone = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
    assert_eq!(undone.kept, Vec::<String>::new());
    assert_eq!(read(dir.path(), "etc/default/grub"), "B=2\nA=1\nC=3\n");
}

#[test]
fn undo_goes_further_back_and_redo_forward_until_something_new_is_applied() {
    let (dir, root) = machine();
    let write = |text: &str| {
        let mut draft = Draft::new(&root);
        draft.write("etc/modules", text).unwrap();
        change::apply(&root, &draft.finish(text).unwrap(), &settings(&NoRebuild)).unwrap().id
    };
    let undo = || change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap();
    let redo = || change::redo(&root, &settings(&NoRebuild)).unwrap();
    assert_eq!((write("one"), write("two"), write("three")), (1, 2, 3));
    assert_eq!((undo().unwrap().id, undo().unwrap().id), (3, 2));
    assert_eq!(read(dir.path(), "etc/modules"), "one");
    assert_eq!(redo().unwrap().id, 2);
    assert_eq!(read(dir.path(), "etc/modules"), "two");
    assert_eq!(undo().unwrap().id, 2);
    assert_eq!(write("four"), 4);
    assert_eq!(redo(), None, "something new was applied");
    assert_eq!(undo().unwrap().id, 4);
    assert_eq!(change::preview_redo(&root).unwrap().unwrap().0.id, 4);
    assert_eq!(redo().unwrap().id, 4);
    assert_eq!(read(dir.path(), "etc/modules"), "four");
    assert_eq!((undo().unwrap().id, undo().unwrap().id), (4, 1));
    assert_eq!(undo(), None);
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
}

#[test]
fn what_could_not_be_put_back_is_refused_and_nothing_is_written() {
    let (dir, root) = machine();
    let at = |path: &str| dir.path().join(path);
    fs::hard_link(at("etc/modules"), at("etc/modules.twin")).unwrap();
    let error = change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused);
    assert!(!error.help().is_empty());
    assert!(!at("var").exists(), "nothing is written");
    fs::remove_file(at("etc/modules.twin")).unwrap();

    symlink("/etc/modules", at("etc/alias")).unwrap();
    let mut draft = Draft::new(&root);
    draft.write("etc/alias", "a").unwrap();
    draft.write("etc/modules", "b").unwrap();
    let twice = draft.finish("twice").unwrap();
    assert!(change::apply(&root, &twice, &settings(&NoRebuild)).is_err());

    fs::create_dir(at("etc/dir")).unwrap();
    symlink("nowhere", at("etc/dangling")).unwrap();
    fs::write(at("etc/large"), vec![b'x'; 1 << 21]).unwrap();
    for path in ["etc/dir", "etc/large"] {
        assert!(Draft::new(&root).write(path, "x").is_err(), "{path}");
    }
    let mut draft = Draft::new(&root);
    draft.write("etc/dangling", "x").unwrap();
    assert!(draft.finish("dangling").is_err());
    let mut draft = Draft::new(&root);
    draft.write("proc/x", "x").unwrap();
    let error = change::apply(&root, &draft.finish("p").unwrap(), &settings(&NoRebuild));
    assert_eq!(error.unwrap_err().exit(), Exit::Refused);
}

#[test]
fn a_state_directory_that_others_may_write_is_refused() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    let state = dir.path().join("var/lib/deploy-vfio");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let error = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(state.join("format"), "9\n").unwrap();
    let error = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused);
}

#[test]
fn two_runs_do_not_work_at_once() {
    let (_dir, root) = machine();
    let tried = Cell::new(false);
    let second = || {
        let error = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap_err();
        assert_eq!(error.exit(), Exit::Busy);
        tried.set(true);
    };
    change::apply(&root, &plan(&root), &settings(&Meanwhile(&second))).unwrap();
    assert!(tried.get());
}

#[test]
fn a_damaged_record_is_shown_and_nothing_is_done_on_its_word() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    let tx = dir.path().join("var/lib/deploy-vfio/tx/000001");
    for name in ["journal", "plan.json", "pre/0000", "post/0001"] {
        let whole = fs::read(tx.join(name)).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            fs::write(tx.join(name), bad).unwrap();
            let operation = change::history(&root).unwrap().remove(0);
            assert_eq!(operation.state == State::Damaged, operation.damage.is_some());
            if operation.state == State::Damaged {
                let undo = change::undo(&root, OnConflict::Stop, &settings(&NoRebuild));
                assert_eq!(undo.unwrap_err().exit(), Exit::NeedsRecovery, "{name} byte {at}");
            } else {
                assert_eq!(name, "journal", "{name} byte {at}");
                assert_eq!(operation.state, State::Applied, "{name} byte {at}");
            }
        }
        fs::write(tx.join(name), &whole).unwrap();
    }
    change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
}

#[test]
fn attributes_and_owners_come_back() {
    let (dir, root) = machine();
    let file = dir.path().join("etc/modules");
    if xattr::set(&file, "user.note", b"\x00\xff").is_err() {
        return;
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    assert_eq!(xattr::get(&file, "user.note").unwrap().unwrap(), b"\x00\xff");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
    assert_eq!(xattr::get(&file, "user.note").unwrap().unwrap(), b"\x00\xff");
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
}

#[test]
fn what_could_not_be_taken_back_is_not_written() {
    let (dir, root) = machine();
    let with = |files: &[(&str, usize)]| {
        let mut draft = Draft::new(&root);
        for &(path, size) in files {
            draft.write(path, vec![b'x'; size]).unwrap();
        }
        change::apply(&root, &draft.finish("test").unwrap(), &settings(&NoRebuild))
    };
    let most = 1 << 20;
    let too_large = with(&[("etc/new", most + 1)]).unwrap_err();
    assert_eq!(too_large.because(), ["it is larger than 1 MiB"]);
    let both = with(&[("etc/new", 1), ("etc/new/below", 1)]).unwrap_err();
    assert_eq!(both.because(), ["the plan makes /etc/new a file"]);
    for error in [too_large, both] {
        assert_eq!(error.exit(), Exit::Refused);
    }
    assert!(change::history(&root).unwrap().is_empty());
    assert_eq!(read(dir.path(), "etc/new"), "(absent)");

    with(&[("etc/new", most)]).unwrap();
    change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap();
    assert_eq!(read(dir.path(), "etc/new"), "(absent)");
}

#[test]
fn a_redo_over_an_edit_names_a_way_out_that_redo_has() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    fs::write(dir.path().join("etc/modules"), "mine\n").unwrap();
    change::undo(&root, OnConflict::Keep, &settings(&NoRebuild)).unwrap();
    let error = change::redo(&root, &settings(&NoRebuild)).unwrap_err();
    assert_eq!(error.exit(), Exit::Conflict);
    assert!(error.to_string().contains("cannot be done again: /etc/modules"), "{error}");
    assert!(!error.help().concat().contains("--keep"), "{:?}", error.help());
    assert_eq!(read(dir.path(), "etc/modules"), "mine\n");
}

#[test]
fn a_directory_that_is_no_record_is_no_operation() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    fs::create_dir(dir.path().join("var/lib/deploy-vfio/tx/0000001")).unwrap();
    assert_eq!(change::history(&root).unwrap().len(), 1);
}

#[test]
fn a_directory_in_the_place_of_a_file_is_not_restored_over() {
    for kind in ["etc/modules", "etc/new"] {
        let (dir, root) = machine();
        change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
        fs::remove_file(dir.path().join(kind)).unwrap();
        fs::create_dir_all(dir.path().join(kind).join("mine")).unwrap();
        let undo = |on| change::undo(&root, on, &settings(&NoRebuild));
        let error = undo(OnConflict::Restore).unwrap_err();
        assert_eq!(error.exit(), Exit::Conflict);
        assert_eq!(
            error.to_string(),
            format!("operation 1 cannot be taken back: /{kind} is a directory now")
        );
        let preview = change::preview_undo(&root, OnConflict::Restore).unwrap().unwrap();
        assert_eq!(preview.conflict.unwrap().to_string(), error.to_string());
        assert_eq!(read(dir.path(), "etc/default/grub"), "A=2\n", "nothing was changed");
        let undone = undo(OnConflict::Keep).unwrap().unwrap();
        assert_eq!(undone.kept, [kind]);
        assert!(dir.path().join(kind).join("mine").exists());
        assert_eq!(read(dir.path(), "etc/default/grub"), "A=1\n");
    }
}

#[test]
fn inode_flags_are_carried_over_and_come_back() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let (dir, root) = machine();
    let at = |path: &str| dir.path().join(path);
    let flags = |path: &str| {
        let file = fs::File::open(at(path)).unwrap();
        ioctl_getflags(file).map(|flags| flags & (IFlags::NOATIME | IFlags::NODUMP))
    };
    let set = |path: &str, more: IFlags| {
        let file = fs::File::open(at(path)).unwrap();
        ioctl_getflags(&file).and_then(|now| ioctl_setflags(&file, now | more))
    };
    let both = IFlags::NOATIME | IFlags::NODUMP;
    if set("etc/modules", both).is_err() {
        return;
    }
    let mut draft = Draft::new(&root);
    draft.write("etc/modules", "loop\nvfio\n").unwrap();
    draft.remove("etc/default/grub");
    set("etc/default/grub", IFlags::NODUMP).unwrap();
    change::apply(&root, &draft.finish("flags").unwrap(), &settings(&NoRebuild)).unwrap();
    assert_eq!(read(dir.path(), "etc/modules"), "loop\nvfio\n");
    assert_eq!(flags("etc/modules").unwrap(), both);
    // Flags alone are no edit, and what was there before comes back with its own.
    let file = fs::File::open(at("etc/modules")).unwrap();
    ioctl_setflags(&file, ioctl_getflags(&file).unwrap() - IFlags::NODUMP).unwrap();
    change::undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
    assert_eq!(flags("etc/modules").unwrap(), both);
    assert_eq!(flags("etc/default/grub").unwrap(), IFlags::NODUMP);
}

/// What stands behind the link is somebody else's, and the rest can be taken back.
#[test]
fn a_link_in_the_place_of_a_directory_is_an_edit() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    fs::rename(dir.path().join("etc/default"), dir.path().join("etc/moved")).unwrap();
    symlink("moved", dir.path().join("etc/default")).unwrap();
    let undo = |on| change::undo(&root, on, &settings(&NoRebuild));
    assert_eq!(undo(OnConflict::Stop).unwrap_err().exit(), Exit::Conflict);
    let error = undo(OnConflict::Restore).unwrap_err();
    assert_eq!(error.exit(), Exit::Conflict);
    assert_eq!(
        error.to_string(),
        "operation 1 cannot be taken back: /etc/default is not a directory"
    );
    assert_eq!(undo(OnConflict::Keep).unwrap().unwrap().kept, ["etc/default/grub"]);
    assert_eq!(read(dir.path(), "etc/moved/grub"), "A=2\n");
    assert_eq!(read(dir.path(), "etc/modules"), "loop\n");
    assert!(!dir.path().join("etc/new").exists());
}

/// No record could bring it back as it was.
#[test]
fn a_link_to_bytes_that_are_no_text_is_left_alone() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let (dir, root) = machine();
    let at = dir.path().join("etc/odd");
    symlink(OsStr::from_bytes(b"caf\xe9"), &at).unwrap();
    let mut draft = Draft::new(&root);
    draft.remove("etc/odd");
    let refused = draft.finish("odd").unwrap_err();
    assert_eq!(refused.exit(), Exit::Refused);
    assert_eq!(refused.because(), ["it is a symbolic link to a name that is not UTF-8"]);
    let written = Draft::new(&root).write("etc/odd", "x\n").unwrap_err();
    assert_eq!(written.because(), refused.because());
    assert_eq!(fs::read_link(&at).unwrap().as_os_str().as_bytes(), b"caf\xe9");
}

/// A dry run says it too.
#[test]
fn a_journal_that_others_may_write_is_refused_beforehand() {
    let (dir, root) = machine();
    change::apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    let state = dir.path().join("var/lib/deploy-vfio");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let mut draft = Draft::new(&root);
    draft.write("etc/more", "x\n").unwrap();
    let more = draft.finish("more").unwrap();
    let back = change::preview_undo(&root, OnConflict::Stop).unwrap().unwrap().plan;
    let wanted = settings(&NoRebuild);
    for refused in [
        change::check(&root, &more, &NoRebuild).unwrap_err(),
        change::check_undo(&root, &back, &NoRebuild).unwrap_err(),
        change::apply(&root, &more, &wanted).unwrap_err(),
        change::undo(&root, OnConflict::Stop, &wanted).unwrap_err(),
    ] {
        assert_eq!(refused.exit(), Exit::Refused);
        assert_eq!(refused.to_string(), "/var/lib/deploy-vfio is open to other users");
    }
}

/// A run that is still at work was not interrupted.
#[test]
fn an_operation_under_way_is_told_from_an_interrupted_one() {
    let (_dir, root) = machine();
    let seen = Cell::new(None);
    let look = || seen.set(Some(change::ready(&root).unwrap_err().exit()));
    let meanwhile = Meanwhile(&look);
    change::apply(&root, &plan(&root), &settings(&meanwhile)).unwrap();
    assert_eq!(seen.get(), Some(Exit::Busy));
    change::ready(&root).unwrap();
}

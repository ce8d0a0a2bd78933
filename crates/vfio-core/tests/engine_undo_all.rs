//! Everything taken back: all of it or nothing, with one rebuild, and what is owed is seen to.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fs,
    time::Duration,
};

use vfio_core::{
    Error, Result, Root,
    change::{
        self, Artefact, Draft, Interrupt, Job, NoRebuild, OnConflict, Plan, Rebuild, Rebuilder,
        Settings, State,
    },
};
use vfio_testkit::Tree;

static CALM: Interrupt = Interrupt::new();

/// Writes down what it is asked for, and fails where it is told to.
#[derive(Default)]
struct Notes {
    asked: RefCell<Vec<Rebuild>>,
    fails: Cell<bool>,
}

impl Rebuilder for Notes {
    fn stage(&self, _: &Root, what: Rebuild, _: &Job<'_>) -> Result<Vec<Artefact>> {
        self.asked.borrow_mut().push(what);
        match self.fails.get() {
            true => Err(Error::Unverified { what: "broken".to_owned(), because: Vec::new() }),
            false => Ok(Vec::new()),
        }
    }

    fn by_hand(&self, _: &Root, what: Rebuild) -> Vec<String> {
        vec![format!("rebuild {what}")]
    }
}

fn settings(notes: &Notes) -> Settings<'_> {
    let wait = Duration::from_millis(100);
    Settings { rebuilder: notes, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

/// Three operations, each with a rebuild of its own.
fn deployed(notes: &Notes) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for path in ["etc/default/grub.d", "etc/modprobe.d", "etc/systemd/system"] {
        fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    for path in
        ["etc/default/grub.d/x.cfg", "etc/modprobe.d/x.conf", "etc/systemd/system/x.service"]
    {
        let mut draft = Draft::new(&root);
        draft.write(path, "x\n").unwrap();
        change::apply(&root, &draft.finish(path).unwrap(), &settings(notes)).unwrap();
    }
    notes.asked.take();
    (dir, root)
}

const ALL: [Rebuild; 3] = [Rebuild::Initramfs, Rebuild::BootMenu, Rebuild::Units];

fn states(root: &Root) -> Vec<State> {
    change::history(root).unwrap().into_iter().map(|operation| operation.state).collect()
}

#[test]
fn all_is_rebuilt_once_with_the_last() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let undone = change::undo_all(&root, OnConflict::Stop, &settings(&notes)).unwrap();
    let told = undone.into_iter().map(|undone| (undone.id, undone.rebuilt.len(), undone.by_hand));
    assert_eq!(told.collect::<Vec<_>>(), [(3, 0, vec![]), (2, 0, vec![]), (1, 3, vec![])]);
    assert_eq!(*notes.asked.borrow(), ALL);
    assert_eq!(states(&root), [State::Undone; 3]);
    // One after the other can be done again.
    for id in 1..=3 {
        let redone = change::redo(&root, &settings(&notes)).unwrap().unwrap();
        assert_eq!(redone.id, id);
    }
    assert_eq!(states(&root), [State::Applied; 3]);
}

/// A rebuild that fails puts all operations back.
#[test]
fn all_of_them_or_none() {
    let notes = Notes::default();
    let (dir, root) = deployed(&notes);
    let before = Tree::read(dir.path()).unwrap().without(&["var"]);
    notes.fails.set(true);
    change::undo_all(&root, OnConflict::Stop, &settings(&notes)).unwrap_err();
    assert_eq!(states(&root), [State::Applied; 3]);
    assert_eq!(Tree::read(dir.path()).unwrap().without(&["var"]), before);
    notes.fails.set(false);
    change::undo_all(&root, OnConflict::Stop, &settings(&notes)).unwrap();
    assert_eq!(states(&root), [State::Undone; 3]);
}

/// What was left to be done by hand is seen to by the next undo that rebuilds, once.
#[test]
fn what_is_owed_is_announced_and_seen_to_once() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let by_hand = Settings { rebuilder: &NoRebuild, ..settings(&notes) };
    change::undo(&root, OnConflict::Stop, &by_hand).unwrap().unwrap();
    change::undo(&root, OnConflict::Stop, &by_hand).unwrap().unwrap();
    let owing = change::history(&root).unwrap().into_iter().filter(|op| !op.by_hand.is_empty());
    // Nobody has to tell the systemd of a tree anything.
    assert_eq!(owing.map(|operation| operation.id).collect::<Vec<_>>(), [2]);

    let preview = change::preview_undo(&root, OnConflict::Stop).unwrap().unwrap();
    let both = [Rebuild::Initramfs, Rebuild::BootMenu];
    assert_eq!(preview.plan.rebuilds(), BTreeSet::from(both));
    notes.asked.take();
    change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().unwrap();
    assert_eq!(*notes.asked.borrow(), both);
    assert!(change::history(&root).unwrap().iter().all(|op| op.by_hand.is_empty()));

    let mut draft = Draft::new(&root);
    draft.write("etc/other.conf", "x\n").unwrap();
    change::apply(&root, &draft.finish("other").unwrap(), &settings(&notes)).unwrap();
    notes.asked.take();
    change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().unwrap();
    assert!(notes.asked.borrow().is_empty());
}

/// Files that somebody took back already, as the rescue script does, are rebuilt from as well.
#[test]
fn files_that_are_back_already_are_rebuilt_from() {
    let notes = Notes::default();
    let (dir, root) = deployed(&notes);
    fs::remove_file(dir.path().join("etc/systemd/system/x.service")).unwrap();
    change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().unwrap();
    assert_eq!(*notes.asked.borrow(), [Rebuild::Units]);
}

/// Where nothing is left to be taken back, what was left to be rebuilt is rebuilt, or all is as it was.
#[test]
fn what_is_owed_is_rebuilt_on_its_own() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let by_hand = Settings { rebuilder: &NoRebuild, ..settings(&notes) };
    change::undo_all(&root, OnConflict::Stop, &by_hand).unwrap();
    assert!(change::undo_all(&root, OnConflict::Stop, &by_hand).unwrap().is_empty());
    let owes = || change::history(&root).unwrap().iter().any(|op| !op.by_hand.is_empty());

    let preview = change::preview_undo_all(&root, OnConflict::Stop).unwrap();
    assert_eq!((preview.len(), preview[0].operation.state), (1, State::Undone));
    assert!(preview[0].plan.is_empty());
    assert_eq!(preview[0].plan.rebuilds(), BTreeSet::from(ALL));
    notes.fails.set(true);
    change::undo_shown(&root, &preview, OnConflict::Stop, &settings(&notes)).unwrap_err();
    assert_eq!((states(&root), owes()), (vec![State::Undone; 3], true));

    notes.fails.set(false);
    notes.asked.take();
    let undone = change::undo_shown(&root, &preview, OnConflict::Stop, &settings(&notes)).unwrap();
    assert_eq!(undone.iter().map(|undone| undone.rebuilt.len()).collect::<Vec<_>>(), [3]);
    assert_eq!(*notes.asked.borrow(), ALL);
    assert_eq!((states(&root), owes()), (vec![State::Undone; 3], false));
    assert!(change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().is_none());
    assert_eq!(change::redo(&root, &settings(&notes)).unwrap().unwrap().id, 1);
}

/// GRUB tries an entry once, for who planned the trial: taking that back or doing it again never has it tried.
#[test]
fn nothing_but_a_plan_puts_an_entry_on_trial() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let apply = |text: Option<&str>| {
        let mut draft = Draft::new(&root);
        match text {
            Some(text) => draft.write("etc/deploy-vfio/trial.toml", text).unwrap(),
            None => draft.remove("etc/deploy-vfio/trial.toml"),
        }
        change::apply(&root, &draft.finish("trial").unwrap(), &settings(&notes)).unwrap();
        notes.asked.take()
    };
    assert_eq!(apply(Some("x")), [Rebuild::Trial]);
    assert_eq!(apply(None), [Rebuild::Trial]);
    for _ in 0..2 {
        change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().unwrap();
    }
    for _ in 0..2 {
        change::redo(&root, &settings(&notes)).unwrap().unwrap();
    }
    assert_eq!(notes.asked.take(), [Rebuild::NoTrial; 4]);
}

/// What any later operation builds is owed no more.
#[test]
fn a_later_rebuild_sees_to_what_is_owed() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let by_hand = Settings { rebuilder: &NoRebuild, ..settings(&notes) };
    let write = |text: &str, settings: &Settings<'_>| {
        let mut draft = Draft::new(&root);
        draft.write("etc/modprobe.d/x.conf", text).unwrap();
        change::apply(&root, &draft.finish("more").unwrap(), settings).unwrap();
    };
    let owes = || change::history(&root).unwrap().iter().any(|op| !op.by_hand.is_empty());
    write("y\n", &by_hand);
    assert!(owes());
    write("z\n", &settings(&notes));
    assert!(!owes());
}

/// Nobody said yes to what was not shown.
#[test]
fn only_what_was_shown_is_done() {
    let notes = Notes::default();
    let (dir, root) = deployed(&notes);
    let edited = dir.path().join("etc/systemd/system/x.service");
    let apply = |path: &str| {
        let mut draft = Draft::new(&root);
        draft.write(path, "new\n").unwrap();
        change::apply(&root, &draft.finish(path).unwrap(), &settings(&notes)).unwrap();
    };
    let undo =
        |shown: &[_]| change::undo_shown(&root, shown, OnConflict::Restore, &settings(&notes));
    for all in [false, true] {
        let shown = || match all {
            true => change::preview_undo_all(&root, OnConflict::Restore).unwrap(),
            false => vec![change::preview_undo(&root, OnConflict::Restore).unwrap().unwrap()],
        };
        let before = shown();
        apply("etc/other");
        assert!(matches!(undo(&before), Err(Error::Busy { .. })));
        change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap();

        let before = shown();
        fs::write(&edited, "mine\n").unwrap();
        let changed = undo(&before).unwrap_err();
        assert!(
            matches!(&changed, Error::Changed { path } if path.ends_with("x.service")),
            "{changed}"
        );
        assert_eq!(fs::read_to_string(&edited).unwrap(), "mine\n");
        let before = shown();
        fs::write(&edited, "mine again\n").unwrap();
        assert!(matches!(undo(&before), Err(Error::Changed { .. })));
        fs::write(&edited, "x\n").unwrap();
    }

    change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap();
    let shown = change::preview_redo(&root).unwrap().unwrap();
    let redo = || change::redo_shown(&root, &shown, &settings(&notes));
    change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap();
    assert!(matches!(redo(), Err(Error::Busy { .. })));
    change::redo(&root, &settings(&notes)).unwrap().unwrap();
    assert_eq!(redo().unwrap().unwrap().id, 3);
}

/// Who brought the file back that was there before all of them made no edit.
#[test]
fn a_file_that_is_back_past_several_operations_is_no_conflict() {
    let notes = Notes::default();
    let (dir, root) = deployed(&notes);
    let mut draft = Draft::new(&root);
    draft.write("etc/modprobe.d/x.conf", "y\n").unwrap();
    change::apply(&root, &draft.finish("again").unwrap(), &settings(&notes)).unwrap();
    fs::remove_file(dir.path().join("etc/modprobe.d/x.conf")).unwrap();
    let one = change::preview_undo(&root, OnConflict::Stop).unwrap().unwrap();
    assert!(one.conflict.is_some(), "one operation alone cannot know");
    let all = change::preview_undo_all(&root, OnConflict::Stop).unwrap();
    assert!(all.iter().all(|preview| preview.conflict.is_none()));
    change::undo_all(&root, OnConflict::Stop, &settings(&notes)).unwrap();
    assert_eq!(states(&root), [State::Undone; 4]);
    assert!(!dir.path().join("etc/modprobe.d/x.conf").exists());
}

/// A trial that was taken back without a rebuild is still noted: the next operation takes the note away, too.
#[test]
fn an_operation_sees_to_what_its_plan_says_is_owed() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let by_hand = Settings { rebuilder: &NoRebuild, ..settings(&notes) };
    let plan = |path: &str| {
        let mut draft = Draft::new(&root);
        draft.write(path, "x\n").unwrap();
        draft.finish(path).unwrap()
    };
    change::apply(&root, &plan("etc/deploy-vfio/trial.toml"), &settings(&notes)).unwrap();
    change::undo(&root, OnConflict::Stop, &by_hand).unwrap().unwrap();
    let owed = change::left_to_rebuild(&root).unwrap();
    assert_eq!(owed, BTreeSet::from([Rebuild::Trial]));
    notes.asked.take();
    let next = Plan { owed, ..plan("etc/other") };
    change::apply(&root, &next, &settings(&notes)).unwrap();
    assert_eq!(notes.asked.take(), [Rebuild::Trial]);
    assert!(change::left_to_rebuild(&root).unwrap().is_empty());
}

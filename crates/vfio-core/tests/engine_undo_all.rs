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
        self, Artefact, Draft, Interrupt, Job, NoRebuild, OnConflict, Rebuild, Rebuilder, Settings,
        State,
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

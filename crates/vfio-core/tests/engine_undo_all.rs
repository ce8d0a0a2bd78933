//! Everything taken back: one rebuild for all of it, and whoever comes after a failure sees to what is owed.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{
    cell::{Cell, RefCell},
    fs,
    time::Duration,
};

use vfio_core::{
    Error, Result, Root,
    change::{
        self, Artefact, Draft, Interrupt, Job, OnConflict, Rebuild, Rebuilder, Settings, State,
    },
};

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

#[test]
fn all_is_rebuilt_once_with_the_last() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    let mut told = Vec::new();
    let mut tell =
        |undone: change::Undone| told.push((undone.id, undone.rebuilt.len(), undone.by_hand));
    change::undo_all(&root, OnConflict::Stop, &settings(&notes), &mut tell).unwrap();
    assert_eq!(told, [(3, 0, vec![]), (2, 0, vec![]), (1, 3, vec![])]);
    assert_eq!(*notes.asked.borrow(), ALL);
}

/// A rebuild that fails puts the oldest operation back; a plain undo then does the rest of the work too.
#[test]
fn what_is_owed_is_seen_to_by_the_next_undo() {
    let notes = Notes::default();
    let (_dir, root) = deployed(&notes);
    notes.fails.set(true);
    change::undo_all(&root, OnConflict::Stop, &settings(&notes), &mut |_| ()).unwrap_err();
    let states = || -> Vec<State> {
        change::history(&root).unwrap().into_iter().map(|operation| operation.state).collect()
    };
    assert_eq!(states(), [State::Applied, State::Undone, State::Undone]);
    notes.fails.set(false);
    notes.asked.take();
    let undone = change::undo(&root, OnConflict::Stop, &settings(&notes)).unwrap().unwrap();
    assert_eq!((undone.id, undone.rebuilt.len()), (1, 3));
    assert_eq!(*notes.asked.borrow(), ALL);
    assert_eq!(states(), [State::Undone; 3]);
}

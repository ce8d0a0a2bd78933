//! How an engine call behaves, and what it reports.
//!
//! Invariant: nothing here reads or writes; a caller hands in everything the engine needs to
//! know, signals included.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use crate::{
    Error, Result, Root,
    change::{Plan, Rebuild, Rebuilder, journal::State},
};

/// How an engine call behaves.
pub struct Settings<'a> {
    /// Who rebuilds what derives from the files; [`crate::change::NoRebuild`] leaves it to the
    /// user.
    pub rebuilder: &'a dyn Rebuilder,
    /// Checks staged artefacts before they are committed.
    pub verify: Option<&'a Verify<'a>>,
    /// Set by the caller's signal handlers; looked at between steps.
    pub interrupt: &'a Interrupt,
    /// How long to wait for the locks.
    pub wait: Duration,
    /// Told one line a phase.
    pub progress: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// A check of what generators have staged; an error rolls everything back.
pub type Verify<'a> = dyn Fn(&Root, &[Artefact]) -> Result<()> + 'a;

/// A file that a generator wrote, not yet in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// What it is.
    pub what: Rebuild,
    /// Where it will be, below the root.
    pub path: String,
    /// Where it is now, in the same directory.
    pub staged: String,
    /// The files inside an initial RAM file system, when the system can list them.
    pub listing: Option<Vec<String>>,
    /// The same of the one that it takes the place of.
    pub replaces: Option<Vec<String>>,
}

/// A signal's way into the engine.
#[derive(Debug, Default)]
pub struct Interrupt(AtomicI32);

impl Interrupt {
    /// Nothing was raised yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    /// Asks the engine to stop and put everything back; safe in a signal handler.
    pub fn raise(&self, signal: i32) {
        self.0.store(signal, Ordering::SeqCst);
    }

    /// The signal that was raised, if any.
    pub fn raised(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// An error once a signal was raised.
    pub(crate) fn check(&self) -> Result<()> {
        self.raised().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    }
}

/// What an apply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The operation's number.
    pub id: u32,
    /// What was rebuilt.
    pub rebuilt: BTreeSet<Rebuild>,
    /// Commands left to the user.
    pub by_hand: Vec<String>,
}

/// What an undo does with files that were edited since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Changes nothing and reports them.
    Stop,
    /// Leaves them as they are.
    Keep,
    /// Takes the old content.
    Restore,
}

/// What an undo would do.
#[derive(Debug)]
pub struct UndoPreview {
    /// The operation it takes back.
    pub operation: Operation,
    /// What it changes.
    pub plan: Plan,
    /// What was edited since and cannot be told from the operation's own lines: from what the
    /// operation left to what is there now. A restore discards it.
    pub edits: Plan,
    /// The error that it ends with instead, over files that were edited since.
    pub conflict: Option<Error>,
}

/// What an undo or a redo did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The operation's number.
    pub id: u32,
    /// The operation's title.
    pub title: String,
    /// What was rebuilt.
    pub rebuilt: BTreeSet<Rebuild>,
    /// Commands left to the user.
    pub by_hand: Vec<String>,
    /// Edited files that were left as they are.
    pub kept: Vec<String>,
}

/// What a recovery did with one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The operation's number.
    pub id: u32,
    /// What became of it: `rolled back`, `undone`, `cleaned up`.
    pub outcome: &'static str,
    /// Edited files that were left as they are.
    pub kept: Vec<String>,
}

/// A record that cannot be read, and what it may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The operation's number.
    pub id: u32,
    /// What is wrong with its record.
    pub what: String,
    /// The files it names, as far as it can be read; nothing says how they stand.
    pub files: Vec<String>,
    /// What the operation left beside files: new or old content that never came to its place.
    pub left: Vec<String>,
    /// Whether it has old contents of files, below `pre`.
    pub saved: bool,
    /// Where the record is kept once it is set aside.
    pub kept: String,
}

/// A recorded operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: u32,
    /// The command as it was typed.
    pub title: String,
    /// How far it got.
    pub state: State,
    /// Why its record cannot be read, when its state is [`State::Damaged`].
    pub damage: Option<String>,
    /// When it got there: RFC 3339, UTC; empty when its record is damaged.
    pub time: String,
    /// What it changed.
    pub plan: Plan,
    /// What derives from the files it changed.
    pub rebuilds: BTreeSet<Rebuild>,
    /// Rebuilds that were left to the user.
    pub by_hand: Vec<String>,
}

/// How a file stands against an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the operation left it; in a file of somebody else, that is our part of it.
    InPlace,
    /// As it was before.
    TakenBack,
    /// Neither: edited since.
    Edited,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InPlace => "in place",
            Self::TakenBack => "taken back",
            Self::Edited => "edited since",
        })
    }
}

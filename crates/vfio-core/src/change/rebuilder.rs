//! Who rebuilds what the distribution derives from files: the one trait of this crate.
//!
//! Invariant: a rebuilder writes staging names only; the engine alone puts them in place.

use std::os::fd::OwnedFd;

use crate::{
    Result, Root,
    change::{Artefact, Interrupt, Rebuild, generators},
};

/// Who rebuilds what the distribution derives from files.
pub trait Rebuilder {
    /// Builds `what` anew into staging names with the job's tag, leaving every live file as it
    /// is; the engine commits the artefacts.
    fn stage(&self, root: &Root, what: Rebuild, job: &Job<'_>) -> Result<Vec<Artefact>>;

    /// What a person would type to rebuild `what`.
    fn by_hand(&self, root: &Root, what: Rebuild) -> Vec<String>;

    /// The artefacts that [`Rebuilder::stage`] will write, found out beforehand so that a crash
    /// leaves none behind; an error if it could not.
    fn outputs(&self, _root: &Root, _what: Rebuild, _tag: &str) -> Result<Vec<Artefact>> {
        Ok(Vec::new())
    }

    /// An error if this user may not rebuild `what` here, for want of a privilege.
    fn may_stage(&self, _root: &Root, _what: Rebuild) -> Result<()> {
        Ok(())
    }

    /// Whether this rebuilds at all, or leaves it to the user.
    fn rebuilds(&self) -> bool {
        true
    }
}

/// What a rebuild, and a program started for it, needs to know.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The mark of this operation's staging names.
    pub tag: &'a str,
    /// Told one line a phase.
    pub progress: &'a dyn Fn(&str),
    /// Stops the program when it is raised.
    pub interrupt: &'a Interrupt,
    /// Inherited by the program, so that the lock outlives us while it runs.
    pub lock: Option<&'a OwnedFd>,
    /// Takes what the program printed.
    pub output: &'a dyn Fn(&[u8]),
    /// The files of guests that libvirt is to accept, and writes in its own words from then on;
    /// empty where it is only to look again, at what it accepted before.
    pub given: &'a [String],
    /// Whether somebody wants to know what is inside an initial RAM file system.
    pub looks_inside: bool,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// Leaves every rebuild to the user.
#[derive(Clone, Copy, Debug)]
pub struct NoRebuild;

impl Rebuilder for NoRebuild {
    fn stage(&self, _: &Root, _: Rebuild, _: &Job<'_>) -> Result<Vec<Artefact>> {
        Ok(Vec::new())
    }

    fn by_hand(&self, root: &Root, what: Rebuild) -> Vec<String> {
        generators::by_hand(root, what)
    }

    fn rebuilds(&self) -> bool {
        false
    }
}

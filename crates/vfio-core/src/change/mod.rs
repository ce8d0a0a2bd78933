//! Changes to a system's files, as values, and the engine that carries them out.
//!
//! A feature writes into a [`Draft`]; [`Draft::finish`] turns it into a [`Plan`], the true
//! differences from the disk; only the engine writes: [`apply`], [`undo`], [`redo`] and
//! [`recover`].
//!
//! An operation is planned, applying, generating, verifying, applied; or it is rolled back as
//! if it had never been. What is on the disk at any moment tells [`recover`] what to do.

mod aside;
mod assemble;
mod boot;
mod by_hand;
mod conf;
mod defect;
mod diff;
mod disk;
mod draft;
pub mod edit;
mod engine;
mod files;
mod flush;
mod generators;
mod image;
mod journal;
#[cfg(test)]
mod large;
#[cfg(test)]
mod laws;
mod members;
mod mounts;
mod operations;
mod packages;
mod place;
mod plan;
mod preview;
mod rebuild;
mod rebuilder;
mod record;
mod run;
mod settings;
mod shell;
mod space;
mod stamp;
mod store;
mod unit;
mod verdict;
mod wait;

pub use aside::{damage, ready, set_aside};
pub use by_hand::by_hand;
pub use diff::diff;
pub use draft::Draft;
pub use engine::{apply, check, check_undo, recover, redo, redo_shown, undo, undo_all, undo_shown};
pub use image::{Image, Meta, Mtime};
pub use journal::State;
pub use operations::{history, interrupted, left_to_rebuild, standing};
pub use plan::{Change, Plan, Rebuild, Warning};
pub use preview::{preview_redo, preview_undo, preview_undo_all};
pub use rebuild::Programs;
pub use rebuilder::{Job, NoRebuild, Rebuilder};
pub use settings::{
    Applied, Artefact, Damage, Interrupt, OnConflict, Operation, Recovered, Settings, Standing,
    UndoPreview, Undone, Verify,
};
pub use stamp::Stamp;
pub use unit::Unit;
pub use verdict::set_verdict;

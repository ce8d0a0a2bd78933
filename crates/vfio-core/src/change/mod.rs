//! Changes to a system's files, as values, and the engine that carries them out.
//!
//! A feature writes into a [`Draft`]; [`Draft::finish`] turns it into a [`Plan`], the true
//! differences from the disk; only the engine writes.

mod draft;
mod image;
mod plan;

pub use draft::Draft;
pub use image::{Image, Meta, Mtime};
pub use plan::{Change, Plan, Rebuild};

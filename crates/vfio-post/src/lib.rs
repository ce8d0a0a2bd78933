//! What comes after the setup: comforts of a machine that runs guests, one module a feature.
//!
//! Every feature is a plan like the others: files and units of ours, shown as a diff, journalled
//! and taken back by an undo. What runs on the machine is an asset.

pub mod audio_loopback;
pub mod auto_xorg;
pub mod hook;
pub mod looking_glass;
pub mod scream;
mod shared_memory;
mod user_unit;
pub mod zram;

pub use shared_memory::Error as GuestError;

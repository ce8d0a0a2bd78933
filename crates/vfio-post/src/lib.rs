//! What comes after the setup: comforts of a machine that runs guests, one module a feature.
//!
//! Every feature is a plan like the others: files and units of ours, shown as a diff, journalled
//! and taken back by an undo. What runs on the machine is an asset.

pub mod auto_xorg;
pub mod hook;
pub mod zram;

//! What the tests of deploy-vfio stand on: machines, cases and laws.
//!
//! * [`Description`]: a machine as its owner would describe it, in JSON; it is laid out as a root
//!   directory with the `sys`, `proc`, `etc`, `boot` and `usr` that programs read. [`synthetic`]
//!   invents big ones.
//! * [`Tree`]: everything that is in a directory, to compare before and after.
//! * [`Stage`]: a machine laid out for one test.
//! * [`Programs`]: runs the programs under test, away from the machine that tests run on.
//! * [`laws`](mod@laws): what must hold for every command that changes files.
//! * [`case`]: text files with commands and what they print.
//! * [`safety`]: what must hold for every boot entry.

#![allow(clippy::disallowed_methods, reason = "a test kit makes trees and runs programs")]

mod description;
mod layout;
mod pci_ids;
mod synthetic;
mod tree;

mod filter;
mod run;
mod stage;

pub mod case;
pub mod laws;
pub mod safety;

pub use description::{CpuDescription, Description, DeviceDescription, InputDescription, Roles};
pub use layout::Edits;
pub use run::{Outcome, Programs, boot_menu};
pub use stage::Stage;
pub use synthetic::synthetic;
pub use tree::{Content, Fingerprint, STATE, Tree};

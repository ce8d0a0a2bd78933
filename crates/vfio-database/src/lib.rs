//! Which driver each device had before vfio-pci took it.
//!
//! A device that waits for a guest is on vfio-pci, and nothing in the running system says what
//! drove it before. A [`Database`] does: it is written while nothing is bound and read later. It
//! is the XML file of the first, shell-written deploy-vfio, or a machine snapshot.
//!
//! [`consult`] is what programs call; the rest is for those that have a file of their own.
//!
//! Invariants: no device of a database is on vfio-pci; no address is in it twice; every driver in
//! it is a plain word that any configuration file can hold.

mod check;
mod database;
mod error;
mod source;
mod xml;

pub use database::{Database, Known, Restored};
pub use error::{Error, Position};
pub use source::{FILE, Source, consult, recall};

#[cfg(test)]
mod machine;

//! Everything that GRUB reads, derived from what features leave below `/etc/deploy-vfio`.
//!
//! * `cmdline.d/NN-<feature>.conf`: kernel parameters, each file written by one feature.
//! * `entries.d/<id>.conf`: boot entries ([`Entry`]).
//! * `default-entry`: the id of the entry that boots by itself, if it is one of ours.
//!
//! [`render`] alone turns them into GRUB's files and reads nothing else, so calling it twice
//! changes nothing. Without entries the parameters go to the normal entry; with a menu of ours
//! they go to our entries only, and the normal entry stays as the user had it.

mod entries;
mod error;
mod kept;
mod loader_entry;
mod menu;
mod render;
mod trial;
mod verify;
mod version;

pub use entries::{Entry, clear_entries, entries, set_entries};
pub use error::Error;
pub use loader_entry::{Installation, LoaderEntry, SystemEntry};
pub use menu::{Menu, MenuEntry};
pub use render::{forget, parameters, render, way_back};
pub use trial::{forget_trial, tries_no_menu, try_once};
pub use verify::{Expected, verify};

pub use vfio_core::layout::{
    CMDLINE_D as FRAGMENTS, DEFAULT_ENTRY as CHOICE, ENTRIES_D as ENTRIES,
};

/// The menu generator that `grub-mkconfig` runs.
pub const GENERATOR: &str = "etc/grub.d/45_deploy-vfio";
/// What `grub-mkconfig` reads after `/etc/default/grub`, on Debian and its kin.
pub const DROP_IN: &str = "etc/default/grub.d/deploy-vfio.cfg";
/// GRUB's own settings.
pub const DEFAULTS: &str = "etc/default/grub";

//! Which IOMMU groups go to guests, which boot entries follow from that, and how the kernel is
//! told.
//!
//! The way through it: [`select`] turns the user's [`Selection`] into groups ([`Chosen`]),
//! [`entries`] into boot entries ([`Entry`]), of which [`choose`] picks the default; [`bind`]
//! drafts the files they share and [`arguments`] gives each its kernel parameters. A setup without
//! a menu is one entry for every boot: [`fixed`] decides it from a [`Request`], and
//! [`bind_by_parameters`] or [`bind_by_file`] drafts it. A menu and the two kinds of fixed setup
//! take each other's place. Everything is a pure function of [`vfio_core::host::Machine`] and of
//! what a draft holds; nothing here reads the disk.
//!
//! Invariants, each a property test over random machines:
//!
//! * A group is bound whole or not at all; its bridges and virtual functions never are. A card is
//!   bound whole or not at all, whatever groups its functions are in.
//! * A [`protected`] device is never bound, unless an [`Allow`] lifts the reason, or the reason
//!   is a soft one and its group was named by number.
//! * The host keeps a display that drives screens, unless it has none or [`Allow::Headless`] is
//!   given; it keeps a keyboard unless [`Allow::Keyboard`] is given.
//!
//! What counts as a card, as an integrated display and as chipset is documented in `roles.rs`,
//! which keyboards count in `keyboard.rs`.

mod bind;
mod bound;
mod bundle;
mod choice;
mod diagnosis;
mod entry;
mod error;
mod file;
mod fixed;
mod keyboard;
mod meant;
mod modprobe;
mod passphrase;
mod protect;
mod reason;
mod roles;
mod scripts;
mod select;
mod selection;

pub use bind::{
    Arguments, Binding, FIXED, FRAGMENT, arguments, bind, bind_by_parameters, by_hand, is_fixed,
    unbind, unbind_fixed,
};
pub use bound::bound;
pub use choice::{Choice, choose, screen_note};
pub use diagnosis::Diagnosis;
pub use entry::{Entry, entries, everything};
pub use error::Error;
pub use file::{INITRAMFS_MODULES, MODPROBE, MODULES_LOAD, bind_by_file};
pub use fixed::{Request, fixed};
pub use meant::{meant, no_groups};
pub use passphrase::prompt_warning;
pub use protect::{protected, protected_groups, why_protected};
pub use reason::{Allow, Reason};
pub use select::{Chosen, LeftOut, select};
pub use selection::{FORM as SELECTION_FORM, Selection};

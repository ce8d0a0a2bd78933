//! What keeps a machine from handing devices to guests, before anything is changed.
//!
//! [`examine`] turns facts into [`Check`]s: each says what was looked at, how it stands, and what to
//! do. Invariant: what is not known is left out; it is never a failure. What only another feature
//! can judge (which groups may go, what is deployed) the program adds.

mod cards;
mod check;
mod processor;
mod system;

use vfio_core::host::{Device, Machine, Platform, User};

pub use check::{Check, Verdict};

/// What is examined.
pub struct Patient<'a> {
    /// The machine's facts.
    pub machine: &'a Machine,
    /// The running kernel's state; [`Platform::default`] for a described machine.
    pub platform: &'a Platform,
    /// Who is going to run guests, where that is known.
    pub user: Option<&'a User>,
    /// The groups that this system has (`/etc/group`); a user can only lack those.
    pub groups: &'a [String],
    /// What a device is called.
    pub call: &'a dyn Fn(&Device) -> String,
}

impl std::fmt::Debug for Patient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Every check that can be made, from the processor to the software.
#[must_use]
pub fn examine(patient: &Patient<'_>) -> Vec<Check> {
    let parts = [processor::checks(patient), cards::checks(patient), system::checks(patient)];
    parts.into_iter().flatten().collect()
}

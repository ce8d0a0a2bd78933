//! The scenarios: what must be true on a real machine.

mod smoke;

use anyhow::Result;

use super::rig::Rig;

/// A named run on real machines.
#[derive(Debug)]
pub struct Scenario {
    /// What `cargo xtask vm NAME` calls it.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// The run itself; an error fails the scenario.
    pub run: fn(&mut Rig<'_>) -> Result<()>,
}

/// All scenarios, in the order they run.
pub const ALL: &[Scenario] = &[Scenario {
    name: "smoke",
    about: "the machine itself: groups, keyboard, route, rebuilds and a reboot through GRUB",
    run: smoke::run,
}];

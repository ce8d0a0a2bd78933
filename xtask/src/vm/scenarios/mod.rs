//! The scenarios: what must be true on a real machine.

mod checks;
mod everything;
mod fixed;
mod guests;
mod later;
mod multiboot;
mod refusals;
mod running;
mod smoke;
mod swap;
mod trial;

use anyhow::Result;

use super::rig::Rig;

/// A named run on real machines.
#[derive(Debug)]
pub struct Scenario {
    /// What `cargo xtask vm NAME` calls it.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Whether it runs when none is named: what CI has time for.
    pub usual: bool,
    /// The run itself; an error fails the scenario.
    pub run: fn(&mut Rig<'_>) -> Result<()>,
}

/// All scenarios, in the order they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "smoke",
        about: "the machine itself: groups, keyboard, route, rebuilds and a reboot through GRUB",
        usual: false,
        run: smoke::run,
    },
    Scenario {
        name: "multiboot",
        about: "multiboot last: every entry booted with Xorg on its card, the normal one untouched, undo",
        usual: true,
        run: multiboot::run,
    },
    Scenario {
        name: "static",
        about: "the original's line with static grub, then static file: devices, CPUs, pages; undo each",
        usual: true,
        run: fixed::run,
    },
    Scenario {
        name: "everything",
        about: "every feature in one operation, booted, and taken back in one",
        usual: true,
        run: everything::run,
    },
    Scenario {
        name: "running",
        about: "what needs no reboot: keyboard and mouse for guests, huge pages at runtime",
        usual: true,
        run: running::run,
    },
    Scenario {
        name: "swap",
        about: "compressed swap by a unit of ours and by systemd-zram-generator: sizes, limit, a hog",
        usual: true,
        run: swap::run,
    },
    Scenario {
        name: "guests",
        about: "guests of a real libvirt: their devices, the host's CPUs, odd names, a killed hook",
        usual: true,
        run: guests::run,
    },
    Scenario {
        name: "later",
        about: "with a menu deployed: a new kernel comes, a card moves to another slot",
        usual: true,
        run: later::run,
    },
    Scenario {
        name: "refusals",
        about: "a failing generator, an edit in the middle, hostile names, huge pages without a menu",
        usual: true,
        run: refusals::run,
    },
    Scenario {
        name: "trial",
        about: "an entry on trial becomes the default; one that panics does not",
        usual: false,
        run: trial::run,
    },
    Scenario {
        name: "trials",
        about: "entries on trial that hang, have a dead card, lose the disk: each time the way back",
        usual: false,
        run: trial::others,
    },
];

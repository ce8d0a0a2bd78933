//! The scenarios: what must be true on a real machine.

mod checks;
mod everything;
mod fat;
mod fixed;
mod guests;
mod later;
mod multiboot;
mod package;
mod refusals;
mod rescue;
mod running;
mod smoke;
mod swap;
mod systems;
mod trial;

use anyhow::Result;

use super::recipe::{OLDEST, USUAL};
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
    /// The release of Debian on its machines.
    pub release: &'static str,
    /// The run itself; an error fails the scenario.
    pub run: fn(&mut Rig<'_>) -> Result<()>,
}

/// All scenarios, in the order they run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "smoke",
        about: "the machine itself: groups, keyboard, route, rebuilds and a reboot through GRUB",
        usual: false,
        release: USUAL,
        run: smoke::run,
    },
    Scenario {
        name: "multiboot",
        about: "multiboot last: every entry booted with Xorg on its card, the normal one untouched, undo",
        usual: true,
        release: USUAL,
        run: multiboot::run,
    },
    Scenario {
        name: "static",
        about: "the original's line with static grub, then static file: devices, CPUs, pages; undo each",
        usual: true,
        release: USUAL,
        run: fixed::run,
    },
    Scenario {
        name: "everything",
        about: "every feature in one operation, booted, and taken back in one",
        usual: true,
        release: USUAL,
        run: everything::run,
    },
    Scenario {
        name: "running",
        about: "what needs no reboot: keyboard and mouse for guests, huge pages at runtime",
        usual: false,
        release: USUAL,
        run: running::run,
    },
    Scenario {
        name: "swap",
        about: "compressed swap by a unit of ours and by systemd-zram-generator: sizes, limit, a hog",
        usual: false,
        release: USUAL,
        run: swap::run,
    },
    Scenario {
        name: "guests",
        about: "guests of a real libvirt: their devices, the host's CPUs, odd names, a killed hook",
        usual: true,
        release: USUAL,
        run: guests::run,
    },
    Scenario {
        name: "later",
        about: "with a menu deployed: a new kernel comes, a card moves to another slot",
        usual: true,
        release: USUAL,
        run: later::run,
    },
    Scenario {
        name: "refusals",
        about: "a failing generator, an edit in the middle, hostile names, huge pages without a menu",
        usual: true,
        release: USUAL,
        run: refusals::run,
    },
    Scenario {
        name: "package",
        about: "the Debian package: installed, upgraded, removed, purged, with a menu deployed all along",
        usual: false,
        release: USUAL,
        run: package::run,
    },
    Scenario {
        name: "trial",
        about: "an entry on trial becomes the default; one that panics does not",
        usual: true,
        release: USUAL,
        run: trial::run,
    },
    Scenario {
        name: "trials",
        about: "entries on trial that hang, have a dead card, lose the disk: each time the way back",
        usual: false,
        release: USUAL,
        run: trial::others,
    },
    Scenario {
        name: "static-trial",
        about: "a setup without a menu on trial: it is in the normal entry once it proved itself",
        usual: false,
        release: USUAL,
        run: trial::fixed,
    },
    Scenario {
        name: "rescue",
        about: "a menu and an initramfs emptied in the middle: brought back from a second system",
        usual: false,
        release: USUAL,
        run: rescue::run,
    },
    Scenario {
        name: "fat",
        about: "/boot on FAT: whatever write the power goes after, GRUB reads the old menu or the new one",
        usual: false,
        release: USUAL,
        run: fat::run,
    },
    Scenario {
        name: "cuts",
        about: "the power goes at three moments of an apply or an undo; the machine boots, and is whole",
        usual: true,
        release: USUAL,
        run: rescue::cuts,
    },
    Scenario {
        name: "many-cuts",
        about: "the same at twenty-five moments",
        usual: false,
        release: USUAL,
        run: rescue::many_cuts,
    },
    Scenario {
        name: "bullseye",
        about: "Debian 11, by statically linked programs",
        usual: false,
        release: OLDEST,
        run: systems::plain,
    },
    Scenario {
        name: "trixie",
        about: "Debian 13",
        usual: false,
        release: "trixie",
        run: systems::plain,
    },
    Scenario {
        name: "separate-boot",
        about: "/boot on a partition of its own",
        usual: false,
        release: USUAL,
        run: systems::separate_boot,
    },
    Scenario {
        name: "btrfs",
        about: "everything on btrfs, in a subvolume",
        usual: false,
        release: USUAL,
        run: systems::btrfs,
    },
    Scenario {
        name: "lvm",
        about: "everything on a logical volume",
        usual: false,
        release: USUAL,
        run: systems::lvm,
    },
    Scenario {
        name: "luks",
        about: "all but /boot encrypted",
        usual: false,
        release: USUAL,
        run: systems::luks,
    },
    Scenario {
        name: "uefi",
        about: "started by UEFI",
        usual: false,
        release: USUAL,
        run: systems::uefi,
    },
    Scenario {
        name: "esp",
        about: "UEFI and btrfs: GRUB notes on the firmware's partition what it tries",
        usual: false,
        release: USUAL,
        run: systems::esp,
    },
    Scenario {
        name: "dracut",
        about: "dracut builds the initial RAM file system, by a module of ours",
        usual: false,
        release: USUAL,
        run: systems::dracut,
    },
    Scenario {
        name: "amd-iommu",
        about: "an IOMMU of AMD's",
        usual: false,
        release: USUAL,
        run: systems::amd,
    },
    Scenario {
        name: "no-iommu",
        about: "a machine without an IOMMU: refused, and nothing changed",
        usual: false,
        release: USUAL,
        run: systems::no_iommu,
    },
];

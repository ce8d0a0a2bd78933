//! A cell: where GRUB has its menu and its variables, what becomes of the boot on trial, and what must
//! hold of the boots.
//!
//! Invariant: only the first boot can be anything else than the old default's.

use super::boot::{Boot, End};
use super::place::Place;

/// An entry of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The first one, which GRUB starts when it does not know the id of another.
    Normal,
    /// The default from before the trial, which is not the first.
    Default,
    Trial,
}

impl Entry {
    pub const ALL: [Self; 3] = [Self::Normal, Self::Default, Self::Trial];

    pub fn id(self) -> &'static str {
        match self {
            Self::Normal => "gnulinux-simple",
            Self::Default => "deploy-vfio-old",
            Self::Trial => "deploy-vfio-trial",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Default => "default",
            Self::Trial => "trial",
        }
    }
}

/// What becomes of the boot on trial, or of the note that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// It stands still before anything of the system runs.
    Hang,
    /// The kernel panics.
    Panic,
    /// Its root is not there.
    WrongRoot,
    /// GRUB does not find its initramfs.
    NoInitrd,
    /// GRUB's file of variables is damaged.
    Corrupt,
    /// The variable names an entry that the menu does not have.
    Unknown,
}

impl Fate {
    pub const ALL: [Self; 7] = [
        Self::Good,
        Self::Hang,
        Self::Panic,
        Self::WrongRoot,
        Self::NoInitrd,
        Self::Corrupt,
        Self::Unknown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Hang => "hang",
            Self::Panic => "panic",
            Self::WrongRoot => "wrong-root",
            Self::NoInitrd => "no-initrd",
            Self::Corrupt => "corrupt",
            Self::Unknown => "unknown",
        }
    }

    /// More words for the kernel on trial.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hang => "once.fate=hang",
            Self::Panic => "once.fate=panic",
            Self::WrongRoot => "root=UUID=00000000-dead-dead-dead-000000000000",
            Self::NoInitrd => "once.initrd=gone",
            Self::Good | Self::Corrupt | Self::Unknown => "",
        }
    }

    /// The id that is to be tried.
    pub fn tries(self) -> &'static str {
        match self {
            Self::Unknown => "deploy-vfio-gone",
            _ => Entry::Trial.id(),
        }
    }

    /// How a boot on trial ends.
    fn end(self) -> End {
        match self {
            Self::Hang => End::Hangs,
            Self::Panic => End::Panics,
            Self::WrongRoot => End::NoRoot,
            Self::NoInitrd => End::NoInitrd,
            Self::Good | Self::Corrupt | Self::Unknown => End::Up,
        }
    }
}

/// One of each.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub place: Place,
    pub fate: Fate,
}

impl Cell {
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |place| Fate::ALL.into_iter().map(move |fate| Self { place, fate });
        Place::ALL.into_iter().flat_map(of)
    }

    pub fn name(self) -> String {
        format!("{}/{}", self.place.name(), self.fate.name())
    }

    /// Whether GRUB notes that it tried what the variable names.
    pub fn notes(self) -> bool {
        self.place.takes_notes() && self.fate != Fate::Corrupt
    }

    /// The boots that must be seen, one after the other. Where GRUB cannot note what it tries, it
    /// must say so each time: it was asked to, and did not just overlook the variable.
    pub fn boots(self) -> [Boot; 3] {
        let complains = !self.notes();
        let default = Boot { complains, takes: Entry::Default, end: End::Up };
        let first = match self.fate {
            _ if complains => default,
            Fate::Unknown => Boot { takes: Entry::Normal, ..default },
            fate => Boot { takes: Entry::Trial, end: fate.end(), ..default },
        };
        [first, default, default]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_expected_at_most_once_and_only_where_grub_can_write() {
        let cells: Vec<_> = Cell::all().collect();
        assert_eq!(cells.len(), 42);
        for cell in cells {
            let [first, later @ ..] = cell.boots();
            let blank = matches!(cell.place, Place::Btrfs | Place::Lvm)
                || matches!(cell.fate, Fate::Corrupt | Fate::Unknown);
            assert_eq!(first.takes == Entry::Trial, !blank, "{}", cell.name());
            let normal =
                later.iter().all(|boot| boot.takes == Entry::Default && boot.end == End::Up);
            assert!(normal, "{}", cell.name());
        }
    }
}

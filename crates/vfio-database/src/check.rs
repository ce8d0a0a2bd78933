//! Whether a database is about this machine.
//!
//! The file says of a device only where it sits, with whom, and what drove it; hardware and kernels
//! change all three. So single differences are no reason to refuse, a majority of them is:
//!
//! * A device *fits* when there is one at its address here, it shares its IOMMU group with the
//!   same devices, and it is not another vendor's card than its driver is for, nor bound to
//!   another driver now.
//! * When fewer than half of the file's devices fit, the file is another machine's.
//! * Groups are compared by who is in them: their numbers are given anew at every boot, in the
//!   order of discovery. A group that only fell into parts, or that only grew, still fits: that is
//!   what another kernel, or its ACS override, does to the same machine.
//! * Below that, cards were added or removed: a note. A device on vfio-pci that was added or
//!   replaced since is unknown, which is for [`Database::restore_drivers`] to say.

use std::collections::{BTreeMap, BTreeSet};

use vfio_core::{
    Address,
    host::{Device, Machine},
};

use crate::{
    Database, Error, Known,
    database::{could_be, is_bound},
    error::listed,
};

/// As many differences as a refusal names.
const NAMED: usize = 5;

/// Who is in a group, by its number.
type Groups = BTreeMap<u32, BTreeSet<Address>>;

impl Database {
    /// Compares the database with a machine: what was added and removed since, a line each.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] when fewer than half of its devices fit.
    pub fn check(&self, machine: &Machine) -> Result<Vec<String>, Error> {
        let both = Both::new(self, machine);
        let misfit = |known: &Known| Some((known.address, both.misfit(known)?));
        let misfits: Vec<(Address, String)> = self.devices().iter().filter_map(misfit).collect();
        let first = misfits.first().map(|(device, _)| *device);
        if let Some(device) = first.filter(|_| misfits.len() * 2 > self.devices().len()) {
            let more = misfits.len().saturating_sub(NAMED);
            let mut because: Vec<String> =
                misfits.into_iter().take(NAMED).map(|(_, reason)| reason).collect();
            if more > 0 {
                because.push(format!("{more} more of its devices do not fit either"));
            }
            return Err(Error::Foreign { at: None, device, because });
        }
        Ok(self.changes(machine))
    }

    fn changes(&self, machine: &Machine) -> Vec<String> {
        let known = self.by_address();
        let grouped = machine.pci.devices().iter().filter(|device| device.group.is_some());
        let came = grouped.map(|device| device.address).filter(|at| !known.contains_key(at));
        let gone = known.keys().copied().filter(|at| machine.pci.get(*at).is_none());
        let mut notes = Vec::new();
        for (devices, what) in [
            (came.collect::<Vec<_>>(), "came after the database of drivers was made"),
            (gone.collect(), "is in the database of drivers and no longer there"),
        ] {
            if !devices.is_empty() {
                notes.push(format!("{what}: {}", listed(&devices)));
            }
        }
        notes
    }
}

/// A database and a machine, side by side.
struct Both<'a> {
    machine: &'a Machine,
    /// Groups of those devices that both have.
    there: Groups,
    here: Groups,
    /// Whether the machine has groups at all: its IOMMU may be off today.
    grouped: bool,
}

impl<'a> Both<'a> {
    fn new(database: &Database, machine: &'a Machine) -> Self {
        let (mut there, mut here) = (Groups::new(), Groups::new());
        let grouped = machine.pci.devices().iter().any(|device| device.group.is_some());
        for known in database.devices() {
            let Some(device) = machine.pci.get(known.address) else { continue };
            there.entry(known.group).or_default().insert(known.address);
            if let Some(group) = device.group {
                here.entry(group).or_default().insert(known.address);
            }
        }
        Self { machine, there, here, grouped }
    }

    /// Why a device of the database is not one of the machine.
    fn misfit(&self, known: &Known) -> Option<String> {
        let Known { group, address, driver } = known;
        let Some(device) = self.machine.pci.get(*address) else {
            return Some(format!("there is no {address} here"));
        };
        let driver = driver.as_deref().unwrap_or("no driver");
        if !could_be(known, device) {
            return Some(format!("{address} is {} here, not a card for {driver}", device.ids()));
        }
        if self.grouped && !self.same_group(*group, device) {
            return Some(format!("group {group} of {address} has other devices here"));
        }
        match device.driver.as_deref() {
            Some(now) if known.driver.is_some() && now != driver && !is_bound(device) => {
                Some(format!("{address} is driven by {now} here, by {driver} there"))
            }
            _ => None,
        }
    }

    /// Whether one of the device's two groups is a part of the other.
    fn same_group(&self, there: u32, device: &Device) -> bool {
        let there = self.there.get(&there);
        let here = device.group.and_then(|group| self.here.get(&group));
        match (there, here) {
            (Some(there), Some(here)) => there.is_subset(here) || here.is_subset(there),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use vfio_core::layout::VFIO_PCI;

    use super::*;
    use crate::machine::{AMD, NVIDIA, machine};

    type Row = (&'static str, Option<u32>, &'static str, u16);

    const HOME: [Row; 8] = [
        ("0000:00:00.0", Some(0), "", 0x8086),
        ("0000:00:01.0", Some(1), "pcieport", 0x8086),
        ("0000:01:00.0", Some(1), "nvidia", NVIDIA),
        ("0000:01:00.1", Some(1), "snd_hda_intel", NVIDIA),
        ("0000:00:1f.0", Some(2), "", 0x8086),
        ("0000:00:1f.3", Some(2), "snd_hda_intel", 0x8086),
        ("0000:02:00.0", Some(3), "nvme", 0x144d),
        ("0000:03:00.0", Some(4), "amdgpu", AMD),
    ];

    fn check(now: &[Row]) -> Result<Vec<String>, Vec<String>> {
        let database = Database::of(&machine(&HOME)).unwrap();
        database.check(&machine(now)).map_err(|error| match error {
            Error::Foreign { because, .. } => because,
            error => panic!("{error}"),
        })
    }

    fn changed(change: impl Fn(&mut Row)) -> Vec<Row> {
        let mut rows = HOME.to_vec();
        rows.iter_mut().for_each(change);
        rows
    }

    #[test]
    fn the_same_machine_fits_whatever_its_kernel_calls_it() {
        let nothing = Ok(Vec::new());
        assert_eq!(check(&HOME), nothing);
        assert_eq!(check(&changed(|row| row.1 = row.1.map(|group| 40 - group))), nothing);
        assert_eq!(check(&changed(|row| row.1 = None)), nothing, "IOMMU off");
        assert_eq!(check(&changed(|row| row.2 = VFIO_PCI)), nothing);
        assert_eq!(check(&changed(|row| row.2 = "")), nothing);
        let mut apart = 0;
        let mut rows = HOME.to_vec();
        rows.iter_mut().for_each(|row| (row.1, apart) = (Some(apart), apart + 1));
        assert_eq!(check(&rows), nothing, "an ACS override");
        assert_eq!(check(&changed(|row| row.1 = Some(0))), nothing, "and without it");
    }

    #[test]
    fn a_card_added_or_removed_is_a_note() {
        let mut rows = HOME.to_vec();
        rows[6] = ("0000:04:00.0", Some(9), "igb", 0x8086);
        let notes = [
            "came after the database of drivers was made: 0000:04:00.0",
            "is in the database of drivers and no longer there: 0000:02:00.0",
        ];
        assert_eq!(check(&rows).unwrap(), notes);
        assert!(
            check(&changed(|row| if row.3 == NVIDIA {
                row.3 = AMD
            }))
            .is_ok(),
            "replaced"
        );
    }

    #[test]
    fn another_machine_is_refused_with_some_of_the_differences() {
        let moved = |row: &mut Row| match row.0 {
            "0000:00:1f.3" => row.0 = "0000:00:08.0",
            "0000:01:00.0" => row.0 = "0000:0a:00.0",
            "0000:01:00.1" => row.0 = "0000:0a:00.1",
            "0000:02:00.0" => row.0 = "0000:0b:00.0",
            "0000:03:00.0" => row.0 = "0000:0c:00.0",
            _ => {}
        };
        let because = check(&changed(moved)).unwrap_err();
        assert_eq!(because[0], "there is no 0000:01:00.0 here");
        assert_eq!(because.len(), 5);
        let none = check(&[]).unwrap_err();
        assert_eq!(none.last().unwrap(), "3 more of its devices do not fit either");
    }

    #[test]
    fn groups_that_cross_and_drivers_that_differ_count() {
        let mut rows = HOME.to_vec();
        // 1 and 2 change partners, so four devices have other neighbours.
        (rows[1].1, rows[4].1) = (Some(2), Some(1));
        rows[6].2 = "ahci";
        assert_eq!(
            check(&rows).unwrap_err(),
            [
                "group 1 of 0000:00:01.0 has other devices here",
                "group 1 of 0000:01:00.0 has other devices here",
                "group 1 of 0000:01:00.1 has other devices here",
                "group 2 of 0000:00:1f.0 has other devices here",
                "group 2 of 0000:00:1f.3 has other devices here",
                "1 more of its devices do not fit either",
            ]
        );
    }

    #[test]
    fn nothing_is_never_foreign() {
        assert_eq!(Database::default().check(&machine(&[])).unwrap(), Vec::<String>::new());
    }
}

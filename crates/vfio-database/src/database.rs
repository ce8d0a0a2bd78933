//! The devices of a machine and what drives them, and the way back to a machine.

use std::collections::BTreeMap;

use vfio_core::{
    Address,
    host::{Device, Machine, Pci},
    layout::VFIO_PCI,
};

use crate::{Error, xml};

/// A larger file is no database: that would be more than ten thousand devices.
pub(crate) const LARGEST: usize = 4 << 20;

/// One device, as a database knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// Its IOMMU group.
    pub group: u32,
    /// Where it sits.
    pub address: Address,
    /// What drove it; `None` when nothing did.
    pub driver: Option<String>,
}

/// What drove each device of a machine while nothing was bound to vfio-pci.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// By group, then by address.
    devices: Vec<Known>,
}

/// What a database said of the devices that are on vfio-pci.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// What drove each before; `None` when nothing did.
    pub drivers: BTreeMap<Address, Option<String>>,
    /// Those that it knows nothing of: they stay on vfio-pci.
    pub unknown: Vec<Address>,
}

impl Database {
    /// Reads XML, or a machine snapshot: that begins with `{`.
    ///
    /// # Errors
    ///
    /// Anything that is not wholly understood, with its line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > LARGEST {
            return Err(xml::too_large(bytes));
        }
        let text = xml::utf8(bytes)?;
        match text.trim_start().starts_with('{') {
            true => Self::of(&Machine::from_snapshot(text)?),
            false => Ok(Self::from_known(xml::read(text)?)),
        }
    }

    /// The drivers of all devices that have an IOMMU group.
    ///
    /// A driver whose name is not a plain word (`cx88-mpeg driver manager`) counts as none.
    ///
    /// # Errors
    ///
    /// [`Error::Bound`] when a device is on vfio-pci: what drives it otherwise cannot be seen.
    pub fn of(machine: &Machine) -> Result<Self, Error> {
        let devices: Vec<Address> = bound(machine).map(|device| device.address).collect();
        if !devices.is_empty() {
            return Err(Error::Bound { at: None, devices });
        }
        let known = |device: &Device| {
            let driver = device.driver.clone().filter(|driver| is_plain(driver));
            Some(Known { group: device.group?, address: device.address, driver })
        };
        Ok(Self::from_known(machine.pci.devices().iter().filter_map(known).collect()))
    }

    /// Each address at most once, no driver that is not plain.
    pub(crate) fn from_known(mut devices: Vec<Known>) -> Self {
        devices.sort();
        Self { devices }
    }

    /// The devices, by group and then by address.
    #[must_use]
    pub fn devices(&self) -> &[Known] {
        &self.devices
    }

    /// The file's text, one device a line.
    #[must_use]
    pub fn to_xml(&self) -> String {
        xml::write(&self.devices)
    }

    /// Gives each device of `machine` that is on vfio-pci the driver that it had before.
    pub fn restore_drivers(&self, machine: &mut Machine) -> Restored {
        let by_address = self.by_address();
        let mut restored = Restored::default();
        let mut devices = machine.pci.devices().to_vec();
        for device in devices.iter_mut().filter(|device| is_bound(device)) {
            match by_address.get(&device.address).filter(|known| could_be(known, device)) {
                Some(known) => {
                    device.driver.clone_from(&known.driver);
                    restored.drivers.insert(device.address, known.driver.clone());
                }
                None => restored.unknown.push(device.address),
            }
        }
        machine.pci = Pci::from_devices(devices);
        restored
    }

    /// Devices without a driver get the one that they had in an older database of this machine:
    /// one that is unbound for a moment, or whose driver failed, is not forgotten.
    pub(crate) fn remember(&mut self, older: &Self) {
        let older = older.by_address();
        for device in self.devices.iter_mut().filter(|device| device.driver.is_none()) {
            device.driver = older.get(&device.address).and_then(|known| known.driver.clone());
        }
    }

    pub(crate) fn by_address(&self) -> BTreeMap<Address, &Known> {
        self.devices.iter().map(|known| (known.address, known)).collect()
    }
}

/// The devices that are on vfio-pci.
pub(crate) fn bound(machine: &Machine) -> impl Iterator<Item = &Device> {
    machine.pci.devices().iter().filter(|device| is_bound(device))
}

pub(crate) fn is_bound(device: &Device) -> bool {
    device.driver.as_deref() == Some(VFIO_PCI)
}

/// Whether a driver's name may stand in any configuration file: what modules are called.
pub(crate) fn is_plain(driver: &str) -> bool {
    driver.len() <= 64
        && driver.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && driver.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `false` when the driver is for another vendor's display cards: the card was replaced.
pub(crate) fn could_be(known: &Known, device: &Device) -> bool {
    let vendor = match known.driver.as_deref() {
        Some("nvidia" | "nouveau" | "nvidiafb") => 0x10de,
        Some("amdgpu" | "radeon") => 0x1002,
        Some("i915" | "xe") => 0x8086,
        _ => return true,
    };
    device.vendor == vendor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{AMD, NVIDIA, machine};

    const DESKTOP: &[(&str, Option<u32>, &str, u16)] = &[
        ("0000:00:00.0", Some(0), "", 0x8086),
        ("0000:01:00.0", Some(14), "nvidia", NVIDIA),
        ("0000:01:00.1", Some(14), "snd_hda_intel", NVIDIA),
        ("0000:02:00.0", Some(2), "nvme", 0x144d),
        ("0000:03:00.0", None, "e1000e", 0x8086),
    ];

    #[test]
    fn b17_devices_on_vfio_pci_get_their_real_drivers_back() {
        let normal = machine(DESKTOP);
        let database = Database::of(&normal).unwrap();
        let mut guests = DESKTOP.to_vec();
        (guests[1].2, guests[2].2) = (VFIO_PCI, VFIO_PCI);
        let mut guests = machine(&guests);
        let restored = database.restore_drivers(&mut guests);
        assert_eq!(guests.pci, normal.pci);
        let drivers: Vec<_> = restored.drivers.values().flatten().map(String::as_str).collect();
        assert_eq!((drivers, restored.unknown), (vec!["nvidia", "snd_hda_intel"], vec![]));
    }

    #[test]
    fn b17_a_snapshot_is_a_database_too() {
        let normal = machine(DESKTOP);
        let snapshot = format!("\n {}", normal.to_snapshot());
        let read = Database::parse(snapshot.as_bytes()).unwrap();
        assert_eq!(read, Database::of(&normal).unwrap());
        assert_eq!(read.devices().len(), 4, "only devices with a group");
        let error = Database::parse(b"{\"format\": 1,\n \"pci\": 7}").unwrap_err();
        assert_eq!(error.to_string(), "this is not a machine snapshot that can be read");
    }

    #[test]
    fn a_snapshot_with_devices_on_vfio_pci_is_refused() {
        let guests = machine(&[("0000:01:00.0", Some(1), VFIO_PCI, NVIDIA)]);
        let error = Database::parse(guests.to_snapshot().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "made while devices were on vfio-pci: 0000:01:00.0");
    }

    #[test]
    fn a_replaced_card_is_not_given_the_old_ones_driver() {
        let database = Database::of(&machine(DESKTOP)).unwrap();
        let mut now = machine(&[("0000:01:00.0", Some(14), VFIO_PCI, AMD)]);
        let restored = database.restore_drivers(&mut now);
        assert_eq!(restored.unknown, [now.pci.devices()[0].address]);
        assert_eq!(now.pci.devices()[0].driver.as_deref(), Some(VFIO_PCI));
    }

    #[test]
    fn a_driver_that_is_no_plain_word_is_none() {
        let odd = machine(&[("0000:05:00.0", Some(1), "cx88-mpeg driver manager", 0x14f1)]);
        assert_eq!(Database::of(&odd).unwrap().devices()[0].driver, None);
        for driver in ["", "-n", "a b", "a\n", "é", "a/b", "a;b", &"x".repeat(65)] {
            assert!(!is_plain(driver), "{driver:?}");
        }
        assert!(["nvidia", "8139too", "3w-9xxx", "snd_hda_intel", "_x"].into_iter().all(is_plain));
    }

    #[test]
    fn what_has_no_driver_now_keeps_the_one_it_had() {
        let mut now = DESKTOP.to_vec();
        (now[1].2, now[2].2) = ("", "nouveau_audio");
        let mut database = Database::of(&machine(&now)).unwrap();
        database.remember(&Database::of(&machine(DESKTOP)).unwrap());
        let drivers: Vec<_> = database.devices().iter().map(|d| d.driver.as_deref()).collect();
        assert_eq!(drivers, [None, Some("nvme"), Some("nvidia"), Some("nouveau_audio")]);
    }
}

//! What vendors, devices and classes are called, from the distribution's `pci.ids`.
//!
//! The file is indexed in one pass over its bytes, about 1 ms for its 1.3 MB. A full parser (the
//! `pciid-parser` crate, which a test here compares with) builds a tree of all subsystems first
//! and takes 14 ms, more than everything else that listing the groups of a machine does; and its
//! `find_*` helpers miss ids below 0x1000.
//!
//! Every name is made safe to print before it leaves this module: it comes from a file that
//! anybody may have downloaded, and goes to terminals and into boot menus.

use std::{collections::BTreeMap, fmt, ops::Range};

use crate::{
    Address, Result, Root,
    host::{Class, Device, Machine, attr::clean},
};

/// Where distributions keep the file; the last is what `update-pciids` downloads on Debian.
const PLACES: [&str; 3] =
    ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "var/lib/pciutils/pci.ids"];

/// The names in `pci.ids`; none when the machine has no such file.
#[derive(Clone, Default)]
pub struct Names {
    bytes: Vec<u8>,
    vendors: Index,
    devices: Index,
    classes: Index,
    subclasses: Index,
    remembered: BTreeMap<Address, String>,
}

impl Names {
    /// Reads the first `pci.ids` that is there; a name is unknown when none is.
    pub fn read(root: &Root) -> Result<Self> {
        let found = PLACES.iter().find_map(|path| root.bytes(path).ok().flatten());
        Ok(Self::parse(found.unwrap_or_default()))
    }

    /// What a vendor is called (`NVIDIA Corporation`).
    #[must_use]
    pub fn vendor(&self, vendor: u16) -> Option<String> {
        self.name(&self.vendors, vendor.into())
    }

    /// What a vendor's device is called (`GA104 [GeForce RTX 3070]`).
    #[must_use]
    pub fn device(&self, vendor: u16, device: u16) -> Option<String> {
        self.name(&self.devices, pair(vendor.into(), device.into(), 16))
    }

    /// What a class is called: by its subclass (`VGA compatible controller`), else by its base
    /// class, else by its number (`Class 0300`).
    #[must_use]
    pub fn class(&self, class: Class) -> String {
        let sub = self.name(&self.subclasses, class.kind().into());
        sub.or_else(|| self.name(&self.classes, class.base().into()))
            .unwrap_or_else(|| format!("Class {:04x}", class.kind()))
    }

    /// Vendor and device in one line, as `lspci` has it; `Device 10de:2484` when both are
    /// unknown.
    #[must_use]
    pub fn describe(&self, device: &Device) -> String {
        let Some(vendor) = self.vendor(device.vendor) else {
            let remembered = self.remembered.get(&device.address).cloned();
            return remembered.unwrap_or_else(|| format!("Device {}", device.ids()));
        };
        let name = self.device(device.vendor, device.device);
        let name = name.unwrap_or_else(|| format!("Device {:04x}", device.device));
        clean(&format!("{vendor} {name}"))
    }

    /// What people call a device: the names in brackets where there are some, `NVIDIA GeForce RTX
    /// 2070` for `NVIDIA Corporation TU106 [GeForce RTX 2070]`; else as [`Names::describe`].
    #[must_use]
    pub fn call(&self, device: &Device) -> String {
        let whole = self.describe(device);
        let mut brackets = whole.split('[').skip(1).filter_map(|rest| rest.split(']').next());
        let (first, last) = (brackets.next(), brackets.last());
        let word = whole.split_whitespace().next();
        match (first, last) {
            (Some(vendor), Some(model)) => format!("{vendor} {model}"),
            (Some(model), None) => format!("{} {model}", word.unwrap_or_default()),
            (None, _) => whole,
        }
    }

    /// Takes the names that a snapshot has of devices that this file does not name.
    #[must_use]
    pub fn or_of(mut self, machine: &Machine) -> Self {
        let named = machine.details.iter().filter(|(_, detail)| !detail.name.is_empty());
        self.remembered = named.map(|(at, detail)| (*at, clean(&detail.name))).collect();
        self
    }

    /// Indexes the file; lines that it cannot place are skipped.
    fn parse(bytes: Vec<u8>) -> Self {
        let mut names = Self::default();
        let (mut vendor, mut class, mut start) = (None, None, 0);
        for end in memchr::memchr_iter(b'\n', &bytes).chain([bytes.len()]) {
            let line = &bytes[start..end];
            // Where a name stands: the line behind its id.
            let at = |skip: usize| start + skip..end;
            match line {
                [] | [b'#', ..] | [b'\t', b'\t', ..] => {}
                [b'\t', rest @ ..] => match (vendor, class) {
                    (Some(vendor), _) => {
                        names.devices.add(hex(rest, 4).map(|id| pair(vendor, id, 16)), at(5));
                    }
                    (_, Some(class)) => {
                        names.subclasses.add(hex(rest, 2).map(|id| pair(class, id, 8)), at(3));
                    }
                    _ => {}
                },
                [b'C', b' ', rest @ ..] => {
                    (vendor, class) = (None, hex(rest, 2));
                    names.classes.add(class, at(4));
                }
                // Other lists than vendors begin with a capital letter and a blank.
                other => {
                    (vendor, class) = (hex(other, 4), None);
                    names.vendors.add(vendor, at(4));
                }
            }
            start = end + 1;
        }
        for index in
            [&mut names.vendors, &mut names.devices, &mut names.classes, &mut names.subclasses]
        {
            index.sort();
        }
        Self { bytes, ..names }
    }

    fn name(&self, index: &Index, key: u32) -> Option<String> {
        let name = self.bytes.get(index.find(key)?)?;
        Some(clean(&String::from_utf8_lossy(name))).filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({} vendors, {} devices)", self.vendors.0.len(), self.devices.0.len())
    }
}

/// Ids and where their names stand, by id.
#[derive(Clone, Default)]
struct Index(Vec<(u32, Range<usize>)>);

impl Index {
    fn add(&mut self, key: Option<u32>, at: Range<usize>) {
        self.0.extend(key.map(|key| (key, at)));
    }

    fn sort(&mut self) {
        // The file is sorted; the first of two equal ids counts.
        if !self.0.is_sorted_by_key(|(key, _)| *key) {
            self.0.sort_by_key(|(key, _)| *key);
        }
    }

    fn find(&self, key: u32) -> Option<Range<usize>> {
        let at = self.0.partition_point(|(known, _)| *known < key);
        self.0.get(at).filter(|(known, _)| *known == key).map(|(_, at)| at.clone())
    }
}

fn pair(high: u32, low: u32, bits: u32) -> u32 {
    high << bits | low
}

/// The hexadecimal number of exactly `digits` digits at the beginning of a line.
fn hex(line: &[u8], digits: usize) -> Option<u32> {
    let (id, rest) = line.split_at_checked(digits)?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ' || *byte == b'\t');
    let value = |sum: u32, byte: &u8| Some(sum << 4 | char::from(*byte).to_digit(16)?);
    id.iter().try_fold(0, value).filter(|_| ends)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    const IDS: &[u8] = b"# comment\n10de  NVIDIA \xff Corp\x1b[31moration\r\n\t0008  NV1\n\
        \t2484  GA104 [GeForce RTX 3070]\n\t\t1462 3909  Sub\n\tzz\n1002  AMD\n\t2484  Other\n\
        0014\tLow\nC 03  Display controller\n\t00  VGA compatible controller\n\t\t00  VGA\n\
        AT 01  What\n\t00  Nothing\nffff  Illegal\n";

    fn device(vendor: u16, device: u16) -> Device {
        Device {
            address: "0000:01:00.0".parse().unwrap(),
            class: Class(0x03_0000),
            vendor,
            device,
            subsystem: (0, 0),
            driver: None,
            modalias: None,
            group: None,
            boot_vga: None,
            parent: None,
            physical: None,
        }
    }

    #[test]
    fn finds_names_and_falls_back_to_numbers() {
        let tree = Tree::new().file("usr/share/hwdata/pci.ids", IDS).dir("usr/share/misc/pci.ids");
        let names = Names::read(&tree.root()).unwrap();
        let described = |v, d| names.describe(&device(v, d));
        let nvidia = "NVIDIA \u{fffd} Corp[31moration";
        assert_eq!(described(0x10de, 0x2484), format!("{nvidia} GA104 [GeForce RTX 3070]"));
        assert_eq!(described(0x10de, 0x0008), format!("{nvidia} NV1"));
        assert_eq!(described(0x10de, 0x0001), format!("{nvidia} Device 0001"));
        assert_eq!(described(0x1234, 0x2484), "Device 1234:2484");
        assert_eq!(names.device(0x1002, 0x2484).as_deref(), Some("Other"));
        assert_eq!(names.vendor(0x0014).as_deref(), Some("Low"));
        assert_eq!(names.class(Class(0x03_0000)), "VGA compatible controller");
        assert_eq!(names.class(Class(0x03_8000)), "Display controller");
        assert_eq!(names.class(Class(0x0c_0330)), "Class 0c03");
        let none = Names::read(&Root::empty()).unwrap();
        assert_eq!(none.describe(&device(0x10de, 0x2484)), "Device 10de:2484");
    }

    #[test]
    fn agrees_with_a_full_parser() {
        let here = Root::open("/").unwrap().bytes(PLACES[0]).unwrap();
        let bytes = here.unwrap_or_else(|| {
            IDS.iter().copied().filter(|b| b.is_ascii_graphic() || b" \n\t".contains(b)).collect()
        });
        let full = pciid_parser::Database::parse_db(bytes.as_slice()).unwrap();
        let names = Names::parse(bytes);
        for (id, vendor) in &full.vendors {
            assert_eq!(names.vendor(*id).unwrap_or_default(), clean(&vendor.name), "{id:04x}");
            for (device, entry) in &vendor.devices {
                let found = names.device(*id, *device);
                assert_eq!(found.unwrap_or_default(), clean(&entry.name), "{id:04x}:{device:04x}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\n'), Just(b'\t'), Just(b'C'), Just(b' '), Just(b'0'),
        ], 0..300)) {
            let names = Names::parse(bytes);
            let _ = (names.describe(&device(0, 0)), names.class(Class(0)));
        }
    }
}

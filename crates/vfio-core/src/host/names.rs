//! What vendors, devices and classes are called, from the distribution's `pci.ids`.
//!
//! The file is 1.3 MB, and a machine has a few dozen kinds of device: one pass over its lines keeps
//! the names of those, in less than 1 ms. A full parser (the `pciid-parser` crate, which a test here
//! compares with) builds a tree of all subsystems first and takes 14 ms, more than everything else
//! that listing the groups of a machine does; and its `find_*` helpers miss ids below 0x1000.
//!
//! Every name is made safe to print before it leaves this module: it comes from a file that
//! anybody may have downloaded, and goes to terminals and into boot menus.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    Address, Result, Root,
    host::{Class, Device, Machine, Pci, attr::clean},
};

/// Where distributions keep the file; the last is what `update-pciids` downloads on Debian.
const PLACES: [&str; 3] =
    ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "var/lib/pciutils/pci.ids"];

/// What `pci.ids` calls the devices of a machine; no names when it has no such file.
#[derive(Clone, Debug, Default)]
pub struct Names {
    vendors: BTreeMap<u16, Entry>,
    classes: BTreeMap<u16, Entry>,
    remembered: BTreeMap<Address, String>,
}

/// A vendor and its devices, or a base class and its subclasses.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// Empty until the file gives one, as are those below.
    name: String,
    /// A subclass by its name, a device by its vendor's and its own.
    below: BTreeMap<u16, String>,
}

impl Names {
    /// Reads the names of the devices of `pci` from the first `pci.ids` that is there; a name is
    /// unknown when none is.
    pub fn read(root: &Root, pci: &Pci) -> Result<Self> {
        let mut names = Self::asked(pci.devices());
        let mut section = None;
        for path in PLACES {
            let found = root.pieces(path, |lines| names.take(lines, &mut section));
            if found.unwrap_or(false) {
                break;
            }
        }
        names.vendors.values_mut().for_each(Entry::fill_gaps);
        Ok(names)
    }

    /// What a class is called: by its subclass (`VGA compatible controller`), else by its base
    /// class, else by its number (`Class 0300`).
    #[must_use]
    pub fn class(&self, class: Class) -> Cow<'_, str> {
        let base = self.classes.get(&class.base().into());
        let sub = base.and_then(|base| known(base.below.get(&(class.kind() & 0xff))?));
        let known = sub.or_else(|| known(&base?.name));
        known.map_or_else(|| format!("Class {:04x}", class.kind()).into(), Cow::Borrowed)
    }

    /// Vendor and device in one line, as `lspci` has it; `Device 10de:2484` when both are
    /// unknown.
    #[must_use]
    pub fn describe(&self, device: &Device) -> Cow<'_, str> {
        let vendor = self.vendors.get(&device.vendor);
        let name = vendor.and_then(|vendor| known(vendor.below.get(&device.device)?));
        let name = name.or_else(|| self.remembered.get(&device.address).map(String::as_str));
        name.map_or_else(|| format!("Device {}", device.ids()).into(), Cow::Borrowed)
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
            (None, _) => whole.into_owned(),
        }
    }

    /// Takes the names that a snapshot has of devices that this file does not name.
    #[must_use]
    pub fn or_of(mut self, machine: &Machine) -> Self {
        let named = machine.details.iter().filter(|(_, detail)| !detail.name.is_empty());
        self.remembered = named.map(|(at, detail)| (*at, clean(&detail.name))).collect();
        self
    }

    /// No names yet, but a place for each that `devices` ask for.
    fn asked(devices: &[Device]) -> Self {
        let mut names = Self::default();
        for device in devices {
            let vendor = names.vendors.entry(device.vendor).or_default();
            vendor.below.entry(device.device).or_default();
            let class = names.classes.entry(device.class.base().into()).or_default();
            class.below.entry(device.class.kind() & 0xff).or_default();
        }
        names
    }

    /// Takes the names that were asked for from whole lines of the file; `section` is what those that
    /// are indented belong to.
    fn take(&mut self, mut lines: &[u8], section: &mut Option<Section>) {
        while !lines.is_empty() {
            if section.is_none() {
                lines = &lines[indented(lines)..];
            }
            let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
            self.take_line(&lines[..end], section);
            lines = lines.get(end + 1..).unwrap_or_default();
        }
    }

    fn take_line(&mut self, line: &[u8], section: &mut Option<Section>) {
        match line {
            [] | [b'#', ..] | [b'\t', b'\t', ..] => {}
            [b'\t', rest @ ..] => match *section {
                Some(Section::Vendor(id)) => {
                    self.vendors.entry(id).and_modify(|vendor| vendor.take_device(rest));
                }
                Some(Section::Class(id)) => {
                    self.classes.entry(id).and_modify(|class| class.take_subclass(rest));
                }
                None => {}
            },
            [b'C', b' ', rest @ ..] => {
                *section = head(&mut self.classes, rest, 2).map(Section::Class)
            }
            // Other lists than vendors begin with a capital letter and a blank.
            other => *section = head(&mut self.vendors, other, 4).map(Section::Vendor),
        }
    }
}

/// What the lines of `pci.ids` that are indented belong to, where somebody asked for it.
#[derive(Clone, Copy)]
enum Section {
    Vendor(u16),
    Class(u16),
}

impl Entry {
    /// The first of several names for one id counts.
    fn take_device(&mut self, line: &[u8]) {
        let place = hex(line, 4).and_then(|id| self.below.get_mut(&id));
        if let Some(place) = place.filter(|place| place.is_empty() && !self.name.is_empty()) {
            *place = clean(&format!("{} {}", self.name, text(&line[4..])));
        }
    }

    fn take_subclass(&mut self, line: &[u8]) {
        let place = hex(line, 2).and_then(|id| self.below.get_mut(&id));
        if let Some(place) = place.filter(|place| place.is_empty()) {
            *place = text(&line[2..]);
        }
    }

    /// Gives the devices of a vendor that the file does not know their number for a name.
    fn fill_gaps(&mut self) {
        let unknown = self.below.iter_mut().filter(|(_, name)| name.is_empty());
        for (id, place) in unknown.filter(|_| !self.name.is_empty()) {
            *place = clean(&format!("{} Device {id:04x}", self.name));
        }
    }
}

/// The length of the lines at the beginning that are indented: most of the file, about vendors that
/// nobody asked for. Without a branch for each byte, they are compared many at a time.
fn indented(lines: &[u8]) -> usize {
    const STEP: usize = 64;
    if lines.first() != Some(&b'\t') {
        return 0;
    }
    let ends = |(byte, next): (&u8, &u8)| (*byte == b'\n') & (*next != b'\t');
    let mut at = 0;
    while let Some(bytes) = lines[at..].first_chunk::<{ STEP + 1 }>() {
        if bytes[..STEP].iter().zip(&bytes[1..]).fold(false, |any, pair| any | ends(pair)) {
            break;
        }
        at += STEP;
    }
    let rest = &lines[at..];
    rest.iter().zip(rest.iter().skip(1)).position(ends).map_or(lines.len(), |end| at + end + 1)
}

/// Names what a section is about; `None` when nobody asked.
fn head(entries: &mut BTreeMap<u16, Entry>, line: &[u8], digits: usize) -> Option<u16> {
    let id = hex(line, digits)?;
    let entry = entries.get_mut(&id)?;
    if entry.name.is_empty() {
        entry.name = text(&line[digits..]);
    }
    Some(id)
}

fn text(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes))
}

fn known(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}

/// The hexadecimal number of exactly `digits` digits at the beginning of a line.
fn hex(line: &[u8], digits: usize) -> Option<u16> {
    let (id, rest) = line.split_at_checked(digits)?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ' || *byte == b'\t');
    let digit = |byte: u8| u16::try_from(char::from(byte).to_digit(16)?).ok();
    let value = |sum: u16, byte: &u8| Some(sum << 4 | digit(*byte)?);
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

    /// Well formed throughout, for the full parser: a machine may have no file of its own.
    const OURS: &str = "# comment\n10de  NVIDIA Corporation\n\t0008  NV1\n\t2484  GA104\n\
        \t\t1462 3909  Sub\n1002  AMD\n\t2484  Other\nC 03  Display controller\n\t00  VGA\n";

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

    fn of(class: u32) -> Device {
        Device { class: Class(class), ..device(0x0014, 1) }
    }

    /// At an address of its own each.
    fn pci(devices: impl Iterator<Item = Device>) -> Pci {
        let at = |domain| Address { domain, ..device(0, 0).address };
        let apart = devices.zip(0..).map(|(device, n)| Device { address: at(n), ..device });
        Pci::from_devices(apart.collect())
    }

    fn read(file: &[u8], devices: &[Device]) -> Names {
        let (mut names, mut section) = (Names::asked(devices), None);
        names.take(file, &mut section);
        names.vendors.values_mut().for_each(Entry::fill_gaps);
        names
    }

    #[test]
    fn finds_names_and_falls_back_to_numbers() {
        let tree = Tree::new().file("usr/share/hwdata/pci.ids", IDS).dir("usr/share/misc/pci.ids");
        let ids = [(0x10de, 0x2484), (0x10de, 8), (0x10de, 1), (0x1234, 0x2484), (0x1002, 0x2484)];
        let asked =
            ids.map(|(v, d)| device(v, d)).into_iter().chain([0x03_8000, 0x0c_0330].map(of));
        let names = Names::read(&tree.root(), &pci(asked)).unwrap();
        let described = |v, d| names.describe(&device(v, d));
        let nvidia = "NVIDIA \u{fffd} Corp[31moration";
        assert_eq!(described(0x10de, 0x2484), format!("{nvidia} GA104 [GeForce RTX 3070]"));
        assert_eq!(described(0x10de, 0x0008), format!("{nvidia} NV1"));
        assert_eq!(described(0x10de, 0x0001), format!("{nvidia} Device 0001"));
        assert_eq!(described(0x1234, 0x2484), "Device 1234:2484");
        assert_eq!(described(0x1002, 0x2484), "AMD Other");
        assert_eq!(described(0x0014, 0x0001), "Low Device 0001");
        assert_eq!(names.class(Class(0x03_0000)), "VGA compatible controller");
        assert_eq!(names.class(Class(0x03_8000)), "Display controller");
        assert_eq!(names.class(Class(0x0c_0330)), "Class 0c03");
        let none = Names::read(&Root::empty(), &Pci::default()).unwrap();
        assert_eq!(none.describe(&device(0x10de, 0x2484)), "Device 10de:2484");
    }

    #[test]
    fn agrees_with_a_full_parser() {
        let here = Root::open("/").unwrap().bytes(PLACES[0]).unwrap();
        for bytes in here.into_iter().chain([OURS.as_bytes().to_vec()]) {
            let full = pciid_parser::Database::parse_db(bytes.as_slice()).unwrap();
            let all =
                full.vendors.iter().flat_map(|(v, vendor)| vendor.devices.keys().map(|d| (*v, *d)));
            let names = read(&bytes, &all.map(|(v, d)| device(v, d)).collect::<Vec<_>>());
            for (id, vendor) in full.vendors.iter().filter(|(_, v)| !v.devices.is_empty()) {
                let found = &names.vendors[id];
                assert_eq!(found.name, clean(&vendor.name), "{id:04x}");
                for (device, entry) in &vendor.devices {
                    let whole = clean(&format!("{} {}", found.name, clean(&entry.name)));
                    assert_eq!(found.below[device], whole, "{id:04x}:{device:04x}");
                }
            }
        }
    }

    #[test]
    fn a_section_ends_with_its_indented_lines() {
        for length in [0, 1, 60, 61, 62, 63, 64, 65, 66, 127, 128, 500] {
            let section = format!("\t{}\n", "x".repeat(length));
            assert_eq!(indented(section.as_bytes()), section.len(), "{length}");
            let next = format!("{section}\n");
            assert_eq!(indented(next.as_bytes()), section.len(), "{length}");
        }
        assert_eq!((indented(b""), indented(b"a\n\tb"), indented(b"\ta\n\tb\nc\n")), (0, 0, 6));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\n'), Just(b'\t'), Just(b'C'), Just(b' '), Just(b'0'),
        ], 0..300)) {
            let names = read(&bytes, &[device(0, 0)]);
            let _ = (names.describe(&device(0, 0)), names.class(Class(0)));
        }
    }
}

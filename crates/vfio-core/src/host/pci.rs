//! PCI devices and their IOMMU groups, from `/sys/bus/pci/devices`.
//!
//! One pass costs a handful of system calls a device: `uevent` alone has the class, the ids, the
//! driver and the modalias (`Documentation/ABI/testing/sysfs-bus-pci`). What few commands need is
//! a [`Detail`], read for one device at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Address, Dir, Result, Root};

const DEVICES: &str = "sys/bus/pci/devices";
const REAL: &str = "sys/devices";

/// Class code of a device: base class, subclass, programming interface (`0x030000` is VGA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u32);

impl Class {
    /// Base class and subclass: `0x0300` for VGA.
    #[must_use]
    pub fn kind(self) -> u16 {
        u16::try_from(self.0 >> 8 & 0xffff).unwrap_or_default()
    }

    /// The base class: `0x03` for everything that displays.
    #[must_use]
    pub fn base(self) -> u8 {
        u8::try_from(self.0 >> 16 & 0xff).unwrap_or_default()
    }

    /// VGA (0300), 3D (0302) or another display controller (0380).
    #[must_use]
    pub fn is_display(self) -> bool {
        matches!(self.kind(), 0x0300 | 0x0302 | 0x0380)
    }

    /// Host, ISA, PCI and other bridges (06xx): they always stay with the host.
    #[must_use]
    pub fn is_bridge(self) -> bool {
        self.base() == 0x06
    }

    /// A bridge to another PCI bus (0604), driven by `pcieport`.
    #[must_use]
    pub fn is_pci_bridge(self) -> bool {
        self.kind() == 0x0604
    }
}

/// One PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it sits.
    pub address: Address,
    /// What it is.
    pub class: Class,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Subsystem vendor and device id; zero where the device has none.
    pub subsystem: (u16, u16),
    /// The driver bound to it now.
    pub driver: Option<String>,
    /// What `modprobe` resolves to the modules that may drive it.
    pub modalias: Option<String>,
    /// Its IOMMU group; `None` when the IOMMU is off or does not translate for it.
    pub group: Option<u32>,
    /// Whether the firmware used it as the display; `None` for everything but VGA.
    pub boot_vga: Option<bool>,
    /// The bridge that leads to it; `None` for a device on a root bus.
    pub parent: Option<Address>,
    /// The physical function that makes it (SR-IOV); `None` for everything but a virtual function.
    pub physical: Option<Address>,
}

impl Device {
    /// `vendor:device`, as `lspci -n` prints it.
    #[must_use]
    pub fn ids(&self) -> String {
        format!("{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// What only some commands ask of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Revision.
    pub revision: Option<u8>,
    /// The only driver that may bind to it; `None` when none is forced.
    pub driver_override: Option<String>,
    /// The NUMA node it is attached to; `None` when the firmware does not say.
    pub numa_node: Option<u32>,
    /// How the kernel can reset it (`flr`, `bus`, …), best first; empty when it cannot.
    pub reset_methods: Vec<String>,
    /// The modules of any installed kernel whose aliases match it; empty when nobody asked.
    pub modules: Vec<String>,
    /// Drivers for it that are part of an installed kernel's image; empty when nobody asked.
    pub built_in: Vec<String>,
    /// What `pci.ids` calls it; empty when nobody asked.
    pub name: String,
}

impl Detail {
    /// Reads the details of the device at `address` from sysfs, so without modules and name; all
    /// are absent when it is not there.
    pub fn read(root: &Root, address: Address) -> Result<Self> {
        let Some(dir) = root.dir(&format!("{DEVICES}/{address}"))? else {
            return Ok(Self::default());
        };
        // An attribute that the kernel refuses to show (EIO, EACCES) is as good as none.
        let text = |name| dir.text(name).ok().flatten();
        Ok(Self {
            revision: text("revision").and_then(|t| u8::try_from(hex(&t)?).ok()),
            driver_override: text("driver_override").filter(|t| !t.is_empty() && t != "(null)"),
            numa_node: text("numa_node").and_then(|t| t.parse().ok()),
            reset_methods: text("reset_method")
                .map(|t| t.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            ..Self::default()
        })
    }
}

/// Every PCI device of a machine, in address order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pci {
    devices: Vec<Device>,
    shows_bridges: bool,
}

impl Pci {
    /// Reads all devices; none when the machine has no PCI bus.
    pub fn read(root: &Root) -> Result<Self> {
        let Some(links) = root.dir(DEVICES)? else { return Ok(Self::default()) };
        let names = links.names()?;
        let mut reader = Reader { root, links, real: root.dir(REAL)?, last: None };
        let devices = names.iter().filter_map(|name| reader.device(name).transpose());
        Ok(Self::from_devices(devices.collect::<Result<_>>()?))
    }

    /// The same from devices that somebody else described.
    #[must_use]
    pub fn from_devices(mut devices: Vec<Device>) -> Self {
        devices.sort_by_key(|device| device.address);
        devices.dedup_by_key(|device| device.address);
        let shows_bridges = devices.iter().any(|device| device.parent.is_some());
        Self { devices, shows_bridges }
    }

    /// All devices, in address order.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device at `address`.
    #[must_use]
    pub fn get(&self, address: Address) -> Option<&Device> {
        let at = self.devices.binary_search_by_key(&address, |device| device.address);
        at.ok().map(|at| &self.devices[at])
    }

    /// The devices of each IOMMU group, by group number; numbers may have gaps.
    #[must_use]
    pub fn groups(&self) -> BTreeMap<u32, Vec<&Device>> {
        let mut groups = BTreeMap::<u32, Vec<&Device>>::new();
        for device in &self.devices {
            if let Some(group) = device.group {
                groups.entry(group).or_default().push(device);
            }
        }
        groups
    }

    /// Whether there is an IOMMU group at all.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        self.devices.iter().any(|device| device.group.is_some())
    }

    /// Whether the machine shows the bridge above any of its devices.
    #[must_use]
    pub fn shows_bridges(&self) -> bool {
        self.shows_bridges
    }

    /// All functions of the card that `address` belongs to, itself included.
    pub fn card(&self, address: Address) -> impl Iterator<Item = &Device> {
        let first = Address { function: 0, ..address };
        let at = self.devices.partition_point(|device| device.address < first);
        self.devices[at..].iter().take_while(move |device| device.address.same_slot(&address))
    }

    /// Whether another device than `device` has its vendor and device id.
    #[must_use]
    pub fn shares_ids(&self, device: &Device) -> bool {
        let same = |d: &&Device| (d.vendor, d.device) == (device.vendor, device.device);
        self.devices.iter().filter(same).count() > 1
    }

    /// The drivers in use, each once.
    #[must_use]
    pub fn drivers(&self) -> BTreeSet<&str> {
        self.devices.iter().filter_map(|device| device.driver.as_deref()).collect()
    }
}

/// Where devices are read from.
struct Reader<'r> {
    root: &'r Root,
    /// One link a device.
    links: Dir,
    /// Where the links lead.
    real: Option<Dir>,
    /// Where the device before was found.
    last: Option<Bus>,
}

/// The directory that all devices of a bus are in.
struct Bus {
    number: (u32, u8),
    dir: Dir,
    bridge: Option<Address>,
}

impl Reader<'_> {
    /// `None` when the device vanished meanwhile, or says nothing of itself.
    ///
    /// A link is followed once a bus: looking up its many names is most of what a device costs.
    fn device(&mut self, name: &str) -> Result<Option<Device>> {
        let Ok(address) = name.parse::<Address>() else { return Ok(None) };
        let number = (address.domain, address.bus);
        if self.last.as_ref().is_none_or(|bus| bus.number != number) {
            self.last = self.bus(name, number);
        }
        if let Some(bus) = &self.last
            && let Some(device) = read(&bus.dir, &format!("{name}/"), address, bus.bridge)
        {
            return Ok(Some(device));
        }
        let dir = self.root.dir(&format!("{DEVICES}/{name}"))?;
        Ok(dir.and_then(|dir| read(&dir, "", address, bridge(&self.above(name)))))
    }

    /// The directory that a device's link leads into; `None` when that is not below [`REAL`].
    fn bus(&self, name: &str, number: (u32, u8)) -> Option<Bus> {
        let above = self.above(name);
        let dir = self.real.as_ref()?.plain_dir(above.strip_prefix("../../../devices/")?)?;
        Some(Bus { number, dir, bridge: bridge(&above) })
    }

    /// Where a device's link leads, without its own name.
    fn above(&self, name: &str) -> String {
        let mut target = self.links.link(name).ok().flatten().unwrap_or_default();
        target.truncate(target.rfind('/').unwrap_or_default());
        target
    }
}

/// The bridge whose directory this is.
fn bridge(above: &str) -> Option<Address> {
    above.rsplit('/').next()?.parse().ok()
}

/// Reads the device whose attributes are in `dir`, or in the directory `below` it.
///
/// Where `below` is `name/`, its `uevent` is only read if that is a directory itself and no link, so
/// the links beside it need no directory opened for them.
fn read(dir: &Dir, below: &str, address: Address, bridge: Option<Address>) -> Option<Device> {
    let text = |name: &str| match below {
        "" => dir.text(name).ok().flatten(),
        _ => dir.plain_text(&[below, name].concat()),
    };
    let link = |name: &str| dir.link_name(&[below, name].concat()).ok().flatten();
    let mut device = parse(address, &text("uevent")?)?;
    device.parent = bridge;
    device.group = link("iommu_group").and_then(|name| name.parse().ok());
    device.physical = link("physfn").and_then(|name| name.parse().ok());
    if device.class.is_display() {
        device.boot_vga = text("boot_vga").map(|text| text == "1");
    }
    Some(device)
}

fn parse(address: Address, uevent: &str) -> Option<Device> {
    let (mut class, mut ids, mut subsystem, mut driver, mut modalias) = Default::default();
    for (key, value) in uevent.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "PCI_CLASS" => class = hex(value),
            "PCI_ID" => ids = pair(value),
            "PCI_SUBSYS_ID" => subsystem = pair(value),
            "DRIVER" => driver = Some(value.to_owned()),
            "MODALIAS" => modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    let (vendor, device) = ids?;
    Some(Device {
        address,
        class: Class(class?),
        vendor,
        device,
        subsystem: subsystem.unwrap_or_default(),
        driver,
        modalias,
        group: None,
        boot_vga: None,
        parent: None,
        physical: None,
    })
}

fn pair(text: &str) -> Option<(u16, u16)> {
    let (a, b) = text.split_once(':')?;
    Some((u16::from_str_radix(a, 16).ok()?, u16::from_str_radix(b, 16).ok()?))
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    const UEVENT: &str = "DRIVER=nouveau\nPCI_CLASS=30000\nPCI_ID=10DE:2484\n\
        PCI_SUBSYS_ID=1462:3909\nPCI_SLOT_NAME=0000:01:00.0\nMODALIAS=pci:v000010DEd00002484\n";

    fn put(root: &Path, path: &str, text: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn reads_a_card_behind_a_bridge() {
        let dir = tempfile::tempdir().unwrap();
        let real = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
        put(dir.path(), &format!("{real}/uevent"), UEVENT.as_bytes());
        put(dir.path(), &format!("{real}/boot_vga"), b"1\n");
        put(dir.path(), &format!("{real}/reset_method"), b"flr bus\n");
        put(dir.path(), &format!("{real}/driver_override"), b"(null)\n");
        put(dir.path(), &format!("{real}/numa_node"), b"-1\n");
        fs::create_dir_all(dir.path().join("sys/kernel/iommu_groups/14")).unwrap();
        fs::create_dir_all(dir.path().join("sys/bus/pci/devices")).unwrap();
        let group = dir.path().join(real).join("iommu_group");
        symlink("../../../../kernel/iommu_groups/14", group).unwrap();
        symlink("../0000:01:00.4", dir.path().join(real).join("physfn")).unwrap();
        let link = dir.path().join("sys/bus/pci/devices/0000:01:00.0");
        symlink("../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0", link).unwrap();
        put(dir.path(), "sys/bus/pci/devices/not-a-device/uevent", b"");
        put(dir.path(), "sys/bus/pci/devices/0000:02:00.0/uevent", b"PCI_CLASS=\xff\n");

        let root = Root::open(dir.path()).unwrap();
        let pci = Pci::read(&root).unwrap();
        let [card] = pci.devices() else { panic!("{:?}", pci.devices()) };
        assert_eq!((card.ids().as_str(), card.class), ("10de:2484", Class(0x03_0000)));
        assert_eq!((card.driver.as_deref(), card.group), (Some("nouveau"), Some(14)));
        assert_eq!((card.boot_vga, card.subsystem), (Some(true), (0x1462, 0x3909)));
        assert_eq!(card.parent, "0000:00:01.0".parse().ok());
        assert_eq!(card.physical, "0000:01:00.4".parse().ok());
        let detail = Detail::read(&root, card.address).unwrap();
        assert_eq!(detail.reset_methods, ["flr", "bus"]);
        assert_eq!((detail.driver_override, detail.numa_node), (None, None));
    }

    #[test]
    fn a_link_in_the_place_of_a_device_is_followed_inside_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let bus = "sys/devices/pci0000:00";
        put(dir.path(), &format!("{bus}/0000:00:01.0/uevent"), UEVENT.as_bytes());
        put(dir.path(), "sys/elsewhere/uevent", UEVENT.as_bytes());
        let foreign = tempfile::tempdir().unwrap();
        put(foreign.path(), "uevent", UEVENT.as_bytes());
        symlink("/sys/elsewhere", dir.path().join(bus).join("0000:00:02.0")).unwrap();
        symlink(foreign.path(), dir.path().join(bus).join("0000:00:03.0")).unwrap();
        let links = dir.path().join("sys/bus/pci/devices");
        fs::create_dir_all(&links).unwrap();
        for name in ["0000:00:01.0", "0000:00:02.0", "0000:00:03.0"] {
            symlink(format!("../../../devices/pci0000:00/{name}"), links.join(name)).unwrap();
        }
        let pci = Pci::read(&Root::open(dir.path()).unwrap()).unwrap();
        let found: Vec<String> = pci.devices().iter().map(|d| d.address.to_string()).collect();
        assert_eq!(found, ["0000:00:01.0", "0000:00:02.0"]);
    }

    #[test]
    fn a_machine_without_pci_has_no_devices() {
        assert_eq!(Pci::read(&Root::empty()).unwrap(), Pci::default());
    }
}

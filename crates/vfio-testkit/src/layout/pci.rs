//! PCI devices, their drivers and their IOMMU groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io,
};

use crate::description::{Description, DeviceDescription};

use super::maker::Maker;

/// Where each device lies below the root, by address.
#[derive(Debug)]
pub(super) struct Buses(BTreeMap<String, String>);

impl Buses {
    fn new(machine: &Description) -> Self {
        let place = |d: &DeviceDescription| (d.addr.clone(), path(machine, d, 0));
        Self(machine.devices.iter().map(place).collect())
    }

    /// Where the device at `address` lies; a place of its own when nobody described it.
    pub(super) fn of(&self, address: &str) -> String {
        let unknown = || format!("sys/devices/pci0000:00/{address}");
        self.0.get(address).cloned().unwrap_or_else(unknown)
    }
}

/// The real place: below its bridge, or on the root bus of its domain.
fn path(machine: &Description, device: &DeviceDescription, depth: u32) -> String {
    let (domain, addr) = (device.domain(), &device.addr);
    let parent = device.parent.as_deref().and_then(|parent| machine.device(parent));
    match parent {
        Some(parent) if depth < 16 => {
            let above = path(machine, parent, depth + 1);
            if parent.domain() == domain {
                format!("{above}/{addr}")
            } else {
                // A controller (VMD) that brings a domain of its own.
                format!("{above}/pci{domain}:{:02x}/{addr}", device.bus())
            }
        }
        _ => format!("sys/devices/pci{domain}:00/{addr}"),
    }
}

/// Lays out `sys/devices/pci*`, `sys/bus/pci` and `sys/kernel/iommu_groups`.
pub(super) fn lay_out(make: &Maker, machine: &Description) -> io::Result<Buses> {
    let buses = Buses::new(machine);
    make.dir("sys/bus/pci/devices")?;
    make.dir("sys/kernel/iommu_groups")?;
    make.dir("sys/bus/pci/drivers/pcieport")?;
    for device in &machine.devices {
        let at = buses.of(&device.addr);
        attributes(make, machine, device, &at)?;
        links(make, device, &at)?;
    }
    Ok(buses)
}

fn attributes(
    make: &Maker,
    machine: &Description,
    device: &DeviceDescription,
    at: &str,
) -> io::Result<()> {
    let (class, (vendor, id)) = (device.class_code(), device.ids());
    let (subvendor, subdevice) = device.subsystem();
    let modalias = modalias(device);
    let node = device.numa_node.map_or("-1".to_owned(), |node| node.to_string());
    let reset = match &device.reset_method {
        Some(given) => given.as_str(),
        None if device.is_bridge() => "pm",
        None => "flr bus",
    };
    make.lines(
        at,
        &[
            ("class", &format!("{class:#08x}")),
            ("vendor", &format!("{vendor:#06x}")),
            ("device", &format!("{id:#06x}")),
            ("subsystem_vendor", &format!("{subvendor:#06x}")),
            ("subsystem_device", &format!("{subdevice:#06x}")),
            ("revision", &format!("{:#04x}", device.revision())),
            ("modalias", &modalias),
            ("numa_node", &node),
            ("reset_method", reset),
            ("driver_override", "(null)"),
            ("enable", "1"),
            ("d3cold_allowed", "1"),
            ("irq", "0"),
            (
                "resource",
                &["0x0000000000000000 0x0000000000000000 0x0000000000000000"; 7].join("\n"),
            ),
        ],
    )?;
    if class >> 8 == 0x0300 {
        make.lines(at, &[("boot_vga", if device.boot_vga { "1" } else { "0" })])?;
    }
    make.file(&format!("{at}/uevent"), uevent(device, &modalias))?;
    make.file(&format!("{at}/config"), configuration(machine, device))
}

fn modalias(device: &DeviceDescription) -> String {
    let (class, (vendor, id)) = (device.class_code(), device.ids());
    let (subvendor, subdevice) = device.subsystem();
    let (base, sub, interface) = (class >> 16, class >> 8 & 0xff, class & 0xff);
    format!(
        "pci:v{vendor:08X}d{id:08X}sv{subvendor:08X}sd{subdevice:08X}\
         bc{base:02X}sc{sub:02X}i{interface:02X}"
    )
}

fn uevent(device: &DeviceDescription, modalias: &str) -> String {
    let (vendor, id) = device.ids();
    let (subvendor, subdevice) = device.subsystem();
    let driver = device.driver.as_ref().map_or(String::new(), |name| format!("DRIVER={name}\n"));
    format!(
        "{driver}PCI_CLASS={:X}\nPCI_ID={vendor:04X}:{id:04X}\n\
         PCI_SUBSYS_ID={subvendor:04X}:{subdevice:04X}\nPCI_SLOT_NAME={}\nMODALIAS={modalias}\n",
        device.class_code(),
        device.addr
    )
}

/// As much of configuration space as lspci needs.
fn configuration(machine: &Description, device: &DeviceDescription) -> [u8; 256] {
    let mut space = [0; 256];
    let mut put = |at: usize, value: u32, size: usize| {
        space[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    };
    let (vendor, id) = device.ids();
    put(0x00, vendor, 2);
    put(0x02, id, 2);
    put(0x08, device.revision(), 1);
    put(0x09, device.class_code(), 3);
    let functions = machine.devices.iter().filter(|other| other.slot() == device.slot()).count();
    let many = if functions > 1 { 0x80 } else { 0 };
    if device.class_code() >> 8 == 0x0604 {
        put(0x0e, many | 1, 1);
        let below = |d: &&DeviceDescription| d.parent.as_deref() == Some(device.addr.as_str());
        let bus = machine.devices.iter().find(below).map_or(0, DeviceDescription::bus);
        put(0x18, device.bus(), 1);
        put(0x19, bus, 1);
        put(0x1a, bus, 1);
    } else {
        let (subvendor, subdevice) = device.subsystem();
        put(0x0e, many, 1);
        put(0x2c, subvendor, 2);
        put(0x2e, subdevice, 2);
    }
    space
}

fn links(make: &Maker, device: &DeviceDescription, at: &str) -> io::Result<()> {
    let addr = &device.addr;
    make.link(&format!("sys/bus/pci/devices/{addr}"), at)?;
    make.link(&format!("{at}/subsystem"), "sys/bus/pci")?;
    if let Some(driver) = &device.driver {
        let driver = format!("sys/bus/pci/drivers/{driver}");
        make.dir(&driver)?;
        make.link(&format!("{at}/driver"), &driver)?;
        make.link(&format!("{driver}/{addr}"), at)?;
    }
    if let Some(group) = device.iommu_group {
        let group = format!("sys/kernel/iommu_groups/{group}");
        make.link(&format!("{group}/devices/{addr}"), at)?;
        make.link(&format!("{at}/iommu_group"), &group)?;
        make.lines(&group, &[("type", "DMA-FQ"), ("reserved_regions", RESERVED)])?;
    }
    Ok(())
}

const RESERVED: &str = "0x00000000fee00000 0x00000000feefffff msi";

/// `modules.alias` lines for what drives the devices.
pub(super) fn aliases(machine: &Description) -> String {
    let mut lines = BTreeSet::new();
    for device in &machine.devices {
        let (vendor, id) = device.ids();
        for module in device.modules.iter().chain(&device.driver) {
            lines.insert(format!(
                "alias pci:v{vendor:08X}d{id:08X}sv*sd*bc*sc*i* {}",
                module.replace('-', "_")
            ));
        }
    }
    let mut text = String::from("# Aliases extracted from modules themselves.\n");
    for line in lines.iter().filter(|line| !line.ends_with(" vfio_pci")) {
        let _ = writeln!(text, "{line}");
    }
    text + "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
}

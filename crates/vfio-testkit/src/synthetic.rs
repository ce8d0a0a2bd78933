//! Machines of any size, for measurements.

use crate::description::{CpuDescription, Description, DeviceDescription, Roles};

/// A machine with `devices` PCI devices: bridges, cards with their audio functions, disks and
/// network cards in turn, each card in an IOMMU group of its own.
///
/// The first of each kind belongs to the host. There are at least eleven devices.
#[must_use]
pub fn synthetic(devices: usize) -> Description {
    let mut all = vec![chipset()];
    let mut group = 0;
    for bus in 1.. {
        if all.len() + 5 > devices.max(11) {
            break;
        }
        group += 1;
        all.extend(slot(bus, group));
    }
    while all.len() < devices {
        group += 1;
        let number = u32::try_from(all.len()).unwrap_or(0);
        // Uncore functions fill the last buses, as on big servers.
        let addr = format!("00ff:{:02x}:{:02x}.{:x}", number >> 8, number >> 3 & 31, number & 7);
        all.push(device(&addr, "0x088000", ("0x8086", "0x3450"), group, "Uncore"));
    }
    let threads = if devices > 100 { 128 } else { 16 };
    Description {
        name: format!("synthetic-{}", all.len()),
        summary: "Made up for measurements".to_owned(),
        cpu: CpuDescription {
            vendor: "GenuineIntel".to_owned(),
            model: "Sample".to_owned(),
            sockets: 1,
            cores: threads / 2,
            threads,
            ..CpuDescription::default()
        },
        mem_kib: 64 << 20,
        devices: all,
        roles: Roles::default(),
        efi: true,
        ..Description::default()
    }
}

fn chipset() -> DeviceDescription {
    let name = "USB 3.1 xHCI Host Controller";
    device("0000:00:14.0", "0x0c0330", ("0x8086", "0xa36d"), 0, name).driven_by("xhci_hcd")
}

/// A root port and what is behind it: a card, and either a disk or a network card.
fn slot(bus: u32, group: u32) -> [DeviceDescription; 5] {
    let domain = bus / 200;
    let port = format!("{domain:04x}:00:{:02x}.{}", 1 + bus % 200 / 8, bus % 8);
    let at = |place| format!("{domain:04x}:{:02x}:{place}", 1 + bus % 200);
    let mut card = device(&at("00.0"), "0x030000", ("0x10de", "0x2204"), group, "GA102 [Sample]");
    card.boot_vga = bus == 1;
    let last = if bus % 2 == 1 {
        device(&at("01.0"), "0x010802", ("0x144d", "0xa808"), group + 1000, "NVMe SSD")
            .driven_by("nvme")
    } else {
        device(&at("01.0"), "0x020000", ("0x8086", "0x1521"), group + 1000, "I350").driven_by("igb")
    };
    [
        device(&port, "0x060400", ("0x8086", "0x1901"), group, "Root Port").driven_by("pcieport"),
        card.driven_by("nouveau").below(&port),
        device(&at("00.1"), "0x040300", ("0x10de", "0x1aef"), group, "Audio")
            .driven_by("snd_hda_intel")
            .below(&port),
        device(&at("00.2"), "0x0c0330", ("0x10de", "0x1ada"), group, "USB").below(&port),
        last.below(&port),
    ]
}

fn device(
    addr: &str,
    class: &str,
    (vendor, id): (&str, &str),
    group: u32,
    name: &str,
) -> DeviceDescription {
    DeviceDescription {
        addr: addr.to_owned(),
        class: class.to_owned(),
        vendor: vendor.to_owned(),
        device: id.to_owned(),
        iommu_group: Some(group),
        name: name.to_owned(),
        ..DeviceDescription::default()
    }
}

impl DeviceDescription {
    fn driven_by(self, driver: &str) -> Self {
        Self { driver: Some(driver.to_owned()), ..self }
    }

    fn below(self, bridge: &str) -> Self {
        Self { parent: Some(bridge.to_owned()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn has_as_many_devices_as_asked_for_each_at_its_own_address() {
        for count in [11, 49, 483] {
            let machine = synthetic(count);
            let places: BTreeSet<_> = machine.devices.iter().map(|d| &d.addr).collect();
            assert_eq!((machine.devices.len(), places.len()), (count, count));
            assert!(places.iter().all(|place| place.parse::<vfio_core::Address>().is_ok()));
            let roles = machine.roles();
            assert!(roles.disk.is_some() && roles.network.is_some() && roles.screens.len() == 1);
        }
    }
}

//! Network cards, screens, firmware and the IOMMU's units.

use std::io;

use crate::description::{Description, DeviceDescription};

use super::{Scene, maker::Maker};

/// Lays out what the host works with.
pub(super) fn lay_out(scene: Scene<'_>) -> io::Result<()> {
    network(scene)?;
    screens(scene)?;
    iommu(scene.make, scene.machine)?;
    firmware(scene.make, scene.machine)
}

/// `enp5s0`, as systemd would call it by its place.
fn interface(machine: &Description, device: &DeviceDescription) -> String {
    let kind = if device.class_code() >> 8 == 0x0280 { "wl" } else { "en" };
    let domain = match device.domain() {
        "0000" => String::new(),
        other => format!("P{}", u32::from_str_radix(other, 16).unwrap_or(0)),
    };
    let (slot, function) = device.addr.rsplit_once('.').unwrap_or((&device.addr, "0"));
    let slot = slot.rsplit(':').next().and_then(|s| u32::from_str_radix(s, 16).ok()).unwrap_or(0);
    let alone = machine.devices.iter().filter(|d| d.slot() == device.slot()).count() == 1;
    let function = if alone { String::new() } else { format!("f{function}") };
    format!("{kind}{domain}p{}s{slot}{function}", device.bus())
}

fn network(scene: Scene<'_>) -> io::Result<()> {
    let Scene { make, machine, roles, buses } = scene;
    make.dir("sys/class/net")?;
    let driven = |d: &&DeviceDescription| d.driver.as_deref().is_some_and(|d| d != "vfio-pci");
    let cards = machine.devices.iter().filter(|d| matches!(d.class_code() >> 8, 0x0200 | 0x0280));
    let mut route = String::from(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n",
    );
    for (index, device) in
        (2..).zip(cards.filter(|d| driven(d) || roles.network.as_deref() == Some(d.addr.as_str())))
    {
        let (name, card) = (interface(machine, device), buses.of(&device.addr));
        let at = format!("{card}/net/{name}");
        let used = roles.network.as_deref() == Some(device.addr.as_str());
        let lines = [
            ("ifindex", &*index.to_string()),
            ("type", "1"),
            ("address", &format!("02:00:00:00:00:{index:02x}")),
            ("operstate", if used { "up" } else { "down" }),
            ("uevent", &format!("INTERFACE={name}\nIFINDEX={index}")),
        ];
        make.lines(&at, &lines)?;
        make.link(&format!("{at}/device"), &card)?;
        make.link(&format!("sys/class/net/{name}"), &at)?;
        if used {
            route += &format!(
                "{name}\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                 {name}\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
            );
        }
    }
    make.lines("sys/devices/virtual/net/lo", &[("ifindex", "1"), ("type", "772")])?;
    make.link("sys/class/net/lo", "sys/devices/virtual/net/lo")?;
    for net in ["proc/net", "proc/self/net"] {
        make.file(&format!("{net}/route"), &route)?;
        make.file(&format!("{net}/ipv6_route"), "")?;
    }
    Ok(())
}

fn screens(scene: Scene<'_>) -> io::Result<()> {
    let Scene { make, machine, roles, buses } = scene;
    make.dir("sys/class/drm")?;
    let cards = machine.devices.iter().filter(|device| device.has_connectors());
    for (number, device) in cards.enumerate() {
        let pci = buses.of(&device.addr);
        let card = format!("{pci}/drm/card{number}");
        make.lines(&card, &[("dev", &format!("226:{number}"))])?;
        make.link(&format!("{card}/device"), &pci)?;
        make.link(&format!("sys/class/drm/card{number}"), &card)?;
        for connector in ["DP-1", "HDMI-A-1"] {
            let lit = connector == "DP-1" && roles.screens.contains(&device.addr);
            let name = format!("card{number}-{connector}");
            let at = format!("{card}/{name}");
            let (status, enabled) =
                if lit { ("connected", "enabled") } else { ("disconnected", "disabled") };
            make.lines(&at, &[("status", status), ("enabled", enabled)])?;
            make.link(&format!("sys/class/drm/{name}"), &at)?;
        }
    }
    Ok(())
}

fn iommu(make: &Maker, machine: &Description) -> io::Result<()> {
    let amd = machine.cpu.vendor.contains("AMD");
    let (table, unit) = if amd { ("IVRS", "ivhd0") } else { ("DMAR", "dmar0") };
    make.dir("sys/class/iommu")?;
    make.dir("sys/firmware/acpi/tables")?;
    if machine.iommu_table != Some(false) {
        make.file(&format!("sys/firmware/acpi/tables/{table}"), "")?;
    }
    if machine.devices.iter().any(|device| device.iommu_group.is_some()) {
        let at = format!("sys/devices/virtual/iommu/{unit}");
        make.file(&format!("{at}/uevent"), "")?;
        make.link(&format!("sys/class/iommu/{unit}"), &at)?;
    }
    Ok(())
}

fn firmware(make: &Maker, machine: &Description) -> io::Result<()> {
    if machine.efi {
        let variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        let value = [6, 0, 0, 0, u8::from(machine.secure_boot)];
        make.file(&format!("sys/firmware/efi/efivars/{variable}"), value)?;
        make.file("sys/firmware/efi/fw_platform_size", "64\n")?;
    }
    Ok(())
}

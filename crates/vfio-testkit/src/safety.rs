//! What must hold for every boot entry that was written, on every machine.

use std::{collections::BTreeSet, fs, io, path::Path};

use crate::description::{Description, DeviceDescription, Roles};

/// Where boot entries lie.
pub const ENTRIES: &str = "etc/deploy-vfio/entries.d";

/// The addresses that each entry below `root` binds, by the entry's file name.
pub fn entries(root: &Path) -> io::Result<Vec<(String, BTreeSet<String>)>> {
    let Ok(dir) = fs::read_dir(root.join(ENTRIES)) else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for entry in dir {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), bound(&text)));
    }
    entries.sort();
    Ok(entries)
}

/// The addresses of all `deploy_vfio.bind=ADDRESS=IDS,…` words in a text.
#[must_use]
pub fn bound(text: &str) -> BTreeSet<String> {
    let lists = text.split("deploy_vfio.bind=").skip(1);
    let lists = lists.filter_map(|rest| rest.split([' ', '\n', '\t', '"', '\'']).next());
    let items = lists.flat_map(|list| list.split(','));
    items.map(|item| item.split('=').next().unwrap_or(item).to_owned()).collect()
}

/// Whether a machine can live with guests taking `bound`; the error says what it would lose.
pub fn check(machine: &Description, roles: &Roles, bound: &BTreeSet<String>) -> Result<(), String> {
    let taken = |device: &DeviceDescription| bound.contains(&device.addr);
    if let Some(address) = bound.iter().find(|address| machine.device(address).is_none()) {
        return Err(format!("{address} is bound and does not exist"));
    }
    for (role, address) in
        [("disk", &roles.disk), ("network card", &roles.network), ("keyboard", &roles.keyboard)]
    {
        if let Some(address) = address.as_ref().filter(|address| bound.contains(*address)) {
            return Err(format!("{address}, the host's {role}, is bound"));
        }
    }
    for device in &machine.devices {
        if device.is_bridge() && taken(device) {
            return Err(format!("{}, a bridge, is bound", device.addr));
        }
        let group = |other: &&DeviceDescription| {
            device.iommu_group.is_some() && other.iommu_group == device.iommu_group
        };
        let card =
            |other: &&DeviceDescription| device.is_display() && other.slot() == device.slot();
        for other in machine.devices.iter().filter(|o| group(o) || card(o)) {
            if !other.is_bridge() && !device.is_bridge() && taken(other) != taken(device) {
                return Err(format!("{} and {} are split", device.addr, other.addr));
            }
        }
        if taken(device) && device.iommu_group.is_none() {
            return Err(format!("{} is bound and has no IOMMU group", device.addr));
        }
    }
    let mut displays = machine.devices.iter().filter(|device| device.is_display()).peekable();
    if displays.peek().is_some() && displays.all(taken) {
        return Err("no display device is left to the host".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_machine_cannot_live_with() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../machines/two-gpus.json");
        let machine = Description::read(&file).unwrap();
        let check = |text: &str| super::check(&machine, &machine.roles(), &bound(text));
        let card = "deploy_vfio.bind=0000:04:00.0=1002:67df,0000:04:00.1=1002:aaf0";
        check(&format!("arguments=a {card} b\n")).unwrap();
        check("").unwrap();
        let refused = |text: &str| check(&format!("deploy_vfio.bind={text}")).unwrap_err();
        assert!(refused("0000:04:00.0=1002:67df").contains("split"));
        assert!(refused("0000:03:00.0=144d:a808").contains("disk"));
        assert!(refused("0000:00:01.0").contains("bridge"));
        assert!(refused("0000:99:00.0").contains("exist"));
        let first = "0000:01:00.0,0000:01:00.1,0000:01:00.2,0000:01:00.3";
        assert!(refused(&format!("{first},0000:04:00.0,0000:04:00.1")).contains("no display"));
    }
}

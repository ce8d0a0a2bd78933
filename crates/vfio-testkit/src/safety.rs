//! What must hold for every boot entry, and for a setup without a menu, on every machine.

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

/// Where kernel parameters of a setup without a menu lie, and what modprobe is told.
const FIXED: [&str; 2] =
    ["etc/deploy-vfio/cmdline.d/15-static.conf", "etc/modprobe.d/deploy-vfio.conf"];

/// The addresses that a setup without a menu below `root` binds, by address or by id; `None` when
/// there is no such setup.
pub fn fixed(machine: &Description, root: &Path) -> io::Result<Option<BTreeSet<String>>> {
    let mut all: Option<BTreeSet<String>> = None;
    for path in FIXED.iter().map(|path| root.join(path)).filter(|path| path.exists()) {
        let text = fs::read_to_string(path)?;
        let mut found = bound(&text);
        let lists = text.split_whitespace();
        let lists =
            lists.filter_map(|w| w.strip_prefix("vfio-pci.").unwrap_or(w).strip_prefix("ids="));
        let ids: Vec<&str> = lists.flat_map(|list| list.split(',')).collect();
        let named = |device: &&DeviceDescription| {
            let (vendor, id) = device.ids();
            ids.contains(&format!("{vendor:04x}:{id:04x}").as_str())
        };
        found.extend(machine.devices.iter().filter(named).map(|device| device.addr.clone()));
        all.get_or_insert_default().extend(found);
    }
    Ok(all)
}

/// Whether no device that the host keeps is driven by a module that is blacklisted below `root`.
pub fn check_blacklist(
    machine: &Description,
    root: &Path,
    bound: &BTreeSet<String>,
) -> Result<(), String> {
    let text = fs::read_to_string(root.join(FIXED[1])).unwrap_or_default();
    for module in text.lines().filter_map(|line| line.strip_prefix("blacklist ")) {
        let drives = |device: &&DeviceDescription| {
            let names = device.modules.iter().chain(&device.driver);
            let same = names.map(|name| name.replace('-', "_")).any(|name| name == module);
            same && !bound.contains(&device.addr)
        };
        if let Some(device) = machine.devices.iter().find(drives) {
            return Err(format!("{module} is blacklisted, and {} needs it", device.addr));
        }
    }
    Ok(())
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

    #[test]
    fn finds_what_a_setup_without_a_menu_takes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../machines/two-gpus.json");
        let machine = Description::read(&file).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let found = || fixed(&machine, dir.path()).unwrap().map(Vec::from_iter);
        assert_eq!(found(), None);
        write(FIXED[0], "quiet vfio-pci.ids=8086:1539\n");
        assert_eq!(found().unwrap(), ["0000:05:00.0"]);
        write(FIXED[0], "deploy_vfio.bind=0000:01:00.0=10de:1f02\n");
        write(FIXED[1], "options vfio-pci ids=1002:67df,1002:aaf0\nblacklist snd_hda_intel\n");
        let bound = fixed(&machine, dir.path()).unwrap().unwrap();
        assert_eq!(Vec::from_iter(&bound), ["0000:01:00.0", "0000:04:00.0", "0000:04:00.1"]);
        let harm = check_blacklist(&machine, dir.path(), &bound).unwrap_err();
        assert_eq!(harm, "snd_hda_intel is blacklisted, and 0000:00:1f.3 needs it");
        write(FIXED[1], "blacklist amdgpu\n");
        check_blacklist(&machine, dir.path(), &bound).unwrap();
    }
}

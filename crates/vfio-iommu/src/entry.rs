//! Boot entries: which display the host keeps, and what is bound to vfio-pci meanwhile.
//!
//! Invariants: an entry binds whole bundles only, at least one device, and never all displays
//! that drive screens, unless the user allowed a host without any.

use vfio_core::{
    Address,
    host::{Device, Machine},
};

use crate::{
    Chosen, Error,
    bundle::{Bundle, best_screen, bundles},
    roles::drives_screens,
};

/// A name longer than this is cut: the address after it must stay readable in the menu.
const LONGEST_NAME: usize = 60;

/// One line of the boot menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The display device that the host uses; `None` when it has none.
    pub host: Option<Address>,
    /// The IOMMU group of that device; `None` when it is in none.
    pub host_group: Option<u32>,
    /// The same over boots and plans: `deploy-vfio-0000:01:00.0`, or `deploy-vfio-headless`.
    pub id: String,
    /// What the menu shows.
    pub title: String,
    /// The devices to bind, in address order, each with its vendor and device id.
    pub bind: Vec<(Address, u16, u16)>,
    /// Whether the display that the firmware uses is among them.
    pub gives_away_boot_vga: bool,
}

/// The boot entries for what was chosen, ordered by the address of the host's display.
///
/// For each chosen display card there is one in which the host keeps it and the rest is bound,
/// and where the host has a display besides, one in which all of it is bound. `names` gives a
/// device the name that the title shows.
pub fn entries(
    machine: &Machine,
    names: &dyn Fn(&Device) -> String,
    chosen: &Chosen,
) -> Result<Vec<Entry>, Error> {
    let bundles = bundles(&machine.pci);
    let picked = picked(&bundles, chosen);
    let mut entries = Vec::new();
    for (at, kept) in picked.iter().enumerate() {
        let others = picked.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<_> = others.map(|(_, bundle)| *bundle).collect();
        if let Some(screen) = kept.screen().filter(|_| !others.is_empty()) {
            entries.push(entry(Some(screen), &others, names));
        }
    }
    match everything(machine, names, chosen) {
        Ok(entry) => entries.push(entry),
        Err(error) if entries.is_empty() => return Err(error),
        Err(_) => {}
    }
    entries.sort_by_key(|entry| (entry.host.is_none(), entry.host));
    Ok(entries)
}

/// The one setup in which all that was chosen is bound.
///
/// # Errors
///
/// The host would be left without a display, and that was not allowed.
pub fn everything(
    machine: &Machine,
    names: &dyn Fn(&Device) -> String,
    chosen: &Chosen,
) -> Result<Entry, Error> {
    let bundles = bundles(&machine.pci);
    let picked = picked(&bundles, chosen);
    let goes = |device: &&Device| picked.iter().any(|bundle| bundle.contains(device.address));
    let devices = || machine.pci.devices().iter();
    let host = best_screen(devices().filter(|device| !goes(device)));
    let displays: Vec<Address> =
        devices().filter(|d| drives_screens(d) && goes(d)).map(|d| d.address).collect();
    if host.is_none() && !chosen.headless && !displays.is_empty() {
        return Err(Error::NoDisplay { displays });
    }
    Ok(entry(host, &picked, names))
}

pub(crate) fn picked<'b, 'm>(bundles: &'b [Bundle<'m>], chosen: &Chosen) -> Vec<&'b Bundle<'m>> {
    let goes = |bundle: &&Bundle<'_>| bundle.groups.iter().all(|g| chosen.groups.contains(g));
    bundles.iter().filter(goes).collect()
}

pub(crate) fn entry(
    host: Option<&Device>,
    bound: &[&Bundle<'_>],
    names: &dyn Fn(&Device) -> String,
) -> Entry {
    let mut devices: Vec<&Device> = bound.iter().flat_map(|bundle| bundle.bindable()).collect();
    devices.sort_by_key(|device| device.address);
    let (id, desktop) = match host {
        Some(host) => {
            let name = names(host);
            let name: String =
                name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
            let address = host.address;
            (address.to_string(), format!("Desktop on {} [{address}]", name.trim()))
        }
        None => ("headless".to_owned(), "No desktop".to_owned()),
    };
    let s = if devices.len() == 1 { "" } else { "s" };
    Entry {
        host: host.map(|host| host.address),
        host_group: host.and_then(|host| host.group),
        id: format!("deploy-vfio-{id}"),
        title: format!("{desktop}; guests: {} device{s}", devices.len()),
        gives_away_boot_vga: devices.iter().any(|device| device.boot_vga == Some(true)),
        bind: devices.iter().map(|d| (d.address, d.vendor, d.device)).collect(),
    }
}

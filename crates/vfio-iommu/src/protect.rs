//! Which devices stay with the host, and why.
//!
//! Reasons are found device by device and hold for the whole bundle of the device. A physical
//! function inherits the reasons of its virtual ones: binding it would take them away.

use std::collections::{BTreeMap, BTreeSet};

use vfio_core::{
    Address,
    host::{Device, Machine, Pci},
};

use crate::{
    bundle::{Bundle, bundles},
    keyboard::keyboards,
    reason::Reason,
    roles::{chipset_part, drives_screens, is_housekeeping, is_integrated, never_bound},
};

/// Every device with a reason to stay with the host.
///
/// A device that is not listed is still kept when it shares a group or a card with one that is:
/// see [`why_protected`]. Bridges are listed, and keep nothing but themselves.
#[must_use]
pub fn protected(machine: &Machine) -> BTreeMap<Address, Vec<Reason>> {
    reasons(machine, &bundles(&machine.pci))
}

/// Why each group stays with the host when `all` is selected; a group that may go is absent.
///
/// The devices named may be in another group that the same card reaches into.
#[must_use]
pub fn protected_groups(machine: &Machine) -> BTreeMap<u32, Vec<(Address, Reason)>> {
    let bundles = bundles(&machine.pci);
    let reasons = reasons(machine, &bundles);
    let kept = bundles.iter().map(|bundle| (bundle, why(bundle, &reasons)));
    let kept = kept.filter(|(_, why)| !why.is_empty());
    kept.flat_map(|(bundle, why)| bundle.groups.iter().map(move |g| (*g, why.clone()))).collect()
}

/// The same for one group; empty when it may go.
#[must_use]
pub fn why_protected(machine: &Machine, group: u32) -> Vec<(Address, Reason)> {
    protected_groups(machine).remove(&group).unwrap_or_default()
}

/// The reasons that keep a whole bundle.
pub(crate) fn why(
    bundle: &Bundle<'_>,
    reasons: &BTreeMap<Address, Vec<Reason>>,
) -> Vec<(Address, Reason)> {
    let nothing_to_bind = bundle.bindable().next().is_none();
    let holds = |reason: &Reason| match reason {
        Reason::Bridge => nothing_to_bind,
        // It goes when the physical function goes, and then keeps nothing.
        Reason::Virtual { physical } => !bundle.bindable().any(|d| d.address == *physical),
        _ => true,
    };
    let mut all = Vec::new();
    for device in &bundle.devices {
        let of_device = reasons.get(&device.address).into_iter().flatten();
        all.extend(of_device.filter(|r| holds(r)).map(|r| (device.address, r.clone())));
    }
    all
}

/// All reasons of all devices.
pub(crate) fn reasons(machine: &Machine, bundles: &[Bundle<'_>]) -> BTreeMap<Address, Vec<Reason>> {
    let keyboards = last_keyboards(machine, bundles);
    let screens = last_screens(machine, bundles);
    let virtual_ones = virtual_ones(&machine.pci);
    let useful = useful_groups(&machine.pci);
    let housekeeping = |device: &Device| {
        is_housekeeping(&machine.pci, device)
            && device.group.is_none_or(|group| !useful.contains(&group))
    };
    let mut all = BTreeMap::new();
    for device in machine.pci.devices() {
        let mut of_device = nature(device);
        if of_device.is_empty() {
            let virtual_ones = virtual_ones.get(&device.address).into_iter().flatten();
            for address in virtual_ones.copied().chain([device.address]) {
                of_device.extend(uses(machine, address, &keyboards));
            }
            if screens.contains(&device.address) {
                of_device.push(Reason::LastDisplay);
            }
            if is_integrated(&machine.pci, device) {
                of_device.push(Reason::IntegratedDisplay);
            }
            if housekeeping(device) {
                of_device.push(Reason::Housekeeping);
            }
        }
        if !of_device.is_empty() {
            all.insert(device.address, of_device);
        }
    }
    all
}

/// Reasons in what the device is.
fn nature(device: &Device) -> Vec<Reason> {
    if let Some(part) = chipset_part(device) {
        vec![Reason::Chipset { part }]
    } else if device.class.is_bridge() {
        vec![Reason::Bridge]
    } else if let Some(physical) = device.physical {
        vec![Reason::Virtual { physical }]
    } else {
        Vec::new()
    }
}

/// The virtual functions of each physical one.
fn virtual_ones(pci: &Pci) -> BTreeMap<Address, Vec<Address>> {
    let mut all = BTreeMap::<Address, Vec<Address>>::new();
    for device in pci.devices() {
        if let Some(physical) = device.physical {
            all.entry(physical).or_default().push(device.address);
        }
    }
    all
}

/// The groups with a device that a guest may have a use for.
fn useful_groups(pci: &Pci) -> BTreeSet<u32> {
    let useful = |device: &&Device| !never_bound(device) && !is_housekeeping(pci, device);
    pci.devices().iter().filter(useful).filter_map(|device| device.group).collect()
}

/// Reasons in what the host does with the device at `address`.
fn uses(machine: &Machine, address: Address, keyboards: &BTreeMap<Address, String>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mounts: BTreeSet<_> = machine.storage.on(address).into_iter().collect();
    if !mounts.is_empty() {
        let mounts = mounts.into_iter().map(str::to_owned).collect();
        reasons.push(Reason::Storage { mounts });
    }
    if let Some(interface) = machine.network.default_route_on(address) {
        reasons.push(Reason::Network { interface: interface.name.clone() });
    }
    if let Some(name) = keyboards.get(&address) {
        reasons.push(Reason::Keyboard { name: name.clone(), others_go: false });
    }
    reasons
}

/// The keyboards of the one bundle that has all of them; empty when there is no such bundle.
fn last_keyboards(machine: &Machine, bundles: &[Bundle<'_>]) -> BTreeMap<Address, String> {
    let all = keyboards(machine);
    let in_one = bundles.iter().any(|bundle| all.keys().all(|a| bundle.contains(*a)));
    if in_one { all } else { BTreeMap::new() }
}

/// The displays of the one bundle that has all of them; empty when there is no such bundle.
fn last_screens(machine: &Machine, bundles: &[Bundle<'_>]) -> BTreeSet<Address> {
    let screens = machine.pci.devices().iter().filter(|device| drives_screens(device));
    let all: BTreeSet<_> = screens.map(|device| device.address).collect();
    let in_one = bundles.iter().any(|bundle| all.iter().all(|a| bundle.contains(*a)));
    if in_one { all } else { BTreeSet::new() }
}

//! What goes to one side as a whole.
//!
//! The IOMMU cannot isolate within a group, and a card works only as a whole. So groups that
//! share a card belong together, and so do cards that share a group: a [`Bundle`] is one
//! connected set of groups. Host and guests are only ever divided between bundles, which is why
//! no group and no card can be split.

use std::collections::{BTreeMap, BTreeSet};

use vfio_core::{
    Address,
    host::{Device, Pci},
};

use crate::roles::{card, drives_screens, is_display, never_bound};

/// The smallest set of groups that can go to a guest without splitting a group or a card.
#[derive(Clone, Debug)]
pub(crate) struct Bundle<'m> {
    /// The groups, at least one.
    pub groups: BTreeSet<u32>,
    /// Their devices in address order, bridges included.
    pub devices: Vec<&'m Device>,
}

impl<'m> Bundle<'m> {
    /// The devices that would be bound.
    pub fn bindable(&self) -> impl Iterator<Item = &'m Device> {
        self.devices.iter().copied().filter(|device| !never_bound(device))
    }

    /// Whether a display device goes with it.
    pub fn has_display(&self) -> bool {
        self.devices.iter().any(|device| is_display(device))
    }

    /// The device that drives the host's screens when the host keeps the bundle.
    pub fn screen(&self) -> Option<&'m Device> {
        best_screen(self.devices.iter().copied())
    }

    /// Whether the device at `address` is part of it.
    pub fn contains(&self, address: Address) -> bool {
        self.devices.iter().any(|device| device.address == address)
    }
}

/// The display the firmware chose, else the first that can drive a screen.
pub(crate) fn best_screen<'m>(devices: impl Iterator<Item = &'m Device>) -> Option<&'m Device> {
    let screens = devices.filter(|device| drives_screens(device));
    screens.min_by_key(|device| (device.boot_vga != Some(true), device.address))
}

/// All bundles, in the order of their first device.
pub(crate) fn bundles(pci: &Pci) -> Vec<Bundle<'_>> {
    let lower = connections(pci);
    let mut bundles = BTreeMap::<u32, Bundle<'_>>::new();
    for (group, devices) in pci.groups() {
        let empty = || Bundle { groups: BTreeSet::new(), devices: Vec::new() };
        let bundle = bundles.entry(lowest(&lower, group)).or_insert_with(empty);
        bundle.groups.insert(group);
        bundle.devices.extend(devices);
    }
    let mut bundles: Vec<_> = bundles.into_values().collect();
    for bundle in &mut bundles {
        bundle.devices.sort_by_key(|device| device.address);
    }
    bundles.sort_by_key(|bundle| bundle.devices.first().map(|device| device.address));
    bundles
}

/// For each group that cards connect to a lower one, that group, or one on the way to the lowest.
fn connections(pci: &Pci) -> BTreeMap<u32, u32> {
    let mut lower = BTreeMap::new();
    let mut cards = BTreeMap::<Address, u32>::new();
    for device in pci.devices() {
        let (Some(group), Some(slot)) = (device.group, card(pci, device)) else { continue };
        let a = lowest(&lower, *cards.entry(slot).or_insert(group));
        let b = lowest(&lower, group);
        if a != b {
            lower.insert(a.max(b), a.min(b));
        }
    }
    lower
}

/// The lowest group that `group` is connected to, at last itself.
fn lowest(lower: &BTreeMap<u32, u32>, group: u32) -> u32 {
    lower.get(&group).map_or(group, |next| lowest(lower, *next))
}

//! Which devices are bound by what is deployed: the opposite way of [`crate::arguments`].

use std::collections::BTreeSet;

use vfio_core::{Address, Cmdline, host::Machine};

/// The devices of `machine` that these kernel parameters bind, in address order, and what they name
/// that is not there: nothing, or another device.
#[must_use]
pub fn bound(words: &Cmdline, machine: &Machine) -> (Vec<Address>, Vec<String>) {
    let (mut found, mut gone) = (BTreeSet::new(), Vec::new());
    let items = |name| words.values(name).flat_map(|list| list.split(','));
    let devices = || machine.pci.devices().iter();
    for item in items("deploy_vfio.bind").filter(|item| !item.is_empty()) {
        let is_it = |(address, ids): (&str, &str)| {
            let address: Address = address.parse().ok()?;
            machine.pci.get(address).filter(|device| device.ids() == ids)
        };
        match item.split_once('=').and_then(is_it) {
            Some(device) => drop(found.insert(device.address)),
            None => gone.push(item.to_owned()),
        }
    }
    for ids in items("vfio-pci.ids").filter(|ids| !ids.is_empty()) {
        let same: Vec<Address> =
            devices().filter(|device| device.ids() == ids).map(|device| device.address).collect();
        if same.is_empty() {
            gone.push(ids.to_owned());
        }
        found.extend(same);
    }
    (found.into_iter().collect(), gone)
}

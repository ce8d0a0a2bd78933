//! IOMMU groups as a table.

use std::collections::BTreeMap;

use vfio_cli::table;
use vfio_core::{
    Address,
    host::{Device, Names},
};
use vfio_iommu::Reason;

/// The reasons that keep a device with the host, in words.
#[must_use]
pub fn reasons(protected: &BTreeMap<Address, Vec<Reason>>, device: &Device) -> Vec<String> {
    let reasons = protected.get(&device.address).into_iter().flatten();
    reasons.map(ToString::to_string).collect()
}

/// Devices by group, with what they are called and why they stay; `devices` in that order.
#[must_use]
pub fn groups_table(
    devices: &[&Device],
    names: &Names,
    protected: &BTreeMap<Address, Vec<Reason>>,
) -> String {
    let mut last = None;
    let rows = devices.iter().map(|device| {
        let group = device.group.map(|group| group.to_string()).unwrap_or_default();
        let first = last.replace(device.group) != Some(device.group);
        vec![
            if first { group } else { String::new() },
            device.address.to_string(),
            names.class(device.class),
            device.ids(),
            shortened(names.describe(device)),
            device.driver.clone().unwrap_or_else(|| "-".into()),
            reasons(protected, device).join(", "),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table(&["group", "address", "class", "ids", "name", "driver", "stays because it"], &rows)
}

/// A table must fit a terminal; `--json` has whole names.
fn shortened(name: String) -> String {
    const MOST: usize = 56;
    if name.chars().count() <= MOST {
        return name;
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

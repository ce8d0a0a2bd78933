//! IOMMU groups as a table.

use std::{borrow::Cow, collections::BTreeMap};

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
    let rows = devices.iter().map(|device| -> [Cow<'_, str>; 7] {
        let first = last.replace(device.group) != Some(device.group);
        let group = device.group.filter(|_| first).map(|group| group.to_string());
        [
            group.unwrap_or_default().into(),
            device.address.to_string().into(),
            names.class(device.class),
            device.ids().into(),
            shortened(names.describe(device)),
            device.driver.as_deref().unwrap_or("-").into(),
            reasons(protected, device).join(", ").into(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table(["group", "address", "class", "ids", "name", "driver", "stays because it"], &rows)
}

/// A table must fit a terminal; `--json` has whole names.
fn shortened(name: Cow<'_, str>) -> Cow<'_, str> {
    const MOST: usize = 56;
    match name.char_indices().nth(MOST - 1) {
        Some((end, last)) if end + last.len_utf8() < name.len() => {
            [&name[..end], "…"].concat().into()
        }
        _ => name,
    }
}

//! `deploy-vfio groups [SELECTION]`: IOMMU groups, what is in them, and what must stay.

use std::{borrow::Cow, collections::BTreeMap, process::ExitCode};

use serde_json::{Value, json};
use vfio_cli::{Context, Failure, table};
use vfio_core::{
    Address,
    host::{Device, Machine, Names},
};
use vfio_iommu::{Reason, Selection};

#[derive(clap::Args)]
struct Args {
    /// Groups to show: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(value_name = "SELECTION")]
    selection: Option<Selection>,
}

fn main() -> ExitCode {
    vfio_cli::main("groups", "Show IOMMU groups, their devices, and what stays with the host", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let machine = cx.devices()?;
    if !machine.pci.has_groups() {
        return Err(vfio_iommu::no_groups(&cx.machine()?).into());
    }
    let meant = args.selection.as_ref().map(|selection| vfio_iommu::meant(&machine, selection));
    let meant = meant.transpose()?;
    let shown = |group| meant.as_ref().is_none_or(|groups| groups.contains(&group));
    let names = Names::read(cx.root(), &machine.pci)?.or_of(&machine);
    let protected = vfio_iommu::protected(&machine);
    let in_group = |device: &&Device| device.group.is_some_and(shown);
    let mut devices: Vec<&Device> = machine.pci.devices().iter().filter(in_group).collect();
    devices.sort_by_key(|device| (device.group, device.address));
    if cx.global().json {
        print_json(&devices, &names, &protected);
    } else {
        cx.print(render(&devices, &names, &protected));
        outside(cx, &machine);
    }
    Ok(())
}

fn reasons(protected: &BTreeMap<Address, Vec<Reason>>, device: &Device) -> Vec<String> {
    let reasons = protected.get(&device.address).into_iter().flatten();
    reasons.map(ToString::to_string).collect()
}

fn render(
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
    if name.len() <= MOST || name.chars().count() <= MOST {
        return name;
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

fn print_json(devices: &[&Device], names: &Names, protected: &BTreeMap<Address, Vec<Reason>>) {
    let mut groups = BTreeMap::<u32, Vec<Value>>::new();
    for device in devices {
        groups.entry(device.group.unwrap_or_default()).or_default().push(json!({
            "address": device.address.to_string(),
            "class": format!("{:06x}", device.class.0),
            "class_name": names.class(device.class),
            "ids": device.ids(),
            "name": names.describe(device),
            "driver": device.driver,
            "boot_vga": device.boot_vga,
            "protected": reasons(protected, device),
        }));
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(group, devices)| json!({ "group": group, "devices": devices }))
        .collect();
    vfio_cli::json::print(json!({ "groups": groups }));
}

/// Devices that the IOMMU does not translate for cannot be handed over; say so.
fn outside(cx: &Context, machine: &Machine) {
    let outside = machine.pci.devices().iter().filter(|device| device.group.is_none()).count();
    if outside > 0 {
        cx.say(format!("note: {outside} devices are in no group and cannot be handed over"));
    }
}

//! `deploy-vfio groups [SELECTION]`: IOMMU groups, what is in them, and what must stay.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::{Value, json};
use vfio_cli::{Context, Failure};
use vfio_core::{
    Address,
    host::{Device, Machine, Names},
};
use vfio_iommu::{Reason, Selection};

const MORE: &str = "\
A group is the smallest set of devices that the IOMMU can isolate: it goes to guests whole or not
at all. The last column says why a device must stay with the host. No privilege is needed.

Examples:
  deploy-vfio groups
      All groups.
  deploy-vfio groups vga
      Those with a display device.
  deploy-vfio groups 1,10-12 --json
      Some groups, for a program.

See also:
  deploy-vfio multiboot";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
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
        cx.print(deploy_vfio::groups_table(&devices, &names, &protected));
        outside(cx, &machine);
    }
    Ok(())
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
            "protected": deploy_vfio::reasons(protected, device),
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

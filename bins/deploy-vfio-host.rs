//! `deploy-vfio host [--json|--xml]`: all facts about this machine, for bug reports and `--machine`;
//! or its database of drivers.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, table};
use vfio_core::host::{Machine, Names};
use vfio_database::Database;

const MORE: &str = "\
With `--json` the facts are a snapshot that `--machine` plans against, on any other machine. Serial
numbers, hardware addresses and names of users are not in it.

Examples:
  deploy-vfio host
      A summary.
  deploy-vfio host --json > machine.json
      All facts, for a bug report.
  deploy-vfio groups --machine machine.json
      Look at the described machine as if it were this one.";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// Print the XML that says which driver each device has without guests
    #[arg(long, conflicts_with = "json")]
    xml: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("host", "Show the facts about this machine", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    if args.xml {
        return xml(cx);
    }
    let machine = cx.machine()?;
    if cx.global().json {
        cx.print(machine.to_snapshot().trim_end());
        return Ok(());
    }
    let names = Names::read(cx.root(), &machine.pci)?.or_of(&machine);
    cx.print(table(["", ""], &rows(&machine, &names)).trim_start());
    Ok(())
}

/// Of a machine whose devices are on vfio-pci the database that was written before tells the rest.
fn xml(cx: &Context) -> Result<(), Failure> {
    let mut machine = cx.devices()?;
    vfio_database::recall(&mut cx.draft(), &mut machine, None)?;
    cx.print(Database::of(&machine)?.to_xml().trim_end());
    Ok(())
}

fn rows(machine: &Machine, names: &Names) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push([key.to_owned(), value]);
    let boot = &machine.boot;
    row("system", boot.system.clone());
    row("processor", machine.cpu.model.clone());
    row("threads", machine.cpu.online.len().to_string());
    row("memory", format!("{} MiB", machine.memory.total_kib >> 10));
    for kernel in &machine.kernels.installed {
        row("kernel", format!("{}, vfio-pci: {:?}", kernel.release, kernel.vfio_pci));
    }
    row("boot", format!("{:?}, {:?}, efi: {}", boot.loader, boot.initramfs, boot.efi));
    let table = boot.iommu.table.as_deref().unwrap_or("none in the firmware");
    row("IOMMU", format!("{table}, in use: {}", boot.iommu.units.join(" ")));
    row("groups", machine.pci.groups().len().to_string());
    row("devices", machine.pci.devices().len().to_string());
    for device in machine.pci.devices().iter().filter(|device| device.class.is_display()) {
        let screen = match machine.displays.connected(device.address) {
            Some(true) => ", screen connected",
            Some(false) => ", no screen connected",
            None => "",
        };
        row("display", format!("{} {}{screen}", device.address, names.describe(device)));
    }
    for usage in &machine.storage.usages {
        let pci: Vec<String> = usage.pci.iter().map(ToString::to_string).collect();
        row("storage", format!("{} on {} {}", usage.mount, usage.device, pci.join(" ")));
    }
    for interface in machine.network.interfaces.iter().filter(|i| i.default_route) {
        let pci: Vec<String> = interface.pci.iter().map(ToString::to_string).collect();
        row("default route", format!("{} {}", interface.name, pci.join(" ")));
    }
    if let Some(version) = machine.libvirt.version {
        row("libvirt", format!("{version}, run by {}", machine.libvirt.daemon));
    }
    if let Some(version) = machine.libvirt.qemu {
        row("QEMU", version.to_string());
    }
    for input in machine.inputs.keyboards() {
        let at = input.pci.map(|address| format!(" on {address}")).unwrap_or_default();
        row("keyboard", format!("{}{at}", input.name));
    }
    rows
}

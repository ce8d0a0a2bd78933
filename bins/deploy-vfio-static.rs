//! `deploy-vfio static grub|file [--parse SELECTION] [--host GROUP]`, or `off`.

use std::process::ExitCode;

use deploy_vfio::Static;
use vfio_cli::{Context, Failure, Usage};
use vfio_iommu::{Allow, Selection};

#[derive(clap::Args)]
struct Args {
    /// What binds the devices at every normal boot: parameters in GRUB's own entries, or files of
    /// modprobe and the initramfs (by id only); `off` takes either away
    #[arg(value_name = "grub|file|off")]
    place: String,
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, value_name = "SELECTION")]
    parse: Option<Selection>,
    /// The group of the card that drives the desktop; by itself one that is not selected, else
    /// the one that the firmware uses
    #[arg(long, value_name = "GROUP")]
    host: Option<u32>,
    /// Give away what is protected: `network`, `keyboard`, `headless`, `storage`
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// With `grub`: bind by vendor and device id instead of by address
    #[arg(long)]
    by_id: bool,
    /// With `file`: keep drivers that no device of the host needs from loading by themselves
    #[arg(long)]
    blacklist: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("static", "Bind devices for guests at every boot, without a menu", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let wanted = words(args)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    match wanted {
        Some(wanted) => wanted.plan(&mut draft, &machine)?,
        None => Static::off(&mut draft)?,
    }
    deploy_vfio::finish(cx, draft, &machine)
}

/// The setup that is wanted; `None` to take it away.
fn words(args: Args) -> Result<Option<Static>, Failure> {
    let Args { place, parse, host, allow, by_id, blacklist } = args;
    if place != "off" {
        let (place, parse) = (place.parse()?, parse.unwrap_or_default());
        return Ok(Some(Static { place, parse, allow, host, by_id, blacklist }));
    }
    if parse.is_some() || host.is_some() || by_id || blacklist || !allow.is_empty() {
        return Err(Usage::new("`off` takes no other options", &["deploy-vfio static off"]).into());
    }
    Ok(None)
}

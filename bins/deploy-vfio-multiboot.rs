//! `deploy-vfio multiboot [first|last|default|GROUP] [--parse SELECTION]`, or `off`.

use std::{collections::BTreeMap, process::ExitCode};

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    change::Draft,
    host::{Machine, Names},
};
use vfio_grub::Entry;
use vfio_iommu::{Allow, Binding, Choice, Selection};

#[derive(clap::Args)]
struct Args {
    /// Which entry boots by itself: `first`, `last`, the group of a GPU, or `default` for the
    /// normal one; `off` takes the menu away
    #[arg(value_name = "first|last|default|GROUP|off", default_value = "default")]
    entry: String,
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, value_name = "SELECTION")]
    parse: Option<Selection>,
    /// Give away what is protected: `network`, `keyboard`, `headless`, `storage`
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// Bind by vendor and device id instead of by address
    #[arg(long)]
    by_id: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("multiboot", "Offer a boot entry for each GPU that can drive the desktop", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let mut draft = cx.draft();
    let machine = cx.machine()?;
    if args.entry == "off" {
        off(&mut draft, &args)?;
    } else {
        plan(cx, &mut draft, &machine, &args)?;
    }
    deploy_vfio::finish(cx, draft, &machine)
}

fn off(draft: &mut Draft<'_>, args: &Args) -> Result<(), Failure> {
    if args.parse.is_some() || args.by_id || !args.allow.is_empty() {
        return Err(
            Usage::new("`off` takes no other options", &["deploy-vfio multiboot off"]).into()
        );
    }
    vfio_iommu::unbind(draft)?;
    Ok(vfio_grub::clear_entries(draft)?)
}

fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    machine: &Machine,
    args: &Args,
) -> Result<(), Failure> {
    let choice: Choice = args.entry.parse()?;
    let names = Names::read(cx.root())?.or_of(machine);
    let selection = args.parse.clone().unwrap_or_default();
    let chosen = vfio_iommu::select(machine, &selection, &args.allow)?;
    let entries = vfio_iommu::entries(machine, &|device| names.call(device), &chosen)?;
    let default = vfio_iommu::choose(&entries, machine, choice)?;
    let how = if args.by_id { Binding::ById } else { Binding::ByAddress };
    chosen.tell(draft);
    if let Some(note) = default.and_then(|entry| vfio_iommu::screen_note(machine, entry)) {
        draft.note(note);
    }
    vfio_iommu::bind(draft, machine, &entries, how)?;
    let lines: Result<Vec<Entry>, _> =
        entries.iter().map(|entry| line(machine, entry, how)).collect();
    Ok(vfio_grub::set_entries(draft, &lines?, default.map(|entry| entry.id.as_str()))?)
}

fn line(machine: &Machine, entry: &vfio_iommu::Entry, how: Binding) -> Result<Entry, Failure> {
    let arguments = vfio_iommu::arguments(entry, how, machine)?;
    let mut arguments_before = BTreeMap::new();
    if !arguments.before_6_1.is_empty() {
        arguments_before.insert((6, 1), arguments.before_6_1);
    }
    Ok(Entry {
        id: entry.id.clone(),
        title: entry.title.clone(),
        arguments: arguments.always,
        arguments_before,
    })
}

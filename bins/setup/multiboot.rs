//! The words of `deploy-vfio multiboot`: one boot entry for each GPU that can drive the desktop.

use std::collections::BTreeMap;

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::Failure;
use vfio_core::{
    change::Draft,
    host::{Machine, Names},
};
use vfio_grub::Entry;
use vfio_iommu::{Allow, Binding, Choice, Selection};

use crate::{
    Wanted,
    words::{list, one},
};

/// A boot menu of ours.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Multiboot {
    /// Which entry boots by itself: `first`, `last`, the group of a GPU, or `default` for the
    /// normal one
    #[arg(value_name = "first|last|default|GROUP", default_value = "default")]
    #[serde(with = "one")]
    pub entry: Choice,
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, value_name = "SELECTION", default_value_t)]
    #[serde(with = "one")]
    pub parse: Selection,
    /// Give away what is protected: `network`, `keyboard`, `headless`, `storage`
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Bind by vendor and device id instead of by address
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_id: bool,
}

impl Default for Multiboot {
    fn default() -> Self {
        Self {
            entry: Choice::Default,
            parse: Selection::default(),
            allow: Vec::new(),
            by_id: false,
        }
    }
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Multiboot>,
) -> Result<(), Failure> {
    let words = match wanted {
        Wanted::On(words) => words,
        Wanted::Off => {
            vfio_iommu::unbind(draft);
            return Ok(vfio_grub::clear_entries(draft)?);
        }
    };
    let names = Names::read(draft.root())?.or_of(machine);
    let chosen = vfio_iommu::select(machine, &words.parse, &words.allow)?;
    let entries = vfio_iommu::entries(machine, &|device| names.call(device), &chosen)?;
    let default = vfio_iommu::choose(&entries, machine, words.entry)?;
    let how = if words.by_id { Binding::ById } else { Binding::ByAddress };
    chosen.left_out.iter().for_each(|left| draft.note(format!("stays with the host: {left}")));
    chosen.notes.iter().for_each(|note| draft.note(note.as_str()));
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

//! The words of `deploy-vfio multiboot`: one boot entry for each GPU that can drive the desktop.

use std::collections::BTreeMap;

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::{Failure, Usage};
use vfio_core::{
    change::Draft,
    host::{Machine, Names},
    layout::TRIAL,
};
use vfio_grub::Entry;
use vfio_iommu::{Allow, Binding, Choice, Chosen, Selection};

use crate::{
    Wanted, trial,
    words::{list, one},
};

const MORE: &str = "\
The GRUB menu keeps its normal entry as it is. Beside it comes one entry for each GPU of the
selection that can drive the desktop: in this entry the GPU stays with the host, and the rest of
the selection waits for guests on vfio-pci. Where the host has a further display, one more entry
gives away all of the selection. Without `--parse` the selection is `vga`, the display devices.

Devices that the host cannot do without stay with it, and the plan says why: disks in use, the
network card of the default route, the controller of the last keyboard, the last display.

Examples:
  deploy-vfio multiboot last --dry-run
      Show the whole plan with the last GPU's entry as the default, and change nothing.
  deploy-vfio multiboot last
      The same, done after a question; it takes effect at the next boot.
  deploy-vfio multiboot last --trial
      The next boot tries it once; it becomes the default only if that boot proves itself.
  deploy-vfio multiboot first --parse all
      Hand over whatever nothing on the host needs, too.
  deploy-vfio multiboot --parse vga,12
      The display devices and group 12; the normal entry stays the default.
  deploy-vfio multiboot last --by-hand
      With mkinitcpio, systemd-boot or entries below /boot/loader: print the files, and the steps.
  deploy-vfio multiboot off
      Take the menu away.

Files:
  /etc/deploy-vfio/entries.d/
      The entries, a file each; GRUB's menu is generated from them for every new kernel.
  /etc/grub.d/45_deploy-vfio
      The generator, run by update-grub.
  /etc/default/grub.d/deploy-vfio.cfg
      Which entry is the default.
  /etc/initramfs-tools/scripts/init-top/deploy-vfio
      Binds the devices at boot, before any driver loads.

See also:
  deploy-vfio groups
  deploy-vfio trial
  deploy-vfio hugepages
  deploy-vfio verify";

/// A boot menu of ours.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
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
    /// Give away what is protected
    #[arg(long, value_name = "network|keyboard|headless|storage", value_delimiter = ',')]
    #[serde(with = "list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Bind by vendor and device id instead of by address
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_id: bool,
    /// Boot the entry once, and make it the default only if that boot proves itself
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
}

impl Default for Multiboot {
    fn default() -> Self {
        Self {
            entry: Choice::Default,
            parse: Selection::default(),
            allow: Vec::new(),
            by_id: false,
            trial: false,
        }
    }
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Multiboot>,
) -> Result<(), Failure> {
    let Some(words) = wanted.words() else {
        if vfio_grub::tries_no_menu(draft)? {
            // That is no menu of ours, and without its entry it would be the normal one's.
            return Ok(());
        }
        vfio_iommu::unbind(draft)?;
        return Ok(vfio_grub::clear_entries(draft)?);
    };
    let (chosen, entries) = offered(draft, machine, words)?;
    let default = vfio_iommu::choose(&entries, machine, words.entry)?;
    tell(draft, machine, &chosen, &entries, default);
    vfio_iommu::bind(draft, machine, &entries, how(words))?;
    let lines = lines(machine, &entries, words)?;
    if words.trial {
        return try_once(draft, machine, &lines, default);
    }
    if default.is_some() {
        draft.note("`--trial` makes an entry the default only after a boot that proves itself");
    }
    Ok(vfio_grub::set_entries(draft, &lines, default.map(|entry| entry.id.as_str()))?)
}

/// What was chosen, and the entries that there are for it.
pub(crate) fn offered(
    draft: &Draft<'_>,
    machine: &Machine,
    words: &Multiboot,
) -> Result<(Chosen, Vec<vfio_iommu::Entry>), Failure> {
    let names = Names::read(draft.root(), &machine.pci)?.or_of(machine);
    let chosen = vfio_iommu::select(machine, &words.parse, &words.allow)?;
    let entries = vfio_iommu::entries(machine, &|device| names.call(device), &chosen)?;
    Ok((chosen, entries))
}

/// Says what there is to know of what was chosen: what stays and why, and which screens are dark.
pub(crate) fn tell(
    draft: &mut Draft<'_>,
    machine: &Machine,
    chosen: &Chosen,
    entries: &[vfio_iommu::Entry],
    default: Option<&vfio_iommu::Entry>,
) {
    chosen.tell(draft);
    if let Some(note) = default.and_then(|entry| vfio_iommu::screen_note(machine, entry)) {
        draft.note(note);
    }
    if let Some(warning) = vfio_iommu::prompt_warning(machine, entries) {
        draft.warn(warning);
    }
}

/// The entries as a boot loader is told of them.
pub(crate) fn lines(
    machine: &Machine,
    entries: &[vfio_iommu::Entry],
    words: &Multiboot,
) -> Result<Vec<Entry>, Failure> {
    entries.iter().map(|entry| line(machine, entry, how(words))).collect()
}

fn how(words: &Multiboot) -> Binding {
    if words.by_id { Binding::ById } else { Binding::ByAddress }
}

/// The words that say what is deployed: an entry that proved itself is on trial no longer.
pub(crate) fn as_deployed(
    draft: &Draft<'_>,
    wanted: &Wanted<Multiboot>,
) -> Result<Wanted<Multiboot>, Failure> {
    let mut wanted = wanted.clone();
    if let Wanted::On(words) = &mut wanted {
        words.trial &= draft.bytes(TRIAL)?.is_some();
    }
    Ok(wanted)
}

/// The default stays as it is, and the chosen entry is tried.
fn try_once(
    draft: &mut Draft<'_>,
    machine: &Machine,
    lines: &[Entry],
    chosen: Option<&vfio_iommu::Entry>,
) -> Result<(), Failure> {
    let line = |id: &str| lines.iter().find(|line| line.id == id);
    let Some((chosen, entry)) = chosen.and_then(|chosen| Some((chosen, line(&chosen.id)?))) else {
        let help = ["`deploy-vfio multiboot last --trial`"];
        return Err(Usage::new("`--trial` needs an entry to try, not the normal one", &help).into());
    };
    let now = Draft::new(draft.root());
    if trial::is_of_normal_entry(&now)? {
        return Err(trial::untried(trial::WOULD_LEAVE, "multiboot"));
    }
    let (_, before) = vfio_grub::entries(draft)?;
    let before = before.filter(|id| line(id).is_some());
    vfio_grub::set_entries(draft, lines, before.as_deref())?;
    if before.as_deref() == Some(&entry.id) {
        draft.note(format!("`{}` is the default already, so nothing is on trial", entry.id));
        return Ok(());
    }
    trial::plan(draft, machine, entry, chosen)
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

//! The words of `deploy-vfio static`: one setup for every boot, without a menu of ours.

use std::{fmt, str::FromStr};

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::{Failure, Usage};
use vfio_core::{
    change::Draft,
    host::{Machine, Names},
    layout::{TRIAL, TRIAL_ENTRY},
};
use vfio_iommu::{Allow, Binding, Request, Selection};

use crate::{
    Wanted, trial,
    words::{list, one},
};

const MORE: &str = "\
Who never wants the cards back for the desktop binds them at every boot. The host keeps a display
that is not selected, such as the processor's own; else the one that the firmware uses. `grub` tells
identical cards apart and leaves a card that moved alone, and GRUB's recovery entries boot without
it. `file` needs no parameters and holds at every entry, the recovery ones too; it binds by id. A
menu of `deploy-vfio multiboot` and a static setup take each other's place.

Examples:
  deploy-vfio static grub --dry-run
      Show what would change.
  deploy-vfio static grub --host 11
      The card in group 11 keeps the desktop.
  deploy-vfio static file
      Files of modprobe and the initramfs instead of parameters.
  deploy-vfio static off
      Take either away.

Files:
  /etc/deploy-vfio/cmdline.d/15-static.conf
      The parameters of `static grub`.
  /etc/modprobe.d/deploy-vfio.conf
      The ids and the order of modules of `static file`.

See also:
  deploy-vfio multiboot
  deploy-vfio status";

/// A setup without a menu.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Static {
    /// What binds the devices at every normal boot: parameters in GRUB's own entries, or files of
    /// modprobe and the initramfs (by id only)
    #[arg(value_name = "grub|file")]
    #[serde(with = "one")]
    pub place: Place,
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, value_name = "SELECTION", default_value_t)]
    #[serde(default, with = "one")]
    pub parse: Selection,
    /// The group of the card that drives the desktop; by itself one that is not selected, else
    /// the one that the firmware uses
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<u32>,
    /// Give away what is protected
    #[arg(long, value_name = "network|keyboard|headless|storage", value_delimiter = ',')]
    #[serde(default, with = "list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// With `grub`: bind by vendor and device id instead of by address
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_id: bool,
    /// With `file`: keep drivers that no device of the host needs from loading by themselves
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blacklist: bool,
    /// With `grub`: boot with it once, and keep it only if that boot proves itself
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
}

/// What binds the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Parameters of GRUB's normal entries.
    Grub,
    /// Files that `modprobe` and the initial RAM file system read.
    File,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "grub" => Ok(Self::Grub),
            "file" => Ok(Self::File),
            _ => {
                let cut: String = text.chars().take(40).collect();
                let cut = cut.escape_debug();
                Err(format!("`{cut}` is no kind of static setup; write `grub` or `file`"))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grub => "grub",
            Self::File => "file",
        })
    }
}

/// Writes the setup into `draft`; a menu of ours, or the other kind of static setup, goes.
pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Static>,
) -> Result<(), Failure> {
    let Some(words) = wanted.words() else {
        if vfio_grub::tries_no_menu(draft)? {
            vfio_grub::forget_trial(draft);
        }
        return Ok(vfio_iommu::unbind_fixed(draft)?);
    };
    words.check()?;
    let names = Names::read(draft.root(), &machine.pci)?.or_of(machine);
    let Static { parse, allow, host, .. } = words.clone();
    let request = Request { selection: parse, allow, host };
    let (entry, chosen) = vfio_iommu::fixed(machine, &|device| names.call(device), &request)?;
    chosen.tell(draft);
    if words.trial {
        return try_once(draft, machine, &entry, words);
    }
    vfio_iommu::screen_note(machine, &entry).into_iter().for_each(|note| draft.note(note));
    if !vfio_grub::entries(draft)?.0.is_empty() {
        draft.note("`deploy-vfio static` takes the place of the boot menu, which goes");
        vfio_grub::clear_entries(draft)?;
    }
    match words.place {
        Place::Grub => {
            let how = if words.by_id { Binding::ById } else { Binding::ByAddress };
            vfio_iommu::bind_by_parameters(draft, machine, &entry, how)?;
            draft.note(vfio_grub::way_back(draft)?);
        }
        Place::File => vfio_iommu::bind_by_file(draft, machine, &entry, words.blacklist)?,
    }
    Ok(())
}

/// The normal entry stays as it is; an entry with all parameters is tried.
fn try_once(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entry: &vfio_iommu::Entry,
    words: &Static,
) -> Result<(), Failure> {
    let before = Draft::new(draft.root());
    let (entries, _) = vfio_grub::entries(&before)?;
    let menu = entries.iter().any(|entry| entry.id != TRIAL_ENTRY);
    let of_normal = trial::is_of_normal_entry(&before)?;
    let how = if words.by_id { Binding::ById } else { Binding::ByAddress };
    vfio_iommu::bind_by_parameters(draft, machine, entry, how)?;
    if of_normal && vfio_grub::parameters(draft)? == vfio_grub::parameters(&before)? {
        draft.note("this is in the normal entry already, so nothing is on trial");
        return Ok(());
    }
    let why = match (menu, of_normal) {
        (true, _) => "a boot menu of ours is deployed, whose default would go",
        (_, true) => trial::WOULD_LEAVE,
        _ => {
            let line = vfio_grub::Entry {
                id: entry.id.clone(),
                title: entry.title.clone(),
                ..vfio_grub::Entry::default()
            };
            return trial::plan(draft, machine, &line, entry);
        }
    };
    Err(trial::untried(why, "static grub"))
}

/// The words that say what is deployed: what proved itself is on trial no longer.
pub(crate) fn as_deployed(
    draft: &Draft<'_>,
    wanted: &Wanted<Static>,
) -> Result<Wanted<Static>, Failure> {
    let mut wanted = wanted.clone();
    if let Wanted::On(words) = &mut wanted {
        words.trial &= draft.bytes(TRIAL)?.is_some();
    }
    Ok(wanted)
}

impl Static {
    /// The cards, bound in this way, with all else by itself.
    #[must_use]
    pub fn of(place: Place) -> Self {
        Self {
            place,
            parse: Selection::default(),
            host: None,
            allow: Vec::new(),
            by_id: false,
            blacklist: false,
            trial: false,
        }
    }

    /// Refuses words that mean nothing together.
    fn check(&self) -> Result<(), Failure> {
        let wrong = match self.place {
            Place::File if self.by_id => "`static file` always binds by id: leave out `--by-id`",
            Place::Grub if self.blacklist => "`--blacklist` is for `static file`",
            Place::File if self.trial => {
                "`--trial` is for `static grub`: files hold at every entry"
            }
            _ => return Ok(()),
        };
        let help = ["deploy-vfio static grub", "deploy-vfio static file"];
        Err(Usage::new(wrong, &help).into())
    }
}

//! The words of `deploy-vfio static`: one setup for every boot, without a menu of ours.

use std::{fmt, str::FromStr};

use vfio_cli::{Failure, Usage};
use vfio_core::{
    change::Draft,
    host::{Machine, Names},
};
use vfio_iommu::{Allow, Binding, Request, Selection};

/// What binds the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Parameters of GRUB's normal entries.
    Grub,
    /// Files that `modprobe` and the initial RAM file system read.
    File,
}

/// A setup without a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Static {
    /// What binds the devices.
    pub place: Place,
    /// Groups for guests.
    pub parse: Selection,
    /// Protections that are lifted.
    pub allow: Vec<Allow>,
    /// A group of the card that drives the desktop; `None` picks one.
    pub host: Option<u32>,
    /// Whether GRUB's parameters name ids instead of addresses.
    pub by_id: bool,
    /// Whether drivers that no device of the host needs are blacklisted.
    pub blacklist: bool,
}

const HELP: [&str; 3] =
    ["deploy-vfio static grub", "deploy-vfio static file", "deploy-vfio static off"];

impl FromStr for Place {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "grub" => Ok(Self::Grub),
            "file" => Ok(Self::File),
            _ => {
                let cut: String = text.chars().take(40).collect();
                let what = format!("`{}` is no kind of static setup", cut.escape_debug());
                Err(Usage::new(what, &HELP).into())
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

impl Static {
    /// Refuses words that mean nothing together.
    fn check(&self) -> Result<(), Failure> {
        let wrong = match self.place {
            Place::File if self.by_id => "`static file` always binds by id: leave out `--by-id`",
            Place::Grub if self.blacklist => "`--blacklist` is for `static file`",
            _ => return Ok(()),
        };
        Err(Usage::new(wrong, &HELP[..2]).into())
    }

    /// Writes the setup into `draft`; a menu of ours, or the other kind of static setup, goes.
    ///
    /// # Errors
    ///
    /// Words that mean nothing together; what the selection, the host's display or the files of
    /// this machine do not allow.
    pub fn plan(&self, draft: &mut Draft<'_>, machine: &Machine) -> Result<(), Failure> {
        self.check()?;
        let names = Names::read(draft.root())?.or_of(machine);
        let Self { parse, allow, host, .. } = self.clone();
        let request = Request { selection: parse, allow, host };
        let (entry, chosen) = vfio_iommu::fixed(machine, &|device| names.call(device), &request)?;
        chosen.tell(draft);
        vfio_iommu::screen_note(machine, &entry).into_iter().for_each(|note| draft.note(note));
        if !vfio_grub::entries(draft)?.0.is_empty() {
            draft.note("`deploy-vfio static` takes the place of the boot menu, which goes");
            vfio_grub::clear_entries(draft)?;
        }
        match self.place {
            Place::Grub => {
                let how = if self.by_id { Binding::ById } else { Binding::ByAddress };
                vfio_iommu::bind_by_parameters(draft, machine, &entry, how)?;
                draft.note(vfio_grub::way_back(draft)?);
            }
            Place::File => vfio_iommu::bind_by_file(draft, machine, &entry, self.blacklist)?,
        }
        Ok(())
    }

    /// Takes a static setup of either kind away; a menu of ours stays as it is.
    ///
    /// # Errors
    ///
    /// Files that cannot be read.
    pub fn off(draft: &mut Draft<'_>) -> Result<(), Failure> {
        Ok(vfio_iommu::unbind_fixed(draft)?)
    }
}

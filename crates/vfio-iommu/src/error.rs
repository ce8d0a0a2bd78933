//! What can be refused, and how that is explained.

use std::collections::BTreeSet;

use vfio_core::{Address, Advice, CpuList, Exit};

use crate::{
    diagnosis::Diagnosis,
    reason::{Allow, Reason},
    select::LeftOut,
};

/// Why devices cannot be handed over as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word that no machine could accept.
    #[error("`{}` is not {what}; write {form}", word.escape_debug())]
    Word {
        /// The word, cut when it is long.
        word: String,
        /// What was expected.
        what: &'static str,
        /// How that reads.
        form: &'static str,
    },
    /// There are no IOMMU groups at all.
    #[error("{0}")]
    NoIommu(Diagnosis),
    /// A group that this machine does not have, or that keeps no display for the host.
    #[error("{asked}; {}", there_are(.groups))]
    NoSuchGroup {
        /// What was asked for and is not there.
        asked: String,
        /// The groups that would do.
        groups: Vec<u32>,
    },
    /// A group was named that stays with the host.
    #[error("IOMMU group {group} stays with the host")]
    Protected {
        /// The group.
        group: u32,
        /// Which devices keep it, and why.
        reasons: Vec<(Address, Reason)>,
    },
    /// Nothing of what was selected may go to a guest.
    #[error("nothing selected by `{selection}` can go to a guest")]
    Nothing {
        /// The selection.
        selection: String,
        /// What was left out of it.
        left_out: Vec<LeftOut>,
    },
    /// All displays would be handed over.
    #[error("the host would be left without a display")]
    NoDisplay {
        /// The displays that would go.
        displays: Vec<Address>,
    },
    /// Binding by id would take a device from the host.
    #[error("binding by id cannot tell {guest} from {host}, which stays with the host")]
    SharedIds {
        /// The ids of both.
        ids: String,
        /// The device that is to be bound.
        guest: Address,
        /// The device that is not.
        host: Address,
        /// Whether files were to bind them, instead of kernel parameters.
        by_file: bool,
    },
    /// More devices than fit on a kernel's command line.
    #[error("the {devices} devices of one boot entry need {len} bytes on the kernel command line")]
    TooLong {
        /// How many devices.
        devices: usize,
        /// How many bytes they need.
        len: usize,
        /// How many there are.
        limit: usize,
    },
    /// Reading or drafting failed.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Error {
    /// The same about a setup as files.
    pub(crate) fn by_file(self) -> Self {
        match self {
            Self::SharedIds { ids, guest, host, .. } => {
                Self::SharedIds { ids, guest, host, by_file: true }
            }
            other => other,
        }
    }

    pub(crate) fn word(word: &str, what: &'static str, form: &'static str) -> Self {
        Self::Word { word: word.chars().take(40).collect(), what, form }
    }
}

/// `group 14`, `groups 14, 16-18`.
pub(crate) fn groups(groups: &[u32]) -> String {
    format!("group{} {}", if groups.len() == 1 { "" } else { "s" }, list(groups))
}

/// Numbers as ranges; the notation is the kernel's for lists of any numbers.
fn list(numbers: &[u32]) -> String {
    numbers.iter().copied().collect::<CpuList>().to_string().replace(',', ", ")
}

fn there_are(groups: &[u32]) -> String {
    match groups {
        [] => "there is none".to_owned(),
        [one] => format!("the only one is {one}"),
        many => format!("there are {}", list(many)),
    }
}

/// `because:` lines for devices that keep a group.
fn lines(reasons: &[(Address, Reason)]) -> Vec<String> {
    reasons.iter().map(|(address, reason)| format!("{address}: {reason}")).collect()
}

/// The options that lift all of these reasons, `name` being the number of a group they keep;
/// `None` when nothing does, or nothing needs to.
fn lift(reasons: &[(Address, Reason)], name: u32) -> Option<String> {
    let kept = reasons.iter().map(|(_, reason)| reason);
    let hard: Vec<_> = kept.filter(|reason| !reason.yields_to_name()).collect();
    let allow: Option<BTreeSet<Allow>> = hard.iter().map(|reason| reason.lifted_by()).collect();
    let named = (hard.len() < reasons.len()).then(|| format!("--parse {name}"));
    let options: Vec<_> =
        named.into_iter().chain(allow?.iter().map(|allow| format!("--allow {allow}"))).collect();
    (!options.is_empty()).then(|| options.join(" "))
}

fn protected_help(group: u32, reasons: &[(Address, Reason)]) -> Vec<String> {
    let is_virtual = |(_, reason): &(_, Reason)| matches!(reason, Reason::Virtual { .. });
    if reasons.iter().any(is_virtual) {
        let help = "a virtual function appears after boot: give it to the guest in libvirt, with \
                    managed='yes'";
        return vec![help.to_owned()];
    }
    let options = lift(reasons, group);
    options.map(|o| format!("`{o}` hands it over all the same")).into_iter().collect()
}

/// What to do when nothing is left of a selection.
fn nothing_help(left_out: &[LeftOut]) -> Vec<String> {
    let has = |kept: &LeftOut, wanted: &Reason| kept.reasons.iter().any(|(_, r)| r == wanted);
    let mut help = Vec::new();
    if left_out.iter().any(|kept| has(kept, &Reason::LastDisplay)) {
        help.push("`--parse no-vga` hands over other devices and keeps the display".to_owned());
    }
    // Nobody who selects nothing useful is helped by chipset functions.
    for kept in left_out.iter().filter(|kept| !has(kept, &Reason::Housekeeping)) {
        let options = kept.groups.first().and_then(|group| lift(&kept.reasons, *group));
        let line = |o| format!("`{o}` hands over {} all the same", groups(&kept.groups));
        help.extend(options.map(line));
    }
    help
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Word { .. } => Exit::Usage,
            Self::Core(error) => error.exit(),
            _ => Exit::Refused,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::NoIommu(diagnosis) => diagnosis.because(),
            Self::Protected { reasons, .. } => lines(reasons),
            Self::Nothing { left_out, .. } if left_out.is_empty() => {
                vec!["no IOMMU group has such a device".to_owned()]
            }
            Self::Nothing { left_out, .. } => left_out.iter().map(LeftOut::to_string).collect(),
            Self::NoDisplay { displays } => {
                displays.iter().map(|a| format!("{a} is to go to a guest")).collect()
            }
            Self::SharedIds { ids, .. } => vec![format!("both are {ids}")],
            Self::TooLong { limit, .. } => vec![format!("there is room for {limit}")],
            Self::Core(error) => error.because(),
            Self::Word { .. } | Self::NoSuchGroup { .. } => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Word { .. } => Vec::new(),
            Self::NoIommu(diagnosis) => diagnosis.help(),
            Self::NoSuchGroup { .. } => one("`deploy-vfio groups` shows what is in each"),
            Self::Protected { group, reasons } => protected_help(*group, reasons),
            Self::Nothing { left_out, .. } => nothing_help(left_out),
            Self::NoDisplay { .. } => {
                one("leave one display out of the selection, or add `--allow headless`")
            }
            Self::SharedIds { by_file: true, .. } => {
                one("`deploy-vfio static grub` and `deploy-vfio multiboot` bind by address")
            }
            Self::SharedIds { .. } => {
                one("leave out `--by-id`: binding by address tells them apart")
            }
            Self::TooLong { .. } => one("select fewer groups"),
            Self::Core(error) => error.help(),
        }
    }
}

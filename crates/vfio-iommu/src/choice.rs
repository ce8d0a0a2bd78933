//! Which boot entry becomes the default.

use std::{fmt, str::FromStr};

use vfio_core::{Address, host::Machine};

use crate::{Entry, Error, selection::number};

/// The entry that boots by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The host's display comes first in PCI address order.
    First,
    /// It comes last.
    Last,
    /// The normal entry, as before.
    Default,
    /// The host's display is in this IOMMU group.
    Group(u32),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            "default" => Ok(Self::Default),
            _ => number(text).map(Self::Group).ok_or_else(|| {
                let form = "`first`, `last`, `default` or the group of the host's GPU, `14`";
                Error::word(text, "a choice of boot entry", form)
            }),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::Default => f.write_str("default"),
            Self::Group(group) => write!(f, "{group}"),
        }
    }
}

/// Picks the default among entries in the order that [`entries`](crate::entries) gives; `None`
/// is the normal entry.
///
/// `first` and `last` pick an entry with a display where there is one. A group answers for every
/// display in it, as the card that an entry keeps may have several.
pub fn choose<'e>(
    entries: &'e [Entry],
    machine: &Machine,
    choice: Choice,
) -> Result<Option<&'e Entry>, Error> {
    let mut with_display = entries.iter().filter(|entry| entry.host.is_some());
    match choice {
        Choice::Default => Ok(None),
        Choice::First => Ok(with_display.next().or(entries.first())),
        Choice::Last => Ok(with_display.next_back().or(entries.last())),
        Choice::Group(group) => {
            let keeps = |entry: &&Entry| keeps_display_in(entry, machine, group);
            let found = entries.iter().find(|entry| entry.host_group == Some(group));
            found.or_else(|| entries.iter().find(keeps)).map(Some).ok_or_else(|| {
                let groups = with_display.filter_map(|entry| entry.host_group).collect();
                let asked = format!("no boot entry has the host's display in IOMMU group {group}");
                Error::NoSuchGroup { asked, groups }
            })
        }
    }
}

/// Whether the host's display shares its card with a device in `group`.
fn keeps_display_in(entry: &Entry, machine: &Machine, group: u32) -> bool {
    let of_card = |host: Address| machine.pci.card(host).any(|d| d.group == Some(group));
    entry.host.is_some_and(of_card)
}

/// What to say when the host's display in an entry has no screen while another device has one.
#[must_use]
pub fn screen_note(machine: &Machine, entry: &Entry) -> Option<String> {
    let host = entry.host?;
    if machine.displays.connected(host) != Some(false) {
        return None;
    }
    let others = machine.displays.cards.iter().map(|card| card.pci);
    let mut lit = others.filter(|other| machine.displays.connected(*other) == Some(true));
    let lit = lit.next()?;
    Some(format!("plug a screen into {host} before that boot: now only {lit} has one"))
}

//! One setup for every boot, without a menu: which display the host keeps, and what is bound.
//!
//! A selection that takes every display is no error as long as words like `vga` or `all` did it:
//! one card then stays, the one that the firmware uses before any other. Cards that are named by
//! number are handed over or refused, as everywhere, and `host` says so explicitly.

use vfio_core::host::{Device, Machine};

use crate::{
    Allow, Chosen, Entry, Error, LeftOut, Reason, Selection,
    bundle::{Bundle, best_screen, bundles},
    entry::{entry, everything, picked},
    select::{named, select},
};

/// What is asked of a setup without a menu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The groups for guests.
    pub selection: Selection,
    /// What may be given away although it is protected.
    pub allow: Vec<Allow>,
    /// A group of the card that drives the host's desktop; `None` leaves it to [`fixed`].
    pub host: Option<u32>,
}

/// Decides what is bound at every boot; the entry's id is `static-ADDRESS`, or `static-headless`.
///
/// # Errors
///
/// What [`select`] refuses; no display left to the host; a group with no display to keep.
pub fn fixed(
    machine: &Machine,
    names: &dyn Fn(&Device) -> String,
    request: &Request,
) -> Result<(Entry, Chosen), Error> {
    let mut chosen = select(machine, &request.selection, &request.allow)?;
    let all = bundles(&machine.pci);
    let kept = match request.host {
        Some(group) => keeper(&all, group)?,
        None => match everything(machine, names, &chosen) {
            Ok(entry) => return Ok((renamed(entry), chosen)),
            Err(refused) => fallback(&all, &chosen, &request.selection).ok_or(refused)?,
        },
    };
    if is_chosen(kept, &chosen) {
        keep(kept, &mut chosen, &request.selection)?;
        if request.host.is_none() {
            chosen.notes.extend(another(&all, kept));
        }
    }
    let bound = picked(&all, &chosen);
    if bound.is_empty() {
        let selection = request.selection.to_string();
        return Err(Error::Nothing { selection, left_out: chosen.left_out });
    }
    Ok((renamed(entry(kept.screen(), &bound, names)), chosen))
}

fn renamed(entry: Entry) -> Entry {
    let id = entry.id.replacen("deploy-vfio-", "static-", 1);
    Entry { id, ..entry }
}

fn is_chosen(bundle: &Bundle<'_>, chosen: &Chosen) -> bool {
    bundle.groups.iter().all(|group| chosen.groups.contains(group))
}

/// The card that the user wants for the desktop.
fn keeper<'b, 'm>(all: &'b [Bundle<'m>], group: u32) -> Result<&'b Bundle<'m>, Error> {
    let found = all.iter().find(|b| b.groups.contains(&group) && b.screen().is_some());
    found.ok_or_else(|| {
        let asked = format!("no display that the host can keep is in IOMMU group {group}");
        Error::NoSuchGroup { asked, groups: screens(all).collect() }
    })
}

/// The card that stays when the selection would take them all: of those that nobody named, the
/// firmware's, else the first.
fn fallback<'b, 'm>(
    all: &'b [Bundle<'m>],
    chosen: &Chosen,
    selection: &Selection,
) -> Option<&'b Bundle<'m>> {
    let free = || {
        let free = all.iter().filter(|bundle| is_chosen(bundle, chosen));
        free.filter(|bundle| named(bundle, selection).is_none())
    };
    let screen = best_screen(free().flat_map(|bundle| bundle.devices.iter().copied()))?;
    free().find(|bundle| bundle.contains(screen.address))
}

/// Takes a card out of what was chosen for guests.
fn keep(kept: &Bundle<'_>, chosen: &mut Chosen, selection: &Selection) -> Result<(), Error> {
    let reasons = kept.screen().map(|screen| (screen.address, Reason::Desktop));
    let reasons = reasons.into_iter().collect();
    if let Some(group) = named(kept, selection) {
        return Err(Error::Protected { group, reasons });
    }
    chosen.groups.retain(|group| !kept.groups.contains(group));
    chosen.left_out.push(LeftOut { groups: kept.groups.iter().copied().collect(), reasons });
    Ok(())
}

/// The group of the display of each card that the host could keep.
fn screens<'a>(all: &'a [Bundle<'_>]) -> impl Iterator<Item = u32> + 'a {
    all.iter().filter_map(|bundle| bundle.screen()?.group)
}

/// How to keep another card than the one that was taken.
fn another(all: &[Bundle<'_>], kept: &Bundle<'_>) -> Option<String> {
    let others = screens(all).filter(|group| !kept.groups.contains(group));
    let options: Vec<String> = others.map(|group| format!("`--host {group}`")).collect();
    let keeps = if options.len() == 1 { "keeps" } else { "keep" };
    (!options.is_empty()).then(|| format!("{} {keeps} another display", options.join(" or ")))
}

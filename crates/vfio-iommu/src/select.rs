//! From the user's words to the groups that go to guests.
//!
//! Words that mean many groups (`all`, `vga`, `no-vga`, a range) leave out what is protected and
//! say why; a group named by its number is handed over or refused, never left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use vfio_core::{Address, change::Draft, host::Machine};

use crate::{
    Allow, Error, Reason, Selection,
    bundle::{Bundle, bundles},
    diagnosis::{diagnose, remapping_off},
    error::groups as list,
    keyboard::keyboards,
    protect::{reasons, why},
    selection::Word,
};

/// What goes to guests, and what was left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The groups that go, in ascending order; a card's groups are all among them or none.
    pub groups: Vec<u32>,
    /// What the words meant and the host keeps.
    pub left_out: Vec<LeftOut>,
    /// What the user should read beside the plan.
    pub notes: Vec<String>,
    /// Whether the host may be left without a display.
    pub headless: bool,
}

impl Chosen {
    /// Says beside the plan what was left out, and what else there is to know.
    pub fn tell(&self, draft: &mut Draft<'_>) {
        let left_out = self.left_out.iter().map(|left| format!("stays with the host: {left}"));
        left_out.chain(self.notes.iter().cloned()).for_each(|note| draft.note(note));
    }
}

/// Groups that stay with the host together, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The groups, in ascending order: more than one when a card reaches into several.
    pub groups: Vec<u32>,
    /// Which devices keep them, and why.
    pub reasons: Vec<(Address, Reason)>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", list(&self.groups))?;
        let mut last = None;
        for (address, reason) in &self.reasons {
            f.write_str(if last.is_some() { ", " } else { " " })?;
            if last != Some(address) {
                write!(f, "{address} ")?;
            }
            write!(f, "{reason}")?;
            last = Some(address);
        }
        Ok(())
    }
}

/// Decides which groups go to guests.
///
/// # Errors
///
/// No IOMMU groups, a group that does not exist, a protected group named by number, or a
/// selection of which nothing is left.
pub fn select(machine: &Machine, selection: &Selection, allow: &[Allow]) -> Result<Chosen, Error> {
    let bundles = bundles(&machine.pci);
    if bundles.is_empty() {
        return Err(Error::NoIommu(diagnose(machine)));
    }
    exist(selection, &bundles)?;
    let reasons = reasons(machine, &bundles);
    let (mut picked, mut left_out) = (Vec::new(), Vec::new());
    for bundle in &bundles {
        match verdict(bundle, selection, &reasons, allow)? {
            Verdict::Goes => picked.push(bundle),
            Verdict::Stays(reasons) => left_out.push(stays(bundle, reasons)),
            Verdict::NotMeant => {}
        }
    }
    if !allow.contains(&Allow::Keyboard) {
        left_out.extend(keep_a_keyboard(machine, selection, &mut picked)?);
    }
    if picked.is_empty() {
        return Err(Error::Nothing { selection: selection.to_string(), left_out });
    }
    let groups: BTreeSet<u32> = picked.iter().flat_map(|b| b.groups.iter().copied()).collect();
    Ok(Chosen {
        groups: groups.into_iter().collect(),
        left_out,
        notes: notes(machine, selection, &picked),
        headless: allow.contains(&Allow::Headless),
    })
}

enum Verdict {
    Goes,
    Stays(Vec<(Address, Reason)>),
    NotMeant,
}

fn verdict(
    bundle: &Bundle<'_>,
    selection: &Selection,
    reasons: &BTreeMap<Address, Vec<Reason>>,
    allow: &[Allow],
) -> Result<Verdict, Error> {
    let display = bundle.has_display();
    let means = |group: &u32| selection.words().iter().any(|word| word.means(*group, display));
    if !bundle.groups.iter().any(means) {
        return Ok(Verdict::NotMeant);
    }
    let named = named(bundle, selection);
    let own = |address: Address| {
        let device = bundle.devices.iter().find(|device| device.address == address);
        device.and_then(|device| device.group).is_some_and(|group| selection.names(group))
    };
    let yields = |address: Address, reason: &Reason| match reason {
        // Who names a USB controller of the processor does not mean its display.
        Reason::IntegratedDisplay => own(address),
        reason => named.is_some() && reason.yields_to_name(),
    };
    let lifted = |reason: &Reason| reason.lifted_by().is_some_and(|by| allow.contains(&by));
    let mut kept = why(bundle, reasons);
    kept.retain(|(address, reason)| !lifted(reason) && !yields(*address, reason));
    Ok(match (kept.is_empty(), named) {
        (true, _) => Verdict::Goes,
        (false, Some(group)) => return Err(Error::Protected { group, reasons: kept }),
        // Groups of bridges are in every machine, and nobody means them.
        (false, None) if bundle.bindable().next().is_none() => Verdict::NotMeant,
        (false, None) => Verdict::Stays(kept),
    })
}

/// The group of a bundle that the user named by number.
pub(crate) fn named(bundle: &Bundle<'_>, selection: &Selection) -> Option<u32> {
    bundle.groups.iter().copied().find(|group| selection.names(*group))
}

fn stays(bundle: &Bundle<'_>, reasons: Vec<(Address, Reason)>) -> LeftOut {
    LeftOut { groups: bundle.groups.iter().copied().collect(), reasons }
}

/// Refuses numbers and ranges that no group answers to.
pub(crate) fn exist(selection: &Selection, bundles: &[Bundle<'_>]) -> Result<(), Error> {
    let groups: BTreeSet<u32> = bundles.iter().flat_map(|b| b.groups.iter().copied()).collect();
    let refuse =
        |asked| Err(Error::NoSuchGroup { asked, groups: groups.iter().copied().collect() });
    for word in selection.words() {
        match *word {
            Word::Group(group) if !groups.contains(&group) => {
                return refuse(format!("there is no IOMMU group {group}"));
            }
            Word::Range(first, last) if groups.range(first..=last).next().is_none() => {
                return refuse(format!("there is no IOMMU group from {first} to {last}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes one bundle back when every keyboard would go: the first that was not named by number.
fn keep_a_keyboard(
    machine: &Machine,
    selection: &Selection,
    picked: &mut Vec<&Bundle<'_>>,
) -> Result<Option<LeftOut>, Error> {
    let keyboards = keyboards(machine);
    let goes = |address: &Address| picked.iter().any(|bundle| bundle.contains(*address));
    if keyboards.is_empty() || !keyboards.keys().all(goes) {
        return Ok(None);
    }
    let on = |bundle: &Bundle<'_>| -> Vec<(Address, Reason)> {
        let here = keyboards.iter().filter(|(address, _)| bundle.contains(**address));
        let reason = |name: &String| Reason::Keyboard { name: name.clone(), others_go: true };
        here.map(|(address, name)| (*address, reason(name))).collect()
    };
    let free = |bundle: &Bundle<'_>| !on(bundle).is_empty() && named(bundle, selection).is_none();
    if let Some(at) = picked.iter().position(|bundle| free(bundle)) {
        let bundle = picked.remove(at);
        return Ok(Some(stays(bundle, on(bundle))));
    }
    for bundle in picked.iter().filter(|bundle| !on(bundle).is_empty()) {
        if let Some(group) = named(bundle, selection) {
            return Err(Error::Protected { group, reasons: on(bundle) });
        }
    }
    Ok(None)
}

fn notes(machine: &Machine, selection: &Selection, picked: &[&Bundle<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for bundle in picked {
        let Some(group) = named(bundle, selection) else { continue };
        let others = bundle.groups.iter().copied().filter(|other| !selection.names(*other));
        let others: Vec<u32> = others.collect();
        if !others.is_empty() {
            notes.push(format!(
                "{} {} along with group {group}: one card reaches into all of them",
                list(&others),
                if others.len() == 1 { "goes" } else { "go" }
            ));
        }
    }
    if let Some(parameter) = remapping_off(&machine.boot.cmdline) {
        notes.push(format!(
            "`{parameter}` is on the kernel's command line: VFIO refuses to start guests without \
             interrupt remapping"
        ));
    }
    notes
}

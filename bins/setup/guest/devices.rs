//! Which devices a guest is given.

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    Address, Cmdline,
    change::Draft,
    host::{Machine, Names},
    layout::MODPROBE,
};
use vfio_grub::Entry;

use super::GuestWords;

/// The devices in address order: of the groups that were named, or those that wait for guests by
/// what is deployed.
pub(super) fn devices(
    cx: &Context,
    draft: &mut Draft<'_>,
    machine: &Machine,
    words: &GuestWords,
) -> Result<Vec<Address>, Failure> {
    if let Some(selection) = &words.parse {
        let names = Names::read(cx.root(), &machine.pci)?.or_of(machine);
        let chosen = vfio_iommu::select(machine, selection, &words.allow)?;
        chosen.tell(draft);
        let entry = vfio_iommu::everything(machine, &|device| names.call(device), &chosen)?;
        return Ok(entry.bind.into_iter().map(|(address, ..)| address).collect());
    }
    let parameters = match entry(draft, machine, words)? {
        Some(entry) => entry.arguments,
        None => fixed(draft)?,
    };
    let (devices, gone) = vfio_iommu::bound(&parameters, machine);
    if !gone.is_empty() {
        draft
            .note(format!("what is deployed names devices that are not here: {}", gone.join(", ")));
    }
    if devices.is_empty() {
        draft.note(
            "no devices: nothing waits for guests by what is deployed; `--parse` names groups, \
             `deploy-vfio multiboot` and `static` deploy",
        );
    }
    Ok(devices)
}

/// The boot entry that the guest is for; `None` without a menu of ours.
fn entry(
    draft: &mut Draft<'_>,
    machine: &Machine,
    words: &GuestWords,
) -> Result<Option<Entry>, Failure> {
    let (entries, default) = vfio_grub::entries(draft)?;
    let ids = entries.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>().join(", ");
    let by_id = |id: &str| entries.iter().find(|entry| entry.id == id).cloned();
    if let Some(word) = &words.entry {
        let found = match word.as_str() {
            "first" => entries.first().cloned(),
            "last" => entries.last().cloned(),
            id => by_id(id).or_else(|| of_group(&entries, machine, id.parse().ok()?)),
        };
        let what = format!("there is no boot entry `{}`", word.escape_debug());
        let help = match ids.is_empty() {
            true => "`deploy-vfio multiboot` makes some".to_owned(),
            false => format!("there are {ids}"),
        };
        return found.map(Some).ok_or_else(|| Usage::refused(what, &[&help]).into());
    }
    let running = machine.boot.cmdline.value("deploy_vfio.entry").and_then(by_id);
    let chosen = running.or_else(|| by_id(&default?)).or_else(|| match &entries[..] {
        [only] => Some(only.clone()),
        _ => None,
    });
    if chosen.is_none() && !entries.is_empty() {
        let what = "there are several boot entries, and none of them runs or is the default";
        let help = format!("`--entry` says for which the guest is: {ids}");
        return Err(Usage::refused(what, &[&help]).into());
    }
    if let Some(entry) = chosen.as_ref().filter(|_| entries.len() > 1) {
        draft.note(format!("the devices are those of the boot entry `{}`", entry.id));
    }
    Ok(chosen)
}

/// The entry in which the host keeps a display of this group.
fn of_group(entries: &[Entry], machine: &Machine, group: u32) -> Option<Entry> {
    let host = |entry: &&Entry| {
        let address: Address = entry.id.strip_prefix("deploy-vfio-")?.parse().ok()?;
        machine.pci.get(address)?.group
    };
    entries.iter().find(|entry| host(entry) == Some(group)).cloned()
}

/// What a setup without a menu tells the kernel, or vfio-pci.
fn fixed(draft: &Draft<'_>) -> Result<Cmdline, Failure> {
    let mut words = Cmdline::default();
    let text = draft.text(vfio_iommu::FIXED)?.unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        words.extend(&line.into());
    }
    let text = draft.text(MODPROBE)?.unwrap_or_default();
    for ids in text.lines().filter_map(|line| line.strip_prefix("options vfio-pci ids=")) {
        words.extend(&format!("vfio-pci.ids={ids}").as_str().into());
    }
    Ok(words)
}

//! What the kernel must be told, and the files that make the binding happen before any driver.
//!
//! By address is the default: the initramfs script binds what `deploy_vfio.bind=` names, as long
//! as the device there still has the ids beside it. By id (`vfio-pci.ids=`) cannot tell two
//! devices of one kind apart and is refused where that matters.

use std::collections::BTreeSet;

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline,
    change::Draft,
    host::{Kernel, Machine, Vendor},
    layout::ENTRIES_D,
};

use crate::{
    Entry, Error,
    file::{self, MODPROBE},
    roles::is_intel_graphics,
    scripts,
};

/// The IOMMU's kernel parameters, for every entry alike.
pub const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/10-iommu.conf";
/// The kernel parameters of a setup without a menu, for the normal entry.
pub const FIXED: &str = "etc/deploy-vfio/cmdline.d/15-static.conf";

/// Keeps the firmware's framebuffer off every display.
const FRAMEBUFFER: &str = "initcall_blacklist=sysfb_init";

/// The kernel's buffer for `vfio-pci.ids=`, its final zero excluded (`vfio_pci.c`).
const IDS_MAX_LEN: usize = 1023;

/// How devices are bound to vfio-pci.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// Each by its PCI address.
    #[default]
    ByAddress,
    /// All of a vendor and device id.
    ById,
}

/// The kernel parameters of one boot entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// For every kernel.
    pub always: Cmdline,
    /// Besides, for kernels before 6.1: from then on, vfio-pci itself takes a display from the
    /// firmware's framebuffer.
    pub before_6_1: Cmdline,
}

/// The kernel parameters that bind the devices of an entry.
///
/// # Errors
///
/// By id, when a device that stays with the host has the ids of one that goes; more devices than
/// fit on a command line.
pub fn arguments(entry: &Entry, how: Binding, machine: &Machine) -> Result<Arguments, Error> {
    let (bind, limit) = match how {
        Binding::ByAddress => {
            let item =
                |&(address, vendor, device): &_| format!("{address}={vendor:04x}:{device:04x}");
            let items: Vec<String> = entry.bind.iter().map(item).collect();
            (format!("deploy_vfio.bind={}", items.join(",")), CMDLINE_MAX_LEN)
        }
        Binding::ById => (format!("vfio-pci.ids={}", ids(entry, machine)?), CMDLINE_MAX_LEN),
    };
    if bind.len() > limit {
        return Err(Error::TooLong { devices: entry.bind.len(), len: bind.len(), limit });
    }
    let framebuffer = if entry.gives_away_boot_vga { FRAMEBUFFER } else { "" };
    Ok(Arguments {
        always: Cmdline::from(format!("deploy_vfio.entry={} {bind}", entry.id).as_str()),
        before_6_1: Cmdline::from(framebuffer),
    })
}

/// The ids of all devices of an entry as `vfio-pci` takes them, sorted, each once.
pub(crate) fn ids(entry: &Entry, machine: &Machine) -> Result<String, Error> {
    tell_apart(entry, machine)?;
    let ids = entry.bind.iter().map(|(_, v, d)| format!("{v:04x}:{d:04x}"));
    let ids = ids.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",");
    if ids.len() > IDS_MAX_LEN {
        let (devices, len) = (entry.bind.len(), ids.len());
        return Err(Error::TooLong { devices, len, limit: IDS_MAX_LEN });
    }
    Ok(ids)
}

/// Refuses ids that a device of the host has too.
fn tell_apart(entry: &Entry, machine: &Machine) -> Result<(), Error> {
    for device in machine.pci.devices() {
        let goes = entry.bind.iter().any(|(address, ..)| *address == device.address);
        let same = |&&(_, v, d): &&(_, u16, u16)| (v, d) == (device.vendor, device.device);
        let twin = entry.bind.iter().find(same).filter(|_| !goes);
        if let Some(&(guest, ..)) = twin {
            let (ids, host) = (device.ids(), device.address);
            return Err(Error::SharedIds { ids, guest, host, by_file: false });
        }
    }
    Ok(())
}

/// Writes what all entries of a menu share: the IOMMU's parameters and the initramfs script. A
/// setup without a menu goes.
///
/// The entries themselves are the boot loader's: give it each one's title and [`arguments`].
pub fn bind(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entries: &[Entry],
    how: Binding,
) -> Result<(), Error> {
    scripts::supported(machine)?;
    for entry in entries {
        arguments(entry, how, machine)?;
    }
    instead_of_fixed(draft)?;
    switch_iommu_on(draft, machine, entries)?;
    scripts::write(draft, machine)
}

/// Takes a setup without a menu away, and says so.
fn instead_of_fixed(draft: &mut Draft<'_>) -> Result<(), Error> {
    if is_fixed(draft)? {
        draft.note("the boot menu takes the place of `deploy-vfio static`, which goes");
    }
    remove_fixed(draft)
}

/// The files, by their paths below the root, that [`bind`] would write where the initial RAM file system
/// is built by a program that is not served: for a person to put in place. The kernel parameters that
/// all entries share go into `draft`, which is not to be committed; what it removes is not to stay.
pub fn by_hand(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entries: &[Entry],
) -> Result<Vec<(&'static str, &'static str)>, Error> {
    instead_of_fixed(draft)?;
    switch_iommu_on(draft, machine, entries)?;
    Ok(scripts::by_hand(draft, machine.boot.initramfs))
}

/// Takes away all that [`bind`] writes, but for what a setup without a menu uses as well.
pub fn unbind(draft: &mut Draft<'_>) -> Result<(), Error> {
    if !is_fixed(draft)? {
        draft.remove(FRAGMENT);
        scripts::remove(draft);
    }
    Ok(())
}

/// Writes a setup without a menu as kernel parameters of the normal entry; one as files goes.
///
/// A menu must go as well, since its entries would get the parameters too: it is the boot
/// loader's to remove.
///
/// # Errors
///
/// What [`arguments`] refuses; a system whose initramfs cannot be given the script.
pub fn bind_by_parameters(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entry: &Entry,
    how: Binding,
) -> Result<(), Error> {
    scripts::supported(machine)?;
    let mut words = arguments(entry, how, machine)?.always;
    words.extend(&framebuffer(draft, machine, entry));
    remove_fixed(draft)?;
    switch_iommu_on(draft, machine, std::slice::from_ref(entry))?;
    write_fixed(draft, entry, &words)?;
    scripts::write(draft, machine)
}

/// Writes the parameters of a setup without a menu, or takes them away when there are none.
pub(crate) fn write_fixed(
    draft: &mut Draft<'_>,
    entry: &Entry,
    words: &Cmdline,
) -> Result<(), Error> {
    if words.is_empty() {
        draft.remove(FIXED);
        return Ok(());
    }
    Ok(draft.write(FIXED, format!("# Managed by deploy-vfio: {}.\n{words}\n", entry.title))?)
}

/// What keeps the firmware's framebuffer off the displays of a setup without a menu: nothing where
/// no installed kernel needs it.
pub(crate) fn framebuffer(draft: &mut Draft<'_>, machine: &Machine, entry: &Entry) -> Cmdline {
    let versions = || machine.kernels.installed.iter().map(Kernel::version);
    let old = |version: (u32, u32)| version < (6, 1) && version != (0, 0);
    if !entry.gives_away_boot_vga || !versions().any(old) {
        return Cmdline::default();
    }
    if !versions().all(old) {
        draft.note(format!(
            "{FRAMEBUFFER} is for the kernels before 6.1, but stands for all: the others show \
             nothing on the way up either, until the display's driver loads"
        ));
    }
    FRAMEBUFFER.into()
}

/// Whether a setup without a menu is deployed, as parameters or as files.
pub fn is_fixed(draft: &Draft<'_>) -> Result<bool, Error> {
    Ok(draft.bytes(FIXED)?.is_some() || draft.bytes(MODPROBE)?.is_some())
}

/// Takes a setup without a menu away, but for what a menu uses as well.
pub fn unbind_fixed(draft: &mut Draft<'_>) -> Result<(), Error> {
    remove_fixed(draft)?;
    if draft.names(ENTRIES_D)?.is_empty() {
        draft.remove(FRAGMENT);
        scripts::remove(draft);
    }
    Ok(())
}

/// Removes what nothing but a setup without a menu uses.
fn remove_fixed(draft: &mut Draft<'_>) -> Result<(), Error> {
    draft.remove(FIXED);
    file::remove(draft)
}

/// Writes the IOMMU's parameters, where it needs any for these entries.
pub(crate) fn switch_iommu_on(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entries: &[Entry],
) -> Result<(), Error> {
    let parameters = iommu_parameters(machine, entries);
    if parameters.is_empty() {
        draft.remove(FRAGMENT);
    } else {
        let text = format!("# Managed by deploy-vfio: switches the IOMMU on.\n{parameters}\n");
        draft.write(FRAGMENT, text)?;
    }
    Ok(())
}

/// `intel_iommu=on` where it does something: AMD's driver is on by itself, and `amd_iommu=on`
/// and `iommu=pt` switch nothing on.
fn iommu_parameters(machine: &Machine, entries: &[Entry]) -> Cmdline {
    let default_on = |kernel: &Kernel| {
        ["INTEL_IOMMU_DEFAULT_ON", "INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF"]
            .iter()
            .any(|option| kernel.config.get(*option).is_some_and(|value| value == "y"))
    };
    let kernels = &machine.kernels.installed;
    // Debian's kernels leave Intel's own graphics untranslated unless told to switch all on.
    let graphics = || {
        let bound = entries.iter().flat_map(|entry| &entry.bind);
        bound.filter_map(|(address, ..)| machine.pci.get(*address)).any(is_intel_graphics)
    };
    let needed = kernels.is_empty() || !kernels.iter().all(default_on) || graphics();
    Cmdline::from(if machine.cpu.vendor == Vendor::Intel && needed { "intel_iommu=on" } else { "" })
}

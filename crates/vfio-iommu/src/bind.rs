//! What the kernel must be told, and the files that make the binding happen before any driver.
//!
//! By address is the default: the initramfs script binds what `deploy_vfio.bind=` names, as long
//! as the device there still has the ids beside it. By id (`vfio-pci.ids=`) cannot tell two
//! devices of one kind apart and is refused where that matters.

use std::{collections::BTreeSet, str::FromStr};

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline,
    change::Draft,
    host::{Initramfs, Kernel, Machine, Vendor},
};

use crate::{Entry, Error, roles::is_intel_graphics};

/// The IOMMU's kernel parameters, for every entry alike.
pub const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/10-iommu.conf";
const SCRIPT: &str = "etc/initramfs-tools/scripts/init-top/deploy-vfio";
const HOOK: &str = "etc/initramfs-tools/hooks/deploy-vfio";

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

impl FromStr for Binding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "address" => Ok(Self::ByAddress),
            "id" => Ok(Self::ById),
            _ => Err(Error::word(text, "a way of binding", "`address` or `id`")),
        }
    }
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
        Binding::ById => {
            tell_apart(entry, machine)?;
            let ids = entry.bind.iter().map(|(_, v, d)| format!("{v:04x}:{d:04x}"));
            let ids: Vec<String> = ids.collect::<BTreeSet<_>>().into_iter().collect();
            let limit = IDS_MAX_LEN + "vfio-pci.ids=".len();
            (format!("vfio-pci.ids={}", ids.join(",")), limit)
        }
    };
    if bind.len() > limit {
        return Err(Error::TooLong { devices: entry.bind.len(), len: bind.len(), limit });
    }
    let framebuffer = if entry.gives_away_boot_vga { "initcall_blacklist=sysfb_init" } else { "" };
    Ok(Arguments {
        always: Cmdline::from(format!("deploy_vfio.entry={} {bind}", entry.id).as_str()),
        before_6_1: Cmdline::from(framebuffer),
    })
}

/// Refuses ids that a device of the host has too.
fn tell_apart(entry: &Entry, machine: &Machine) -> Result<(), Error> {
    for device in machine.pci.devices() {
        let goes = entry.bind.iter().any(|(address, ..)| *address == device.address);
        let same = |&&(_, v, d): &&(_, u16, u16)| (v, d) == (device.vendor, device.device);
        let twin = entry.bind.iter().find(same).filter(|_| !goes);
        if let Some(&(guest, ..)) = twin {
            return Err(Error::SharedIds { ids: device.ids(), guest, host: device.address });
        }
    }
    Ok(())
}

/// Writes what all entries share: the IOMMU's parameters and the initramfs script.
///
/// The entries themselves are the boot loader's: give it each one's title and [`arguments`].
pub fn bind(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entries: &[Entry],
    how: Binding,
) -> Result<(), Error> {
    supported(machine)?;
    for entry in entries {
        arguments(entry, how, machine)?;
    }
    let parameters = iommu_parameters(machine, entries);
    if parameters.is_empty() {
        draft.remove(FRAGMENT);
    } else {
        let text = format!("# Managed by deploy-vfio: switches the IOMMU on.\n{parameters}\n");
        draft.write(FRAGMENT, text)?;
    }
    draft.write_executable(SCRIPT, include_str!("../assets/init-top-deploy-vfio"))?;
    draft.write_executable(HOOK, include_str!("../assets/initramfs-hook-deploy-vfio"))?;
    Ok(())
}

/// Takes away all that [`bind`] writes.
pub fn unbind(draft: &mut Draft<'_>) {
    [FRAGMENT, SCRIPT, HOOK].into_iter().for_each(|path| draft.remove(path));
}

fn supported(machine: &Machine) -> Result<(), Error> {
    let what = match machine.boot.initramfs {
        Initramfs::InitramfsTools => return Ok(()),
        Initramfs::Dracut => "dracut builds the initial RAM file system here",
        Initramfs::Mkinitcpio => "mkinitcpio builds the initial RAM file system here",
        Initramfs::Unknown => "nothing known builds the initial RAM file system here",
    };
    Err(vfio_core::Error::Refused {
        what: "devices cannot be bound at boot on this system".to_owned(),
        because: vec![what.to_owned()],
        help: vec![
            "initramfs-tools (Debian, Ubuntu and their kin) is what is supported".to_owned(),
        ],
    }
    .into())
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

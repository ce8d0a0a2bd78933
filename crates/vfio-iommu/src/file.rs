//! A setup without a menu as files that `modprobe` and the initramfs read: no boot loader needed.
//!
//! What makes vfio-pci first: `mkinitramfs` copies `/etc/modprobe.d` into the image, and every
//! load of a driver for one of the devices, by udev's cold plug or later, loads vfio-pci before it
//! (`softdep`). The list in `/etc/initramfs-tools/modules` is loaded only after the cold plug; it
//! is what puts vfio-pci into the image, and binds devices whose drivers are not in it. A driver
//! that is part of the kernel's image comes before all of that, so it is refused.
//!
//! `disable_vga=1` is never written: it is for guests with UEFI firmware only, and gains nothing
//! but legacy arbitration.

use std::{collections::BTreeMap, fmt::Write};

use vfio_core::{
    Address,
    change::{Draft, edit},
    host::{Availability, Device, Kernel, Machine},
    layout::VFIO_PCI,
};

pub use vfio_core::layout::MODPROBE;

use crate::{
    Entry, Error,
    bind::{framebuffer, ids, switch_iommu_on, write_fixed},
    modprobe::{conflicts, plain},
    scripts,
};

/// Modules that the system loads while it starts.
pub const MODULES_LOAD: &str = "etc/modules-load.d/deploy-vfio.conf";
/// Modules that the initial RAM file system holds and loads; the user's own file.
pub const INITRAMFS_MODULES: &str = "etc/initramfs-tools/modules";

/// The modules, written as `/proc/modules` has them, each with the device that it could take.
type Rivals = BTreeMap<String, Address>;

/// Writes a setup without a menu as files; one as kernel parameters goes. Parameters that no file
/// can replace stay on the command line: the IOMMU's, and the framebuffer's of old kernels.
///
/// With `blacklist`, the modules that no device of the host needs are not loaded by themselves
/// any more.
///
/// # Errors
///
/// Ids that the host has too, a driver or vfio-pci in the kernel's image, files of the user's that
/// say otherwise, a system without initramfs-tools, nothing that may be blacklisted.
pub fn bind_by_file(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entry: &Entry,
    blacklist: bool,
) -> Result<(), Error> {
    scripts::supports_files(machine)?;
    let ids = ids(entry, machine).map_err(Error::by_file)?;
    let modules = modules(machine)?;
    let rivals = rivals(machine, entry)?;
    own_ids(machine)?;
    conflicts(draft, &rivals)?;
    let banned = if blacklist { banned(draft, machine, entry, &rivals)? } else { Vec::new() };
    let words = framebuffer(draft, machine, entry);
    write_fixed(draft, entry, &words)?;
    scripts::remove(draft);
    switch_iommu_on(draft, machine, std::slice::from_ref(entry))?;
    draft.write(MODPROBE, text(entry, &ids, &rivals, &banned))?;
    let lines: String = modules.iter().map(|module| format!("{module}\n")).collect();
    draft.write(MODULES_LOAD, format!("# Managed by deploy-vfio: waits for guests.\n{lines}"))?;
    list_in_initramfs(draft, &lines)?;
    draft.note(format!(
        "ids {ids} are bound at every boot, the recovery entry's too, and in whatever slot; from a \
         dark screen, press `e` in GRUB's menu and add `module_blacklist=vfio_pci` to the line \
         that begins with `linux`"
    ));
    Ok(())
}

/// Takes these files away.
pub(crate) fn remove(draft: &mut Draft<'_>) -> Result<(), Error> {
    draft.remove(MODPROBE);
    draft.remove(MODULES_LOAD);
    if let Some(old) = draft.bytes(INITRAMFS_MODULES)? {
        // Half a block would be left there without a word.
        if edit::set_block(&old, "") == Err(edit::EditError::Marks) {
            return Err(edit::EditError::Marks.at(INITRAMFS_MODULES).into());
        }
        let new = edit::remove_block(&old);
        if new != old {
            draft.write(INITRAMFS_MODULES, new)?;
        }
    }
    Ok(())
}

fn refused(what: impl Into<String>, because: String, help: &str) -> Error {
    let (what, help) = (what.into(), vec![help.to_owned()]);
    vfio_core::Error::Refused { what, because: vec![because], help }.into()
}

/// Refuses ids on the kernel's command line that are not ours: kmod reads it after every file.
fn own_ids(machine: &Machine) -> Result<(), Error> {
    let line = &machine.boot.cmdline;
    if line.value("vfio-pci.ids").is_none() || line.value("deploy_vfio.entry").is_some() {
        return Ok(());
    }
    let because = "`vfio-pci.ids=` of yours is there, and comes after every file".to_owned();
    let help = "take it out of GRUB's settings and boot again, or use `deploy-vfio static grub`";
    Err(refused("the kernel's command line says something else", because, help))
}

/// The modules to load, all of which every installed kernel has.
fn modules(machine: &Machine) -> Result<Vec<&'static str>, Error> {
    let what = "files cannot bind devices here";
    let kernels = &machine.kernels.installed;
    if kernels.is_empty() {
        let because = "no kernel is installed in /boot, so its modules are not known".to_owned();
        return Err(refused(what, because, "`deploy-vfio host` shows what is found"));
    }
    for Kernel { release, vfio_pci, .. } in kernels {
        let because = match vfio_pci {
            Availability::Module => continue,
            Availability::BuiltIn => {
                format!("vfio-pci is part of the kernel {release}, which reads no /etc/modprobe.d")
            }
            Availability::Missing => format!("the kernel {release} has no vfio-pci"),
        };
        return Err(refused(what, because, "`deploy-vfio static grub` works with such a kernel"));
    }
    let iommu = kernels.iter().all(|kernel| kernel.vfio_iommu == Availability::Module);
    Ok(["vfio_pci", "vfio_iommu_type1"].into_iter().take(if iommu { 2 } else { 1 }).collect())
}

/// The modules that vfio-pci must come before.
fn rivals(machine: &Machine, entry: &Entry) -> Result<Rivals, Error> {
    let mut rivals = Rivals::new();
    for (address, ..) in &entry.bind {
        let detail = machine.details.get(address);
        let driver = machine.pci.get(*address).and_then(|device| device.driver.as_deref());
        let known = detail.map_or(&[][..], |detail| &detail.modules);
        let in_image = detail.and_then(|detail| detail.built_in.first());
        let in_image = in_image.map(|name| format!("`{name}` is part of a kernel's image"));
        let of_nobody = driver.filter(|driver| known.is_empty() && *driver != VFIO_PCI);
        let of_nobody = of_nobody.map(|name| format!("no module is known for its driver `{name}`"));
        if let Some(because) = in_image.or(of_nobody) {
            return Err(refused(
                format!("vfio-pci cannot be made to come before the driver of {address}"),
                because,
                "`deploy-vfio static grub` takes a device back from any driver",
            ));
        }
        for module in known.iter().map(|name| plain(name)).filter(|name| name != "vfio_pci") {
            rivals.entry(module).or_insert(*address);
        }
    }
    Ok(rivals)
}

/// Whether a device that the host keeps is, or could be, driven by a module.
fn needs(machine: &Machine, device: &Device, module: &str) -> bool {
    let detail = machine.details.get(&device.address);
    let known = detail.into_iter().flat_map(|detail| detail.modules.iter().chain(&detail.built_in));
    known.chain(&device.driver).any(|name| plain(name) == module)
}

/// The rivals that no device of the host needs.
fn banned<'r>(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entry: &Entry,
    rivals: &'r Rivals,
) -> Result<Vec<&'r str>, Error> {
    let stays = |device: &&Device| !entry.bind.iter().any(|(guest, ..)| *guest == device.address);
    let (mut free, mut needed) = (Vec::new(), Vec::new());
    for module in rivals.keys() {
        let mut host = machine.pci.devices().iter().filter(stays);
        match host.find(|device| needs(machine, device, module)) {
            Some(device) => needed.push(format!("{}, which stays, needs {module}", device.address)),
            None => free.push(module.as_str()),
        }
    }
    if free.is_empty() {
        let what = "no module can be blacklisted without harm to the host".to_owned();
        let because = match needed.is_empty() {
            true => vec!["no module drives the devices that go to guests".to_owned()],
            false => needed,
        };
        let help = vec!["leave out `--blacklist`: vfio-pci comes first without it".to_owned()];
        return Err(vfio_core::Error::Refused { what, because, help }.into());
    }
    needed.into_iter().for_each(|text| draft.note(format!("not blacklisted: {text}")));
    Ok(free)
}

fn text(entry: &Entry, ids: &str, rivals: &Rivals, banned: &[&str]) -> String {
    let mut text =
        format!("# Managed by deploy-vfio: {}.\noptions vfio-pci ids={ids}\n", entry.title);
    if !rivals.is_empty() {
        text.push_str("# It comes before every driver that could take them.\n");
    }
    for module in rivals.keys() {
        let _ = writeln!(text, "softdep {module} pre: vfio-pci");
    }
    for module in banned {
        let _ = writeln!(text, "blacklist {module}");
    }
    text
}

/// Puts modules into the initial RAM file system.
fn list_in_initramfs(draft: &mut Draft<'_>, lines: &str) -> Result<(), Error> {
    let old = draft.bytes(INITRAMFS_MODULES)?.unwrap_or_default();
    if old.windows(2).any(|pair| pair == b"\r\n") {
        return Err(refused(
            format!("/{INITRAMFS_MODULES} cannot be edited"),
            "its lines end in CR LF, and mkinitramfs takes the CR for a part of names".to_owned(),
            "convert it (`sed -i 's/\\r$//'`), or use `deploy-vfio static grub`, which does not need it",
        ));
    }
    let new = edit::set_block(&old, lines).map_err(|error| error.at(INITRAMFS_MODULES))?;
    if new != old {
        draft.write(INITRAMFS_MODULES, new)?;
    }
    Ok(())
}

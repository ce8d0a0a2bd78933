//! What boots the machine, its kernels, and the software that runs guests.

use vfio_core::host::{Availability, Initramfs, Kernel, Loader};

use crate::{Check, Patient};

const LOADER: &str = "boot loader";
const INITRAMFS: &str = "initramfs";
const KERNELS: &str = "kernels";
const SECURE_BOOT: &str = "Secure Boot";
const SOFTWARE: &str = "software";
const USER: &str = "user";
const PAGES: &str = "huge pages";

/// What stays with the host of its memory, in KiB: 4 GiB.
const HOST_MEMORY: u64 = 4 << 20;

pub(crate) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let mut checks = vec![loader(patient), initramfs(patient)];
    checks.extend(kernels(&patient.machine.kernels.installed));
    checks.extend(secure_boot(patient));
    checks.push(software(patient));
    checks.extend(user(patient));
    checks.extend(pages(patient));
    checks
}

fn loader(patient: &Patient<'_>) -> Check {
    let not = |what: &str| {
        let help = "`static file` works without; the others change GRUB's configuration";
        Check::warn(LOADER, what, help)
    };
    match patient.machine.boot.loader {
        Loader::Grub => Check::pass(LOADER, "GRUB, whose menu is generated here"),
        Loader::GrubBls => not("GRUB reads entries from /boot/loader/entries"),
        Loader::SystemdBoot => not("systemd-boot starts this machine"),
        Loader::Unknown => not("none that is known"),
    }
}

fn initramfs(patient: &Patient<'_>) -> Check {
    let not = |tool: &str| {
        let why = format!("{tool} builds it: binding at boot is not supported there yet");
        Check::warn(INITRAMFS, why, "`hugepages`, `cpu` and `evdev` work all the same")
    };
    match patient.machine.boot.initramfs {
        Initramfs::InitramfsTools => Check::pass(INITRAMFS, "initramfs-tools builds it"),
        Initramfs::Dracut => Check::pass(INITRAMFS, "dracut builds it"),
        Initramfs::Mkinitcpio => not("mkinitcpio"),
        Initramfs::Unknown => not("nothing that is known"),
    }
}

/// A kernel without vfio-pci boots, and hands nothing over.
fn kernels(installed: &[Kernel]) -> Option<Check> {
    if installed.is_empty() {
        return None;
    }
    let names = |kernels: &[&Kernel]| {
        let names: Vec<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
        names.join(", ").escape_debug().to_string()
    };
    let (without, with): (Vec<&Kernel>, Vec<&Kernel>) =
        installed.iter().partition(|kernel| kernel.vfio_pci == Availability::Missing);
    if with.is_empty() {
        let why = format!("no installed kernel has vfio-pci: {}", names(&without));
        return Some(Check::fail(
            KERNELS,
            why,
            "install one that does, such as the distribution's",
        ));
    }
    if !without.is_empty() {
        let why = format!("without vfio-pci: {}", names(&without));
        return Some(Check::warn(KERNELS, why, format!("boot {} for guests", names(&with))));
    }
    Some(Check::pass(KERNELS, format!("with vfio-pci: {}", names(&with))))
}

/// VFIO works under lockdown; modules that are built on the machine have to be signed.
fn secure_boot(patient: &Patient<'_>) -> Option<Check> {
    let lockdown = patient.platform.lockdown.as_deref().filter(|state| *state != "none");
    let on = patient.machine.boot.secure_boot;
    let why = match (on, lockdown) {
        (None, None) => return None,
        (_, None) if on == Some(false) => return Some(Check::pass(SECURE_BOOT, "off")),
        (_, None) => "on".to_owned(),
        (Some(true), Some(state)) => format!("on, lockdown is `{}`", state.escape_debug()),
        (_, Some(state)) => format!("lockdown is `{}`", state.escape_debug()),
    };
    let why = format!("{why}: modules built on this machine load only when they are signed");
    let help = "enrol the key that DKMS signs with (`mokutil --import`); VFIO itself works";
    Some(Check::warn(SECURE_BOOT, why, help))
}

fn software(patient: &Patient<'_>) -> Check {
    let libvirt = &patient.machine.libvirt;
    match (libvirt.version, libvirt.qemu) {
        (Some(version), Some(qemu)) => {
            Check::pass(SOFTWARE, format!("libvirt {version} ({}), QEMU {qemu}", libvirt.daemon))
        }
        (version, qemu) => {
            let missing = match (version, qemu) {
                (None, None) => "neither libvirt nor QEMU is in dpkg's list",
                (None, _) => "libvirt is not in dpkg's list",
                _ => "QEMU is not in dpkg's list",
            };
            let help = "`apt install libvirt-daemon-system qemu-system-x86`, unless it comes from \
                 elsewhere";
            Check::warn(SOFTWARE, missing, help)
        }
    }
}

/// Who is in `libvirt` runs guests without a password.
fn user(patient: &Patient<'_>) -> Option<Check> {
    const GROUP: &str = "libvirt";
    let user = patient.user.filter(|user| user.uid != 0)?;
    let name = user.name.escape_debug();
    if user.groups.iter().any(|group| group == GROUP) {
        return Some(Check::pass(USER, format!("{name} is in the group {GROUP}")));
    }
    patient.groups.iter().any(|group| group == GROUP).then(|| {
        let help = format!("`sudo usermod -aG {GROUP} {name}`, and log in again");
        Check::warn(USER, format!("{name} is not in the group {GROUP}"), help)
    })
}

/// Pages that are reserved and not used are memory that nobody has.
fn pages(patient: &Patient<'_>) -> Option<Check> {
    let memory = &patient.machine.memory;
    let taken: u64 = memory.huge_pages.iter().map(|p| p.size_kib.saturating_mul(p.total)).sum();
    if taken == 0 || memory.total_kib == 0 {
        return None;
    }
    let mib = taken >> 10;
    if memory.total_kib.saturating_sub(taken) < HOST_MEMORY {
        let left = memory.total_kib.saturating_sub(taken) >> 10;
        let why = format!("{mib} MiB are reserved, which leaves {left} MiB to the host");
        return Some(Check::warn(PAGES, why, "`deploy-vfio hugepages` says how many fit"));
    }
    Some(Check::pass(PAGES, format!("{mib} MiB are reserved")))
}

//! Whether the prompt for the passphrase of an encrypted disk can be seen.
//!
//! The initial RAM file system binds the cards first and asks then. Until a driver of the host
//! draws on another card, the only picture is the firmware's, on the boot VGA; when that card goes
//! to vfio-pci the picture freezes or goes, and the prompt with it. Most initial RAM file systems
//! hold no graphics driver.

use vfio_core::{
    Address,
    change::Warning,
    host::{Device, Initramfs, Loader, Machine},
    layout::VFIO_PCI,
};

use crate::{Entry, roles::drives_screens};

/// What to say when an entry gives away the card that shows the passphrase prompt; `None` when
/// nothing is asked at boot, or all entries keep that card, or a serial console shows the prompt.
#[must_use]
pub fn prompt_warning(machine: &Machine, entries: &[Entry]) -> Option<Warning> {
    let asked: Vec<&str> = machine.storage.asked_at_boot().into_iter().collect();
    let dark: Vec<&Entry> = entries.iter().filter(|entry| is_dark(machine, entry)).collect();
    let first = dark.first().filter(|_| !asked.is_empty() && !is_serial(machine))?;
    let verb = if dark.len() == 1 { "gives" } else { "give" };
    let ids: Vec<String> = dark.iter().map(|entry| format!("`{}`", entry.id)).collect();
    Some(Warning {
        what: format!(
            "{} {verb} away the card that shows the prompt for the passphrase of {}: the prompt \
             may be invisible there",
            ids.join(" and "),
            asked.join(" and "),
        ),
        help: help(machine, entries, first),
    })
}

fn help(machine: &Machine, entries: &[Entry], dark: &Entry) -> Vec<String> {
    let starts = match machine.boot.loader {
        Loader::Grub | Loader::Unknown => {
            format!("`sudo grub-reboot {} && sudo reboot` starts this one", dark.id)
        }
        Loader::GrubBls | Loader::SystemdBoot => "the boot menu offers this one".to_owned(),
    };
    let once = format!(
        "try it once: with `default` as the entry the normal one still starts by itself, and \
         {starts}; typing blind works too"
    );
    let keeps = entries.iter().find(|entry| !is_dark(machine, entry));
    let keep = keeps.and_then(|entry| entry.host_group).map_or_else(
        || "the normal entry keeps that card, and shows the prompt".to_owned(),
        |group| {
            format!("with `{group}` as the entry, the one that keeps that card starts by itself")
        },
    );
    let driver = dark.host.and_then(|host| machine.pci.get(host)).and_then(console_driver);
    let screen = driver.map(|(address, driver)| {
        let listed = match machine.boot.initramfs {
            Initramfs::Mkinitcpio => format!("`{driver}` among MODULES of /etc/mkinitcpio.conf"),
            _ => format!("a line `{driver}` in /etc/initramfs-tools/modules"),
        };
        format!("{listed} brings the prompt to the screen of {address}")
    });
    let serial = match machine.boot.loader {
        Loader::Grub | Loader::Unknown => "in GRUB_CMDLINE_LINUX",
        Loader::GrubBls | Loader::SystemdBoot => "among the entry's options",
    };
    let serial = format!("`console=ttyS0` {serial} brings it to a serial console");
    [Some(once), Some(keep), screen, Some(serial)].into_iter().flatten().collect()
}

/// Whether the card that the firmware draws on goes, or every card with a screen.
fn is_dark(machine: &Machine, entry: &Entry) -> bool {
    let bound = entry.bind.iter().filter_map(|(address, ..)| machine.pci.get(*address));
    entry.gives_away_boot_vga || entry.host.is_none() && bound.into_iter().any(drives_screens)
}

/// Whether the kernel's last console, where the prompt goes, is no screen.
fn is_serial(machine: &Machine) -> bool {
    let console = machine.boot.cmdline.value("console").unwrap_or_default();
    ["ttyS", "ttyUSB", "ttyAMA", "hvc"].iter().any(|serial| console.starts_with(serial))
}

/// The driver that draws a text console on `device`; NVIDIA's own does not before the desktop.
fn console_driver(device: &Device) -> Option<(Address, &str)> {
    let driver = device.driver.as_deref()?;
    (driver != VFIO_PCI && driver != "nvidia").then_some((device.address, driver))
}

//! Graphics cards: reset, the firmware's display, memory windows, twins.

use vfio_core::host::{Device, Platform};

use crate::{Check, Patient};

const RESET: &str = "reset";
const DISPLAY: &str = "display";
const WINDOW: &str = "memory window";
const TWINS: &str = "twin cards";

const AMD: u16 = 0x1002;
/// AMD cards that a reset leaves in a state from which no driver wakes them: Polaris, Vega and the
/// first Navi, by device id (<https://github.com/gnif/vendor-reset>).
const STUCK: [std::ops::RangeInclusive<u16>; 8] = [
    0x67c0..=0x67ff,
    0x6980..=0x699f,
    0x6860..=0x687f,
    0x69a0..=0x69af,
    0x66a0..=0x66af,
    0x7310..=0x731f,
    0x7340..=0x734f,
    0x7360..=0x7362,
];

/// A window of this size or less is what every card had before it could be resized.
const USUAL_WINDOW: u64 = 256 << 20;

pub(crate) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let pci = &patient.machine.pci;
    let displays = pci.devices().iter().filter(|d| d.class.is_display() && d.physical.is_none());
    let displays: Vec<&Device> = displays.collect();
    let mut checks = Vec::new();
    checks.extend(firmware_display(patient, &displays));
    for card in &displays {
        checks.extend(reset(patient, card));
        checks.extend(window(patient, card));
    }
    checks.extend(twins(patient, &displays));
    checks
}

/// Who draws the console: a guest that takes that card takes the screen.
fn firmware_display(patient: &Patient<'_>, displays: &[&Device]) -> Option<Check> {
    let first = displays.iter().find(|device| device.boot_vga == Some(true))?;
    let name = (patient.call)(first);
    let drawn = match &patient.platform.framebuffer {
        Some(driver) => format!(", and `{}` draws the console", driver.escape_debug()),
        None => String::new(),
    };
    let why = format!("the firmware uses {} {name}{drawn}", first.address);
    if displays.len() > 1 {
        return Some(Check::pass(DISPLAY, why));
    }
    let why = format!("{why}; it is the only one");
    let help = "a second card, or the processor's own graphics, keeps a screen for the host";
    Some(Check::warn(DISPLAY, why, help))
}

/// A card that cannot be reset works in one guest, once.
fn reset(patient: &Patient<'_>, card: &Device) -> Option<Check> {
    let detail = patient.machine.details.get(&card.address);
    let methods = detail.map(|detail| detail.reset_methods.as_slice()).unwrap_or_default();
    let (address, name) = (card.address, (patient.call)(card));
    let stuck = card.vendor == AMD && STUCK.iter().any(|ids| ids.contains(&card.device));
    if stuck && methods.first().is_none_or(|method| method != "device_specific") {
        let why = format!("{address} {name}: may not come back after its guest stops");
        return Some(Check::warn(
            RESET,
            why,
            "the module `vendor-reset` resets cards of this kind",
        ));
    }
    if !methods.is_empty() {
        let how = methods.join(", ").escape_debug().to_string();
        return Some(Check::pass(RESET, format!("{address} {name}: by {how}")));
    }
    let Platform { resettable, .. } = patient.platform;
    match resettable.get(&card.address)? {
        true => Some(Check::pass(RESET, format!("{address} {name}: can be reset"))),
        false => {
            let why = format!("{address} {name}: the kernel knows no way to reset it");
            let help = "after its guest stops it may need a reboot of the host";
            Some(Check::warn(RESET, why, help))
        }
    }
}

/// What firmware or host made of a resizable BAR is what the guest gets.
fn window(patient: &Patient<'_>, card: &Device) -> Option<Check> {
    let size = *patient.platform.windows.get(&card.address)?;
    let (address, name, mib) = (card.address, (patient.call)(card), size >> 20);
    let large = size > USUAL_WINDOW;
    let how = if large { " (resized; the guest cannot change it)" } else { "" };
    Some(Check::pass(WINDOW, format!("{address} {name}: {mib} MiB{how}")))
}

/// Cards of one id: who binds by id takes both.
fn twins(patient: &Patient<'_>, displays: &[&Device]) -> Option<Check> {
    let twin = displays.iter().find(|card| patient.machine.pci.shares_ids(card))?;
    let why = format!("more than one device is {}: an id does not tell them apart", twin.ids());
    let help = "`deploy-vfio multiboot` and `static grub` go by address, `static file` cannot";
    Some(Check::warn(TWINS, why, help))
}

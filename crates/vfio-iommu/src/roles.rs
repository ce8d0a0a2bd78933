//! What a device is to the host: told by class, vendor and place, never by its name or driver,
//! so that a machine whose cards are on vfio-pci already gives the same answers.
//!
//! * A *card* is all functions of a slot, but for three kinds of function that stand alone:
//!   those on a root bus (part of the chipset or processor, they only share numbering), those of
//!   vendor 1022 in a slot without a display (AMD's processor and chipset functions, which come as
//!   one "slot" behind an internal bridge; AMD sells no such add-in cards, its graphics are vendor
//!   1002), and virtual functions (made to be handed out one by one).
//! * Bus 0 is always a root bus. Others (servers have a dozen) are told by their devices having
//!   no bridge above them, where the machine says so of any device at all.
//! * An *integrated display* is Intel's at `00:02.x`; an AMD one (vendor 1002) that shares its
//!   slot with processor functions of vendor 1022, which no graphics card has; and the display
//!   of a server's management chip (ASPEED, Matrox G200e and later).
//! * A 3D controller (0302) has no connectors: it goes to guests, but it is no host display.

use vfio_core::{
    Address,
    host::{Device, Pci},
};

const AMD_PROCESSOR: u16 = 0x1022;
const AMD_GRAPHICS: u16 = 0x1002;
const INTEL: u16 = 0x8086;
const ASPEED: u16 = 0x1a03;
const MATROX: u16 = 0x102b;

/// Whether a device is never bound itself: a bridge, or a virtual function.
pub(crate) fn never_bound(device: &Device) -> bool {
    device.class.is_bridge() || device.physical.is_some()
}

/// A display device that can be bound.
pub(crate) fn is_display(device: &Device) -> bool {
    device.class.is_display() && device.physical.is_none()
}

/// A display device that a screen can be plugged into.
pub(crate) fn drives_screens(device: &Device) -> bool {
    is_display(device) && device.class.kind() != 0x0302
}

/// The slot of the card that a device is part of; `None` when it stands alone.
pub(crate) fn card(pci: &Pci, device: &Device) -> Option<Address> {
    let with_display = || pci.card(device.address).any(is_display);
    let processor = device.vendor == AMD_PROCESSOR && !with_display();
    let alone = processor || never_bound(device) || on_root_bus(pci, device);
    (!alone).then_some(Address { function: 0, ..device.address })
}

/// Whether a device is part of the chipset or processor: no bridge leads to it.
fn on_root_bus(pci: &Pci, device: &Device) -> bool {
    device.address.bus == 0 || device.parent.is_none() && pci.shows_bridges()
}

/// Intel's own graphics: firmware and kernel treat them apart (identity map, `DEFAULT_ON_INTGPU_OFF`).
pub(crate) fn is_intel_graphics(device: &Device) -> bool {
    let Address { bus, device: number, .. } = device.address;
    is_display(device) && device.vendor == INTEL && (bus, number) == (0, 2)
}

/// The display of the processor or of the board.
pub(crate) fn is_integrated(pci: &Pci, device: &Device) -> bool {
    let processor = |other: &Device| other.vendor == AMD_PROCESSOR;
    let management = match device.vendor {
        ASPEED => true,
        MATROX => matches!(device.device, 0x0522 | 0x0524 | 0x0530..=0x053f),
        _ => false,
    };
    is_display(device)
        && (is_intel_graphics(device)
            || management
            || device.vendor == AMD_GRAPHICS && pci.card(device.address).any(processor))
}

/// The part of the chipset that keeps its whole group with the host.
///
/// Host bridges and bridges to other buses are not among them: they share the group of many a
/// card (Intel's PEG port, AMD's dummy host bridges), need no driver but `pcieport`, and VFIO
/// accepts them there.
pub(crate) fn chipset_part(device: &Device) -> Option<&'static str> {
    match device.class.kind() {
        0x0601 => Some("ISA bridge"),
        0x0602..=0x0603 => Some("bus bridge"),
        0x0c05 => Some("SMBus"),
        0x0806 => Some("IOMMU"),
        0x0807 => Some("event collector"),
        _ => None,
    }
}

/// Functions that only the host has a use for: thermal and power management, telemetry, serial
/// buses of the board, the management engine, dummy functions, the security processor.
///
/// A server's accelerators (DSA: 0880) look the same; they are handed over by number.
pub(crate) fn is_housekeeping(pci: &Pci, device: &Device) -> bool {
    let kind = device.class.kind();
    let by_class = match device.class.base() {
        0x10 | 0x13 if device.vendor == AMD_PROCESSOR => return true,
        0x00 | 0x05 | 0x07 | 0x10 | 0x11 | 0x13 => true,
        0x08 => kind != 0x0805,
        0x0c => kind == 0x0c80,
        _ => false,
    };
    by_class && on_root_bus(pci, device)
}

//! The keyboards that could leave the host.

use std::collections::BTreeMap;

use vfio_core::{
    Address,
    host::{Input, Machine},
};

/// The controllers that keyboards hang on, with the name of one keyboard each; empty when the
/// host has a keyboard that no guest can take.
///
/// That is a PS/2 keyboard and nothing else: a keyboard without a PCI controller may also be a
/// remapping daemon's, which types nothing once its real keyboard is gone, or a Bluetooth one,
/// whose radio hangs on a controller too. PS/2 is told by its driver's name for it (`AT
/// Translated Set 2 keyboard`, `drivers/input/keyboard/atkbd.c`). When in doubt, a controller too
/// many is protected, and `--allow keyboard` lifts that.
pub(crate) fn keyboards(machine: &Machine) -> BTreeMap<Address, String> {
    let all = || machine.inputs.keyboards();
    let ps2 = |input: &Input| input.pci.is_none() && input.name.starts_with("AT ");
    if all().any(ps2) {
        return BTreeMap::new();
    }
    let mut controllers = BTreeMap::new();
    for (controller, keyboard) in all().filter_map(|input| Some((input.pci?, input))) {
        controllers.entry(controller).or_insert_with(|| keyboard.name.clone());
    }
    controllers
}

//! Machines for tests: devices on top of a frozen snapshot, so that a new fact of a device needs
//! no change here.

use vfio_core::host::{Machine, Pci};

pub(crate) const NVIDIA: u16 = 0x10de;
pub(crate) const AMD: u16 = 0x1002;

/// A machine with devices: address, group, driver (empty for none), vendor.
pub(crate) fn machine(devices: &[(&str, Option<u32>, &str, u16)]) -> Machine {
    let text = include_str!("../../vfio-core/tests/fixtures/snapshot-v1.json");
    let mut machine = Machine::from_snapshot(text).unwrap();
    let template = machine.pci.devices()[0].clone();
    let devices = devices.iter().map(|(address, group, driver, vendor)| {
        let mut device = template.clone();
        (device.address, device.group) = (address.parse().unwrap(), *group);
        device.driver = (!driver.is_empty()).then(|| (*driver).to_owned());
        device.vendor = *vendor;
        device
    });
    machine.pci = Pci::from_devices(devices.collect());
    machine
}

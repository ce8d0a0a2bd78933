//! Devices that come to a guest when it starts, and go back when it stops.
//!
//! Invariants: nothing is taken before every device was found free; what is about to be done stands
//! below `/run` first; only `driver_override` and the probe are used, so no other device of the
//! same ids is touched.

use std::time::Duration;

use vfio_core::{Address, Root, layout::VFIO_PCI};

use crate::{
    Error, Hands, State,
    holders::{DEVICES, holders, processes},
    state::Step,
};

const DRIVERS: &str = "sys/bus/pci/drivers";
const PROBE: &str = "sys/bus/pci/drivers_probe";
/// How long a driver may take to let go of a device, or to take it.
const LIMIT: Duration = Duration::from_secs(20);
const MODPROBE: &str = "/sbin/modprobe";

/// Takes the guest's devices from their drivers, and binds them to vfio-pci.
///
/// # Errors
///
/// A device that is not there, in use, or does not come; whatever was taken stands in the state.
pub fn take(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
    devices: &[Address],
) -> Result<(), Error> {
    let mut wanted = Vec::new();
    for &address in devices {
        if !exists(root, address) {
            return Err(Error::NoDevice(address));
        }
        if driver(root, address).as_deref() == Some(VFIO_PCI) {
            continue;
        }
        let told = |error: vfio_core::Error| Error::NotBound { address, why: error.to_string() };
        let holders = holders(root, address).map_err(told)?;
        if !holders.is_empty() {
            return Err(Error::InUse { address, holders });
        }
        wanted.push(address);
    }
    if !wanted.is_empty() && !root.exists(&format!("{DRIVERS}/{VFIO_PCI}")).unwrap_or(false) {
        let loaded = hands.run(LIMIT, &[MODPROBE, VFIO_PCI], b"");
        loaded.map_err(|why| Error::NotBound { address: wanted[0], why })?;
    }
    for address in wanted {
        // The kernel lets nobody look while a driver lets go of the device.
        let before = hands.read_within(LIMIT, &format!("{DEVICES}/{address}/driver_override"));
        let before = before.map_err(|why| Error::NotBound { address, why })?.trim().to_owned();
        let step = Step::Device {
            address: address.to_string(),
            driver: driver(root, address),
            driver_override: if before == "(null)" { String::new() } else { before },
        };
        state.about_to(hands, guest, step)?;
        bind(root, hands, address).map_err(|why| Error::NotBound { address, why })?;
        log::info!("{guest}: {address} is on vfio-pci");
    }
    Ok(())
}

fn bind(root: &Root, hands: &dyn Hands, address: Address) -> Result<(), String> {
    let device = format!("{DEVICES}/{address}");
    hands.write_within(LIMIT, &format!("{device}/driver_override"), VFIO_PCI)?;
    if driver(root, address).is_some() {
        hands.write_within(LIMIT, &format!("{device}/driver/unbind"), &address.to_string())?;
    }
    hands.write_within(LIMIT, PROBE, &address.to_string())?;
    match driver(root, address) {
        Some(driver) if driver == VFIO_PCI => Ok(()),
        Some(driver) => Err(format!("it is on {driver}")),
        None => Err("no driver took it".to_owned()),
    }
}

/// Gives one device back to the driver that it had.
///
/// # Errors
///
/// Why it is not back.
pub fn give_back(
    root: &Root,
    hands: &dyn Hands,
    address: Address,
    had: Option<&str>,
    had_override: &str,
) -> Result<(), String> {
    let device = format!("{DEVICES}/{address}");
    if !exists(root, address) {
        log::warn!("{address} is not there any more");
        return Ok(());
    }
    if driver(root, address).as_deref() == Some(VFIO_PCI)
        && let Some(user) = user(root, address)
    {
        return Err(format!("{user} has it"));
    }
    // An empty line clears it.
    hands.write_within(LIMIT, &format!("{device}/driver_override"), had_override)?;
    match driver(root, address) {
        Some(driver) if driver == VFIO_PCI && had != Some(VFIO_PCI) => {
            hands.write_within(LIMIT, &format!("{device}/driver/unbind"), &address.to_string())?;
        }
        _ => {}
    }
    let Some(had) = had else { return Ok(()) };
    if driver(root, address).is_none() {
        let probed = hands.write_within(LIMIT, PROBE, &address.to_string());
        if driver(root, address).is_none() {
            let bind = format!("{DRIVERS}/{had}/bind");
            probed.and_then(|()| hands.write_within(LIMIT, &bind, &address.to_string()))?;
        }
    }
    match driver(root, address) {
        Some(driver) if driver == had => Ok(()),
        Some(driver) => Err(format!("it is on {driver}, not on {had}")),
        None => Err(format!("{had} did not take it")),
    }
}

/// Who has the device through vfio-pci: another guest.
fn user(root: &Root, address: Address) -> Option<String> {
    let group = root.link(&format!("{DEVICES}/{address}/iommu_group")).ok().flatten()?;
    let node = format!("/dev/vfio/{}", group.rsplit('/').next()?);
    processes(root, &[node].into()).ok()?.into_iter().next()
}

fn exists(root: &Root, address: Address) -> bool {
    root.exists(&format!("{DEVICES}/{address}")).unwrap_or(false)
}

fn driver(root: &Root, address: Address) -> Option<String> {
    let link = root.link(&format!("{DEVICES}/{address}/driver")).ok().flatten()?;
    link.rsplit('/').next().map(str::to_owned)
}

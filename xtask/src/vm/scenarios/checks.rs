//! What several scenarios look at.

use anyhow::{Result, bail, ensure};

use crate::vm::guest::Guest;
use crate::vm::topology::Card;

/// The driver that waits for guests.
pub const VFIO: &str = "vfio-pci";
/// The driver of machine A's graphics cards on the host.
pub const DRM: &str = "bochs-drm";

/// The id of the boot entry whose desktop is on this card.
pub fn entry_of(a: &Guest, card: Card) -> Result<String> {
    Ok(format!("deploy-vfio-{}", a.address(card)?))
}

/// The drivers of these cards are these, and every other card's is not vfio-pci.
pub fn drivers(a: &mut Guest, host: Option<Card>, guests: &[Card]) -> Result<()> {
    let drivers = a.drivers()?;
    if let Some(host) = host {
        let driver = &drivers[&a.address(host)?];
        ensure!(driver == DRM, "the host's card {host:?} has `{driver}`");
    }
    let mut wanted = Vec::new();
    for &card in guests {
        wanted.push(a.address(card)?);
    }
    for (address, driver) in &drivers {
        let bound = driver == VFIO;
        ensure!(bound == wanted.contains(address), "{address} has `{driver}`: {drivers:?}");
    }
    Ok(())
}

/// The network answers, the keyboard is there, the disk can be written.
pub fn works(a: &mut Guest) -> Result<()> {
    network(a)?;
    a.ok("grep -qi keyboard /proc/bus/input/devices")?;
    a.ok("touch /root/written && sync /root/written && rm /root/written")?;
    Ok(())
}

/// There is a default route, which DHCP may take a while for; without one, the error says what the network's
/// daemon and the kernel have to say of it.
pub fn network(a: &mut Guest) -> Result<()> {
    const WAIT: &str =
        "for i in {1..120}; do ip route show default | grep -q . && exit 0; sleep 1; done; exit 1";
    const TELL: &str =
        "ip -br address; networkctl --no-pager -n 20 status --all; dmesg | tail -n 20";
    if a.run(WAIT)?.code != 0 {
        bail!("there is no default route:\n{}", a.run(TELL)?.text);
    }
    Ok(())
}

/// Nothing of ours is in force, as after a boot of the normal entry.
pub fn untouched(a: &mut Guest) -> Result<()> {
    let line = a.cmdline()?;
    ensure!(!line.contains("vfio") && !line.contains("iommu"), "command line: {line}");
    drivers(a, Some(Card::BootVga), &[])?;
    drivers(a, Some(Card::SecondVga), &[])
}

/// `deploy-vfio status` exits 0 and says this.
pub fn status_says(a: &mut Guest, text: &str) -> Result<()> {
    let said = a.ok("deploy-vfio status")?;
    ensure!(said.contains(text), "status does not say `{text}`:\n{said}");
    Ok(())
}

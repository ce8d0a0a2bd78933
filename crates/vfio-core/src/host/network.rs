//! Network interfaces, and which of them carry the default route.

use crate::Address;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name for it (`enp5s0`, `br0`).
    pub name: String,
    /// The PCI devices under it, through bridges, bonds, teams and VLANs.
    pub pci: Vec<Address>,
    /// Whether a default route (IPv4 or IPv6) leaves through it.
    pub default_route: bool,
}

/// All network interfaces, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Every interface but the loopback.
    pub interfaces: Vec<Interface>,
}

impl Network {
    /// The interface with a default route that stands on the device at `address`.
    #[must_use]
    pub fn default_route_on(&self, address: Address) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.default_route && i.pci.contains(&address))
    }
}

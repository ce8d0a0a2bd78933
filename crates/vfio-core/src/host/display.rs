//! Display devices as the kernel's DRM layer sees them, and what is plugged into them.

use crate::Address;

/// One connector of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// `DP-1`, `HDMI-A-1`, ….
    pub name: String,
    /// Whether a screen answers.
    pub connected: bool,
    /// Whether a picture is being shown.
    pub enabled: bool,
}

/// One card with a DRM driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// `card0`, …: not stable over boots.
    pub name: String,
    /// The PCI device.
    pub pci: Address,
    /// Its connectors, by name.
    pub connectors: Vec<Connector>,
}

/// All cards that have a DRM driver now, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Displays {
    /// The cards.
    pub cards: Vec<Card>,
}

impl Displays {
    /// Whether a screen is plugged into the device at `address`; `None` when it has no DRM driver.
    #[must_use]
    pub fn connected(&self, address: Address) -> Option<bool> {
        let card = self.cards.iter().find(|card| card.pci == address)?;
        Some(card.connectors.iter().any(|connector| connector.connected))
    }
}

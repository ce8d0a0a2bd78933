//! Display devices as the kernel's DRM layer sees them, and what is plugged into them.

use crate::{
    Address, Result, Root,
    host::attr::{addresses, names, numbered, real, text},
};

const DRM: &str = "sys/class/drm";

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
    /// Reads `/sys/class/drm`; no cards when no DRM driver is loaded.
    pub fn read(root: &Root) -> Result<Self> {
        let all = names(root, DRM);
        let card = |(_, name): (u32, String)| {
            let pci = device(root, &name)?;
            let prefix = format!("{name}-");
            let connectors = all.iter().filter_map(|c| Some((c, c.strip_prefix(&prefix)?)));
            let connectors = connectors.map(|(path, name)| connector(root, path, name)).collect();
            Some(Card { name, pci, connectors })
        };
        Ok(Self { cards: numbered(root, DRM, "card").into_iter().filter_map(card).collect() })
    }

    /// Whether a screen is plugged into the device at `address`; `None` when it has no DRM driver.
    #[must_use]
    pub fn connected(&self, address: Address) -> Option<bool> {
        let card = self.cards.iter().find(|card| card.pci == address)?;
        Some(card.connectors.iter().any(|connector| connector.connected))
    }
}

fn connector(root: &Root, path: &str, name: &str) -> Connector {
    let says = |file: &str, word: &str| {
        text(root, &format!("{DRM}/{path}/{file}")).is_some_and(|text| text == word)
    };
    Connector {
        name: name.to_owned(),
        connected: says("status", "connected"),
        enabled: says("enabled", "enabled"),
    }
}

/// The PCI device of a card; `None` for a virtual one, and for a screen at the end of USB.
fn device(root: &Root, card: &str) -> Option<Address> {
    let path = real(root, &format!("{DRM}/{card}/device"))
        .or_else(|| real(root, &format!("{DRM}/{card}")))?;
    let usb = path.split('/').any(|part| part.starts_with("usb"));
    addresses(&path).pop().filter(|_| !usb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn finds_cards_and_what_is_plugged_in() {
        let gpu = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/drm/card0";
        let tree = Tree::new()
            .link(&format!("{gpu}/device"), "../..")
            .file(&format!("{gpu}/card0-DP-1/status"), "connected\n")
            .file(&format!("{gpu}/card0-DP-1/enabled"), "enabled\n")
            .file(&format!("{gpu}/card0-HDMI-A-1/status"), "disconnected\n")
            .link("sys/class/drm/card0", &format!("../../../{gpu}"))
            .link("sys/class/drm/card0-DP-1", &format!("../../../{gpu}/card0-DP-1"))
            .link("sys/class/drm/card0-HDMI-A-1", &format!("../../../{gpu}/card0-HDMI-A-1"))
            .dir("sys/devices/platform/simple-framebuffer.0/drm/card1")
            .link("sys/class/drm/card1", "../../devices/platform/simple-framebuffer.0/drm/card1")
            .dir("sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/drm/card2")
            .link("sys/class/drm/card2", "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/drm/card2")
            .link("sys/class/drm/card7", "nowhere")
            .file("sys/class/drm/version", "drm 1.1.0 20060810\n");
        let displays = Displays::read(&tree.root()).unwrap();
        let [card] = displays.cards.as_slice() else { panic!("{displays:?}") };
        let [dp, hdmi] = card.connectors.as_slice() else { panic!("{card:?}") };
        assert_eq!((dp.name.as_str(), dp.connected, dp.enabled), ("DP-1", true, true));
        assert_eq!((hdmi.name.as_str(), hdmi.connected, hdmi.enabled), ("HDMI-A-1", false, false));
        assert_eq!(displays.connected("0000:01:00.0".parse().unwrap()), Some(true));
        assert_eq!(displays.connected("0000:00:14.0".parse().unwrap()), None);
    }
}

//! The card that the desktop uses, chosen anew at each boot.
//!
//! Which cards the host has follows from the boot entry, so a unit of ours looks before the display
//! manager starts: not on vfio-pci, of the wanted vendor, with a screen plugged in, first or last by
//! address. What it finds out stands below `/run`, gone with the boot it is true for:
//!
//! * for Xorg, by a link from its configuration: the `BusID` (in decimal numbers) and the driver;
//! * for compositors, in the environment of sessions and as a tag of udev's, see
//!   `assets/auto-xorg`.
//!
//! Where there is no card of that vendor it takes any that the host has, with a warning; where there
//! is none, nothing is told and Xorg chooses by itself.

use std::{fmt, str::FromStr};

use vfio_core::{
    Advice, Exit,
    change::{Draft, Image, Unit},
    host::{Device, Machine},
    layout::VFIO_PCI,
};

/// What is preferred: `order=` and `vendor=`.
const SETTINGS: &str = "etc/deploy-vfio/auto-xorg";
const PROGRAM: &str = "usr/local/lib/deploy-vfio/auto-xorg";
const PROGRAM_TEXT: &str = include_str!("../assets/auto-xorg");
const UNIT: Unit = Unit {
    name: "deploy-vfio-auto-xorg.service",
    text: include_str!("../assets/deploy-vfio-auto-xorg.service"),
};
/// Xorg reads its directories in `/etc` and `/usr` only; what the unit writes is below `/run`.
const LINK: (&str, &str) =
    ("etc/X11/xorg.conf.d/10-deploy-vfio.conf", "/run/deploy-vfio/xorg.conf");
const XORG_CONF: &str = "etc/X11/xorg.conf";

/// Which of several cards that suit equally well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first by address.
    #[default]
    First,
    /// The last by address.
    Last,
}

/// Whose card is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// AMD, or ATI.
    Amd,
    /// Intel.
    Intel,
    /// NVIDIA.
    Nvidia,
    /// None of these.
    Other,
}

impl Brand {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Amd, Self::Intel, Self::Nvidia, Self::Other];

    /// Whose a device is, by its vendor id.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        match device.vendor {
            0x1002 | 0x1022 => Self::Amd,
            0x8086 => Self::Intel,
            0x10de => Self::Nvidia,
            _ => Self::Other,
        }
    }
}

/// Which card the desktop is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// Which of several.
    pub order: Order,
    /// Whose; `None` for anybody's.
    pub brand: Option<Brand>,
}

/// Why a card cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither an order nor a vendor.
    #[error("`{}` is neither a place nor a vendor", .0.escape_debug())]
    NotAWord(String),
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAWord(_) => Exit::Usage,
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::NotAWord(_) => Vec::new(),
            Self::Core(error) => error.because(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NotAWord(_) => vec![
                "places: `first`, `last`".into(),
                "vendors: `amd`, `intel`, `nvidia`, `other`".into(),
            ],
            Self::Core(error) => error.help(),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Last => "last",
        })
    }
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let order = [Self::First, Self::Last].into_iter().find(|order| order.to_string() == text);
        order.ok_or_else(|| not_a_word(text))
    }
}

impl fmt::Display for Brand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Nvidia => "nvidia",
            Self::Other => "other",
        })
    }
}

impl FromStr for Brand {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let brand = Self::ALL.into_iter().find(|brand| brand.to_string() == text);
        brand.ok_or_else(|| not_a_word(text))
    }
}

fn not_a_word(text: &str) -> Error {
    Error::NotAWord(text.chars().take(40).collect())
}

/// Plans the choice, or takes it away (`None`).
///
/// # Errors
///
/// A tree that cannot be read.
pub fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: Option<Preference>,
) -> Result<(), Error> {
    let Some(Preference { order, brand }) = wanted else {
        for path in [SETTINGS, PROGRAM, LINK.0] {
            draft.remove(path);
        }
        UNIT.disable(draft);
        return Ok(());
    };
    let vendor = brand.map_or("any".to_owned(), |brand| brand.to_string());
    let settings =
        format!("# Written by `deploy-vfio auto-xorg`.\norder={order}\nvendor={vendor}\n");
    draft.write(SETTINGS, settings)?;
    draft.write_executable(PROGRAM, PROGRAM_TEXT)?;
    UNIT.enable(draft)?;
    draft.symlink(LINK.0, LINK.1);
    if draft.image(XORG_CONF)? != Image::Absent {
        draft.note(format!(
            "/{XORG_CONF} is there: a card that it names comes before the one chosen at boot"
        ));
    }
    tell(draft, machine, brand);
    Ok(())
}

/// Says what the choice would be among the cards that are not on vfio-pci now.
fn tell(draft: &mut Draft<'_>, machine: &Machine, brand: Option<Brand>) {
    let cards = machine.pci.devices().iter();
    let hosts = cards.filter(|device| device.class.is_display() && device.physical.is_none());
    let hosts: Vec<&Device> =
        hosts.filter(|device| device.driver.as_deref() != Some(VFIO_PCI)).collect();
    match brand {
        Some(brand) if !hosts.iter().any(|device| Brand::of(device) == brand) => draft.note(
            format!("the host has no card of the vendor {brand} now: a boot without one takes any"),
        ),
        _ => {}
    }
    draft.note("every boot chooses before the desktop starts; this one is left as it is");
}

#[cfg(test)]
mod tests {
    use vfio_core::Root;

    use super::*;

    #[test]
    fn b56_words_are_places_and_vendors() {
        for brand in Brand::ALL {
            assert_eq!(brand.to_string().parse::<Brand>().unwrap(), brand);
        }
        assert_eq!("last".parse::<Order>().unwrap(), Order::Last);
        for bad in ["", "ATI", "AMD", "middle"] {
            assert!(bad.parse::<Brand>().is_err() && bad.parse::<Order>().is_err(), "{bad}");
        }
    }

    #[test]
    fn b53_it_comes_and_goes_as_a_whole() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        let wanted = Preference { order: Order::Last, brand: Some(Brand::Amd) };
        plan(&mut draft, &Machine::default(), Some(wanted)).unwrap();
        let text = draft.text(SETTINGS).unwrap().unwrap();
        assert!(text.ends_with("order=last\nvendor=amd\n"), "{text}");
        let done = draft.clone().finish("x").unwrap();
        assert_eq!(done.changes.len(), 5, "settings, program, unit, its link, Xorg's link");
        assert!(done.notes[0].contains("no card of the vendor amd"), "{:?}", done.notes);
        plan(&mut draft, &Machine::default(), None).unwrap();
        assert!(draft.finish("x").unwrap().is_empty());
    }
}

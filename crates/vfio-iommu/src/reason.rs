//! Why a device stays with the host, and what lifts that.
//!
//! Three strengths: a *hard* reason holds always; one that an [`Allow`] lifts holds until the
//! user says so; a *soft* one only keeps a device out of `all`, `vga` and ranges, and yields when
//! its group is named by number.

use std::{fmt, str::FromStr};

use vfio_core::Address;

use crate::Error;

/// One kind of protection that the user lifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allow {
    /// The host may lose its default route.
    Network,
    /// The host may lose its last keyboard.
    Keyboard,
    /// The host may lose its last display.
    Headless,
    /// The host may lose file systems and swap, but never `/` and `/usr`.
    Storage,
}

impl Allow {
    /// Every kind, in the order in which help lists them.
    pub const ALL: [Self; 4] = [Self::Network, Self::Keyboard, Self::Headless, Self::Storage];
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "network",
            Self::Keyboard => "keyboard",
            Self::Headless => "headless",
            Self::Storage => "storage",
        })
    }
}

impl FromStr for Allow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|allow| allow.to_string() == text);
        let form = "`network`, `keyboard`, `headless` or `storage`";
        found.ok_or_else(|| Error::word(text, "a protection that can be lifted", form))
    }
}

/// Why a device stays with the host; printed so that it reads after the device's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A bridge: never bound, and no obstacle to the devices it shares a group with.
    Bridge,
    /// A part of the chipset that the host cannot be without.
    Chipset {
        /// Which part.
        part: &'static str,
    },
    /// A virtual function (SR-IOV): it does not exist before the host's driver has made it.
    Virtual {
        /// The physical function.
        physical: Address,
    },
    /// File systems or swap stand on it.
    Storage {
        /// The mount points, and `swap`.
        mounts: Vec<String>,
    },
    /// The default route leaves through it.
    Network {
        /// The interface.
        interface: String,
    },
    /// The last keyboard hangs on it.
    Keyboard {
        /// What the keyboard calls itself.
        name: String,
        /// Whether there are others, all of them on selected devices.
        others_go: bool,
    },
    /// No other device drives a screen.
    LastDisplay,
    /// The display of the processor or of the board; soft.
    IntegratedDisplay,
    /// It was picked to drive the host's desktop in a setup without a menu.
    Desktop,
    /// A chipset function no guest has a use for, in a group of nothing else; soft.
    Housekeeping,
}

impl Reason {
    /// What lifts it; `None` when nothing does.
    #[must_use]
    pub fn lifted_by(&self) -> Option<Allow> {
        match self {
            Self::Storage { mounts } if mounts.iter().any(|m| m == "/" || m == "/usr") => None,
            Self::Storage { .. } => Some(Allow::Storage),
            Self::Network { .. } => Some(Allow::Network),
            Self::Keyboard { .. } => Some(Allow::Keyboard),
            Self::LastDisplay => Some(Allow::Headless),
            _ => None,
        }
    }

    /// Whether it yields when the group is named by its number.
    #[must_use]
    pub fn yields_to_name(&self) -> bool {
        matches!(self, Self::IntegratedDisplay | Self::Housekeeping)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("bridge"),
            Self::Chipset { part } => write!(f, "chipset ({part})"),
            Self::Virtual { physical } => write!(f, "virtual function of {physical}"),
            Self::Storage { mounts } => write!(f, "carries {}", join(mounts)),
            Self::Network { interface } => write!(f, "has the default route ({interface})"),
            Self::Keyboard { name, others_go: false } => {
                write!(f, "has the only keyboard ({name})")
            }
            Self::Keyboard { name, others_go: true } => {
                write!(f, "has the only keyboard that would be left ({name})")
            }
            Self::LastDisplay => f.write_str("the host's only display"),
            Self::IntegratedDisplay => f.write_str("integrated display"),
            Self::Desktop => f.write_str("drives the desktop"),
            Self::Housekeeping => f.write_str("chipset function"),
        }
    }
}

/// `/`, `/ and swap`, `/, /home and swap`.
fn join(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use vfio_core::{Advice, Exit};

    use super::*;

    #[test]
    fn allow_is_one_of_four_words() {
        for allow in Allow::ALL {
            assert_eq!(allow.to_string().parse::<Allow>().unwrap(), allow);
        }
        let error = "disk".parse::<Allow>().unwrap_err();
        let shown = "`disk` is not a protection that can be lifted; write `network`, `keyboard`, \
                     `headless` or `storage`";
        assert_eq!(error.to_string(), shown);
        assert_eq!(error.exit(), Exit::Usage);
    }

    #[test]
    fn reasons_read_after_an_address() {
        let mounts = |list: &[&str]| Reason::Storage {
            mounts: list.iter().map(|&mount| mount.to_owned()).collect(),
        };
        assert_eq!(mounts(&["/"]).to_string(), "carries /");
        assert_eq!(mounts(&["/home", "swap"]).to_string(), "carries /home and swap");
        assert_eq!(mounts(&["/", "/home", "swap"]).to_string(), "carries /, /home and swap");
        assert_eq!(mounts(&["/home"]).lifted_by(), Some(Allow::Storage));
        assert_eq!(mounts(&["/home", "/"]).lifted_by(), None);
        assert_eq!(
            Reason::Keyboard { name: "USB Keyboard".into(), others_go: false }.to_string(),
            "has the only keyboard (USB Keyboard)"
        );
    }
}

//! What is done for a guest: `/etc/deploy-vfio/hooks.toml`, for all guests and for single ones.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Where the settings are, below the root.
pub const SETTINGS: &str = "etc/deploy-vfio/hooks.toml";
/// Whether devices are bound and given back with a guest: this file is there.
pub const DYNAMIC: &str = "etc/deploy-vfio/dynamic.toml";

/// What is done for one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host's own programs leave the CPUs that virtual CPUs are pinned to.
    pub cpus: bool,
    /// The governor of these CPUs; empty leaves it.
    pub governor: String,
    /// Memory is put together before the start, and huge pages are possible.
    pub memory: bool,
    /// The machine does not go to sleep.
    pub nosleep: bool,
    /// QEMU's share of the CPUs, from 1 to 10000, where others have 100; 0 leaves it.
    pub cpu_weight: u32,
    /// The user's own programs in `/etc/libvirt/hooks/qemu.d/GUEST/` are run.
    pub scripts: bool,
    /// Displays whose input follows the guest.
    pub displays: Vec<Display>,
}

/// A display that is told which input to show.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Display {
    /// Its I2C bus, as `ddcutil detect` tells it.
    pub bus: u8,
    /// The input that the guest's card is plugged into, as a value of the VCP feature 60.
    pub guest: u8,
    /// The input of the host's card.
    pub host: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cpus: true,
            governor: "performance".to_owned(),
            memory: true,
            nosleep: true,
            cpu_weight: 1000,
            scripts: true,
            displays: Vec::new(),
        }
    }
}

impl Settings {
    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            cpus: false,
            governor: String::new(),
            memory: false,
            nosleep: false,
            cpu_weight: 0,
            scripts: false,
            displays: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    all: Table,
    guest: BTreeMap<String, Table>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Table {
    cpus: Option<bool>,
    governor: Option<String>,
    memory: Option<bool>,
    nosleep: Option<bool>,
    cpu_weight: Option<u32>,
    scripts: Option<bool>,
    displays: Option<Vec<Display>>,
}

impl Settings {
    /// What `text` says for `guest`: its own table, then that of all guests, then the usual.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, in one line with its place.
    pub fn read(text: &str, guest: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start).unwrap_or_default().matches('\n').count() + 1
            });
            format!("line {line}: {}", error.message())
        })?;
        let own = file.guest.get(guest).cloned().unwrap_or_default();
        let (all, usual) = (file.all, Self::default());
        let read = Self {
            cpus: own.cpus.or(all.cpus).unwrap_or(usual.cpus),
            governor: own.governor.or(all.governor).unwrap_or(usual.governor),
            memory: own.memory.or(all.memory).unwrap_or(usual.memory),
            nosleep: own.nosleep.or(all.nosleep).unwrap_or(usual.nosleep),
            cpu_weight: own.cpu_weight.or(all.cpu_weight).unwrap_or(usual.cpu_weight),
            scripts: own.scripts.or(all.scripts).unwrap_or(usual.scripts),
            displays: own.displays.or(all.displays).unwrap_or(usual.displays),
        };
        match read.cpu_weight {
            0..=10_000 => Ok(read),
            weight => Err(format!("cpu-weight is {weight}, more than 10000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_s_own_table_comes_first() {
        let text = "[all]\ngovernor = \"schedutil\"\nnosleep = false\n\n\
                    [guest.\"win 10\"]\nnosleep = true\n\
                    displays = [{ bus = 4, guest = 0x11, host = 0x0f }]\n";
        let other = Settings::read(text, "other").unwrap();
        assert_eq!((other.governor.as_str(), other.nosleep), ("schedutil", false));
        let own = Settings::read(text, "win 10").unwrap();
        assert_eq!((own.governor.as_str(), own.nosleep), ("schedutil", true));
        assert_eq!(own.displays, [Display { bus: 4, guest: 0x11, host: 0x0f }]);
        assert_eq!(Settings::read("", "x").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, wrong) in [
            ("[all]\ncpu = true\n", "line 2: unknown field `cpu`"),
            ("[all\n", "line 1: "),
            ("[all]\n\ncpu-weight = 20000\n", "cpu-weight is 20000"),
        ] {
            let told = Settings::read(text, "x").unwrap_err();
            assert!(told.starts_with(wrong), "{told}");
        }
    }
}

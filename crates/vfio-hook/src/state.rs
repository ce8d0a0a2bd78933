//! What was done for which guest, below `/run`: written before it is done, so that a later call
//! takes it back even after this one was killed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vfio_core::Root;

use crate::{Error, Hands};

/// Where it stands, below the root: gone with the boot that it is true for.
pub const STATE: &str = "run/deploy-vfio/guests.json";
const FORMAT: u32 = 1;

/// Something that was done for one guest.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A device was taken from its driver.
    Device {
        /// Its address, as text.
        address: String,
        /// The driver that it had.
        driver: Option<String>,
        /// Its `driver_override`; empty for none.
        driver_override: String,
    },
    /// A unit was started.
    Unit(String),
    /// A display was switched.
    Display {
        /// Its I2C bus.
        bus: u8,
        /// The host's input.
        host: u8,
    },
}

/// An attribute of the kernel's that several guests may want changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Changed {
    /// What it was.
    pub before: String,
    /// What it is now.
    pub now: String,
    /// For whom.
    pub guests: BTreeSet<String>,
}

/// Everything that was done and not yet taken back.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct State {
    format: u32,
    /// What was done for each guest, in order.
    pub guests: BTreeMap<String, Vec<Step>>,
    /// Attributes by their paths.
    pub values: BTreeMap<String, Changed>,
    /// The CPUs that the host's programs leave to each guest.
    pub claims: BTreeMap<String, String>,
    /// What `AllowedCPUs` of each unit was before the first claim.
    pub units: BTreeMap<String, String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            guests: BTreeMap::new(),
            values: BTreeMap::new(),
            claims: BTreeMap::new(),
            units: BTreeMap::new(),
        }
    }
}

impl State {
    /// Reads what stands there; nothing where there is no file.
    ///
    /// # Errors
    ///
    /// A file that no version of this program has written.
    pub fn read(root: &Root) -> Result<Self, Error> {
        let wrong = |what: String| Error::Record(format!("/{STATE}: {what}"));
        let text = root.text(STATE).map_err(|error| wrong(error.to_string()))?;
        let Some(text) = text else { return Ok(Self::default()) };
        let state: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match state.format {
            FORMAT => Ok(state),
            format => Err(wrong(format!("it is of format {format}, not {FORMAT}"))),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn keep(&self, hands: &dyn Hands) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Record(format!("/{STATE}: {error}")))?;
        hands.keep(STATE, &text).map_err(Error::Record)
    }

    /// Adds what is about to be done for `guest`, and writes it down.
    ///
    /// # Errors
    ///
    /// What the file system says: then it must not be done.
    pub fn about_to(&mut self, hands: &dyn Hands, guest: &str, step: Step) -> Result<(), Error> {
        self.guests.entry(guest.to_owned()).or_default().push(step);
        self.keep(hands)
    }

    /// Whether anything is done for `guest`.
    #[must_use]
    pub fn knows(&self, guest: &str) -> bool {
        let changed = self.values.values().any(|changed| changed.guests.contains(guest));
        changed || self.guests.contains_key(guest) || self.claims.contains_key(guest)
    }
}

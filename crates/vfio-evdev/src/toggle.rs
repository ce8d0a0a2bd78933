//! The keys that hand the devices over.

use std::{fmt, str::FromStr};

use crate::Error;

/// Keys that, pressed together, hand keyboard and mouse to the guest, or back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toggle {
    /// Both control keys; what QEMU does when nothing is said.
    #[default]
    CtrlCtrl,
    /// Both alt keys.
    AltAlt,
    /// Both shift keys.
    ShiftShift,
    /// Both meta keys.
    MetaMeta,
    /// The scroll lock key.
    ScrollLock,
    /// A control key and the scroll lock key.
    CtrlScrollLock,
}

impl Toggle {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::CtrlCtrl,
        Self::AltAlt,
        Self::ShiftShift,
        Self::MetaMeta,
        Self::ScrollLock,
        Self::CtrlScrollLock,
    ];
}

impl fmt::Display for Toggle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CtrlCtrl => "ctrl-ctrl",
            Self::AltAlt => "alt-alt",
            Self::ShiftShift => "shift-shift",
            Self::MetaMeta => "meta-meta",
            Self::ScrollLock => "scrolllock",
            Self::CtrlScrollLock => "ctrl-scrolllock",
        })
    }
}

impl FromStr for Toggle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|toggle| toggle.to_string() == text);
        found.ok_or_else(|| Error::NotAToggle(text.escape_debug().take(40).collect()))
    }
}

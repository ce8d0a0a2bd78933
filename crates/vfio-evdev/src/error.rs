//! Why keyboard and mouse cannot be shared, and the way out.

use vfio_core::{Advice, Exit, host::Version};

use crate::Toggle;

/// Why keyboard and mouse cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not keys that QEMU knows.
    #[error("`{0}` is no combination of keys to switch by")]
    NotAToggle(String),
    /// libvirt cannot be told other keys.
    #[error("libvirt {version} always switches by ctrl-ctrl, not by {toggle}")]
    FixedToggle {
        /// Its version.
        version: Version,
        /// The keys that were asked for.
        toggle: Toggle,
    },
    /// There is no keyboard to switch by.
    #[error("there is no keyboard to hand over: only its keys switch between host and guest")]
    NoKeyboard {
        /// Why what is there will not do.
        because: Vec<String>,
    },
    /// A device that was named and cannot be handed over.
    #[error("{} cannot be handed over", path.escape_debug())]
    Device {
        /// As it was named.
        path: String,
        /// Why not.
        why: String,
        /// Names that would do.
        instead: Vec<String>,
    },
    /// libvirt is not installed.
    #[error("there is no /etc/libvirt/qemu.conf to add the devices to")]
    NoQemuConf,
    /// Nobody knows who is to join the groups.
    #[error("who is to join the groups `libvirt` and `input`?")]
    NoUser,
    /// `root` was to join them.
    #[error("root needs no group to run guests")]
    Root,
    /// A group that is nowhere.
    #[error("there is no group `{group}` in /etc/group that {user} could join")]
    NoGroup {
        /// The group.
        group: String,
        /// Who was to join it.
        user: String,
    },
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAToggle(_) | Self::Root => Exit::Usage,
            Self::Core(error) => error.exit(),
            _ => Exit::Refused,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::FixedToggle { .. } => vec!["other keys need libvirt 7.6".into()],
            Self::NoKeyboard { because } => because.clone(),
            Self::Device { why, .. } => vec![why.clone()],
            Self::NoQemuConf => vec!["it comes with libvirt's daemon".into()],
            Self::NoUser => vec![
                "only sudo and pkexec tell who called them, and only on a running system".into(),
            ],
            Self::Root => vec!["guests are for the user who sits at the keyboard".into()],
            Self::NoGroup { group, .. } => {
                vec![format!("if `{group}` comes from LDAP or the like, only that can change it")]
            }
            Self::Core(error) => error.because(),
            Self::NotAToggle(_) => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NotAToggle(_) => {
                let all: Vec<String> = Toggle::ALL.iter().map(ToString::to_string).collect();
                vec![format!("there are {}", all.join(", "))]
            }
            Self::FixedToggle { .. } => {
                vec!["`--qemu-conf` tells QEMU itself which keys to use".into()]
            }
            Self::Device { instead, .. } => {
                instead.iter().map(|path| format!("--device {path}")).collect()
            }
            Self::NoQemuConf => vec!["install libvirt first".into()],
            Self::NoUser | Self::Root => {
                vec!["`--user NAME` says who runs the guests".into()]
            }
            Self::NoGroup { group, .. } => {
                vec![format!("`sudo groupadd --system {group}` makes one of this machine")]
            }
            Self::Core(error) => error.help(),
            Self::NoKeyboard { .. } => Vec::new(),
        }
    }
}

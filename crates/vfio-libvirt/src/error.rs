//! Why a guest's definition cannot be read, written or given to libvirt.

use vfio_core::{Advice, Exit};

/// What can go wrong with a guest's definition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no definition of a guest.
    #[error("this is no definition of a guest: {0}")]
    NotADomain(String),
    /// libvirt's library cannot be opened.
    #[error("libvirt is not installed: {0}")]
    NotInstalled(String),
    /// The library lacks a function: it is of a version that is too old.
    #[error("the installed libvirt has no `{0}`: it is older than 1.2.12")]
    TooOld(&'static str),
    /// libvirt does not answer.
    #[error("libvirt does not answer at {uri}: {why}")]
    NoAnswer {
        /// Whom we asked.
        uri: String,
        /// What it said.
        why: String,
    },
    /// libvirt does not accept the definition.
    #[error("libvirt does not accept the guest: {0}")]
    NotAccepted(String),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotADomain(_) | Self::NotInstalled(_) | Self::TooOld(_) => Exit::Refused,
            Self::NoAnswer { .. } | Self::NotAccepted(_) => Exit::Failed,
        }
    }

    fn help(&self) -> Vec<String> {
        let line = match self {
            Self::NotADomain(_) => "`virsh dumpxml --inactive GUEST` prints one",
            Self::NotInstalled(_) | Self::TooOld(_) => {
                "Debian and Ubuntu: `apt install libvirt-daemon-system`"
            }
            Self::NoAnswer { .. } => {
                "`systemctl start libvirtd`, or `virtqemud` where that runs the guests"
            }
            Self::NotAccepted(_) => return Vec::new(),
        };
        vec![line.to_owned()]
    }
}

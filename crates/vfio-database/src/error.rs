//! Why a database cannot be read, made or used.

use std::fmt;

use vfio_core::{Address, Advice, Exit, layout::VFIO_PCI};

use crate::FILE;

/// As many devices as a message names.
const NAMED: usize = 6;

/// A place in a text, both counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a database cannot be read, made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the XML of a database.
    #[error("{at}: {what}")]
    Malformed {
        /// Where.
        at: Position,
        /// What is wrong there.
        what: String,
    },
    /// It names vfio-pci as the driver of devices.
    #[error("{}made while devices were on {VFIO_PCI}: {}", prefix(*.at), listed(.devices))]
    Bound {
        /// The first of them in the file; `None` for a machine or a snapshot.
        at: Option<Position>,
        /// The devices.
        devices: Vec<Address>,
    },
    /// It does not describe this machine.
    #[error("{}made on another machine", prefix(*.at))]
    Foreign {
        /// The first device that does not fit, in the file; `None` for a snapshot.
        at: Option<Position>,
        /// The first device that does not fit.
        device: Address,
        /// What differs, a line each.
        because: Vec<String>,
    },
    /// Devices are on vfio-pci, and nothing says what drove them before.
    #[error("what drove {} before {VFIO_PCI} is unknown", listed(.devices))]
    Unknown {
        /// The devices.
        devices: Vec<Address>,
        /// The file that should say it.
        file: String,
        /// Whether that file is there.
        exists: bool,
    },
    /// One of the above, about a file.
    #[error("/{file}: {error}")]
    In {
        /// The file, relative to the root.
        file: String,
        /// What is the matter with it.
        error: Box<Error>,
    },
    /// A file could not be read or written, or a machine snapshot cannot be understood.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Error {
    /// The same, about `file`.
    pub(crate) fn within(self, file: &str) -> Self {
        match self {
            Self::Core(vfio_core::Error::Refused { what, because, help }) => {
                let what = format!("/{file}: {what}");
                Self::Core(vfio_core::Error::Refused { what, because, help })
            }
            Self::Core(_) | Self::Unknown { .. } | Self::In { .. } => self,
            error => Self::In { file: file.to_owned(), error: Box::new(error) },
        }
    }
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::In { error, .. } => error.exit(),
            Self::Core(error) => error.exit(),
            _ => Exit::Refused,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::Bound { .. } => {
                vec![format!("{VFIO_PCI} hides what drives a device without guests")]
            }
            Self::Foreign { because, .. } => because.clone(),
            Self::Unknown { file, exists: false, .. } => {
                vec![format!("there is no /{file}; it is written while nothing is bound")]
            }
            Self::Unknown { file, devices, .. } => {
                let devices = listed(devices);
                vec![format!("/{file} does not know {devices}: added or replaced since")]
            }
            Self::In { error, .. } => error.because(),
            Self::Core(error) => error.because(),
            Self::Malformed { .. } => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::In { file, .. } => another_boot(file, true),
            Self::Unknown { file, exists, .. } => another_boot(file, *exists),
            Self::Core(error) => error.help(),
            _ => vec![format!("{NORMAL_BOOT}: `deploy-vfio host --xml` writes a new one")],
        }
    }
}

const NORMAL_BOOT: &str = "boot the normal entry once, where nothing is bound";

/// How to get a `file` that is as it should be.
fn another_boot(file: &str, exists: bool) -> Vec<String> {
    // Ours is kept up to date; one that the user named is written once.
    let first = if exists && file != FILE { ", move the file away" } else { "" };
    vec![
        format!("{NORMAL_BOOT}{first}, and run the setup with `--xml` again: it writes the file"),
        "or keep as this file what `deploy-vfio host --xml` prints there".to_owned(),
    ]
}

fn prefix(at: Option<Position>) -> String {
    at.map(|at| format!("{at}: ")).unwrap_or_default()
}

/// Devices by address, the first few of them.
pub(crate) fn listed(devices: &[Address]) -> String {
    let mut names: Vec<String> = devices.iter().take(NAMED).map(ToString::to_string).collect();
    if devices.len() > NAMED {
        names.push(format!("and {} more", devices.len() - NAMED));
    }
    names.join(", ")
}

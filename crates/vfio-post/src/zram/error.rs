//! What can go wrong, and the way out.

use vfio_core::{Advice, Exit};

use crate::zram::{LEAST_KIB, Sizes};

/// Why there is no compressed swap to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a part between nothing and all.
    #[error("`{}` is not a fraction between 0 and 1", .0.escape_debug())]
    NotAFraction(String),
    /// Somebody else's zram swap is in use.
    #[error("zram swap is in use already, and it is not ours: {}", .0.join(", "))]
    InUse(Vec<String>),
    /// None of the installed kernels has zram.
    #[error("no installed kernel has zram")]
    NoZram(Vec<String>),
    /// A device that is too small to be of use.
    #[error("{} of the memory is {} KiB: too little for swap, which takes {LEAST_KIB}",
        .0.fraction, .0.limit_kib)]
    TooLittle(Sizes),
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAFraction(_) => Exit::Usage,
            Self::InUse(_) | Self::NoZram(_) | Self::TooLittle(_) => Exit::Refused,
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::NoZram(releases) => vec![format!("installed: {}", releases.join(", "))],
            Self::TooLittle(sizes) => {
                vec![format!("huge pages leave {} KiB to the host", sizes.left_kib)]
            }
            Self::Core(error) => error.because(),
            Self::NotAFraction(_) | Self::InUse(_) => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NotAFraction(_) => vec!["deploy-vfio zram-swap 1/4".into()],
            Self::InUse(_) => vec!["`deploy-vfio zram-swap force` does it all the same".into()],
            Self::TooLittle(_) => vec!["ask for a larger part, `3/4`".into()],
            Self::Core(error) => error.help(),
            Self::NoZram(_) => Vec::new(),
        }
    }
}

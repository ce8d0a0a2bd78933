//! The sizes of huge pages.

use std::{fmt, str::FromStr};

use crate::Error;

/// A huge page size of x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// 2 MiB.
    M2,
    /// 1 GiB; the processor must have `pdpe1gb`.
    G1,
}

impl PageSize {
    /// The size in KiB, as the kernel names it in sysfs.
    #[must_use]
    pub fn kib(self) -> u64 {
        match self {
            Self::M2 => 2 << 10,
            Self::G1 => 1 << 20,
        }
    }

    /// The flag of `/proc/cpuinfo` that says the processor has pages of this size.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::M2 => "pse",
            Self::G1 => "pdpe1gb",
        }
    }
}

impl FromStr for PageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "2M" | "2m" => Ok(Self::M2),
            "1G" | "1g" => Ok(Self::G1),
            _ => Err(Error::NotASize(text.escape_debug().take(40).collect())),
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::M2 => "2M",
            Self::G1 => "1G",
        })
    }
}

//! What is asked for, in words or as data.

use std::{fmt, str::FromStr};

use vfio_core::CpuList;

use crate::Error;

/// What is asked for.
///
/// It prints as the words behind `deploy-vfio cpu` and is read from them; `auto` is read, too.
///
/// ```
/// use vfio_isolcpus::Request;
/// let request: Request = "--guest 4-7".parse()?;
/// assert_eq!(request, Request::Guest("4-7".parse().unwrap()));
/// assert_eq!(request.to_string(), "--guest 4-7");
/// assert_eq!("auto".parse::<Request>()?, Request::Auto);
/// # Ok::<(), vfio_isolcpus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// What the rule of this crate says.
    #[default]
    Auto,
    /// As many cores for the host, the others for guests.
    HostCores(u32),
    /// These CPUs for guests, the others for the host.
    Guest(CpuList),
    /// These CPUs for the host, the others for guests.
    Host(CpuList),
    /// All CPUs for all.
    Off,
}

/// Whose CPUs a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The guests'.
    Guest,
    /// The host's.
    Host,
}

impl Side {
    /// The option that takes such a list.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Guest => "--guest",
            Self::Host => "--host",
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::HostCores(count) => write!(f, "--host-cores {count}"),
            Self::Guest(list) => write!(f, "{} {list}", Side::Guest.option()),
            Self::Host(list) => write!(f, "{} {list}", Side::Host.option()),
            Self::Off => f.write_str("off"),
        }
    }
}

impl FromStr for Request {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::NotARequest(text.chars().take(60).collect());
        let mut words = text.split([' ', '=']).filter(|word| !word.is_empty());
        let (option, value) = (words.next().unwrap_or("auto"), words.next());
        let list = || value.and_then(|value| value.parse().ok());
        let request = match option.trim_start_matches('-') {
            "auto" if value.is_none() => Some(Self::Auto),
            "off" if value.is_none() => Some(Self::Off),
            "host-cores" => value.and_then(|value| value.parse().ok()).map(Self::HostCores),
            "guest" => list().map(Self::Guest),
            "host" => list().map(Self::Host),
            _ => None,
        };
        request.filter(|_| words.next().is_none()).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_that_no_machine_could_accept_are_errors() {
        for bad in ["on", "off 1", "--guest", "--guest x", "--host-cores -1", "guest 1 2", "2"] {
            assert!(bad.parse::<Request>().is_err(), "{bad}");
        }
        for (good, request) in [
            ("", Request::Auto),
            ("host-cores=3", Request::HostCores(3)),
            ("--host 0,4", Request::Host([0, 4].into_iter().collect())),
        ] {
            assert_eq!(good.parse::<Request>().unwrap(), request);
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_prints(kind in 0u8..5, number: u32, cpus in prop::collection::vec(0u32..99, 1..9)) {
            let list: CpuList = cpus.into_iter().collect();
            let request = match kind {
                0 => Request::Auto,
                1 => Request::HostCores(number),
                2 => Request::Guest(list),
                3 => Request::Host(list),
                _ => Request::Off,
            };
            prop_assert_eq!(request.to_string().parse::<Request>().unwrap(), request);
        }

        #[test]
        fn never_panics(text in "[-a-z0-9=, ]{0,20}") {
            let _ = text.parse::<Request>();
        }
    }
}

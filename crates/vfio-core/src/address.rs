//! A PCI address: `domain:bus:device.function`, and the domain is never dropped.

use std::{fmt, str::FromStr};

/// Where a PCI function sits, as the kernel names it in `/sys/bus/pci/devices`.
///
/// Ordered as the kernel lists them: domain, bus, device, function. Domains above `ffff` exist
/// (Intel VMD starts at `10000`).
///
/// ```
/// let address: vfio_core::Address = "0000:01:00.1".parse().unwrap();
/// assert_eq!(address.to_string(), "0000:01:00.1");
/// assert_eq!(address.slot(), "0000:01:00".to_owned());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// PCI domain (segment).
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device number, at most 31.
    pub device: u8,
    /// Function number, at most 7.
    pub function: u8,
}

/// A text that is not a PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a PCI address; one looks like `0000:01:00.0`", .0.escape_debug())]
pub struct ParseAddressError(String);

impl Address {
    /// The address without its function: what all functions of one card share.
    #[must_use]
    pub fn slot(&self) -> String {
        format!("{:04x}:{:02x}:{:02x}", self.domain, self.bus, self.device)
    }

    /// Whether both are functions of one card.
    #[must_use]
    pub fn same_slot(&self, other: &Self) -> bool {
        Self { function: 0, ..*self } == Self { function: 0, ..*other }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (domain, bus, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (device, function) = rest.split_once('.')?;
        if parts.next().is_some() {
            return None;
        }
        let address = Self {
            domain: hex(domain, 4..=8)?,
            bus: u8::try_from(hex(bus, 2..=2)?).ok()?,
            device: u8::try_from(hex(device, 2..=2)?).ok()?,
            function: u8::try_from(hex(function, 1..=1)?).ok()?,
        };
        (address.device < 32 && address.function < 8).then_some(address)
    }
}

/// Hexadecimal digits only (`from_str_radix` alone would take a sign), as many as `width` allows.
fn hex(text: &str, width: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let digits = width.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        Self::parse(text).ok_or_else(|| ParseAddressError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        let text = format_args!("{domain:04x}:{bus:02x}:{device:02x}.{function}");
        if f.width().is_none() { f.write_fmt(text) } else { f.pad(&text.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_the_kernel_never_prints() {
        for bad in [
            "",
            "01:00.0",
            "0000:01:00",
            "0000:01:20.0",
            "0000:01:00.8",
            "0000:+1:00.0",
            "0000:01:00.0 ",
            "000:01:00.0",
            "0000:01:00.0.0",
            "0000:01:00:0",
            "xyz",
            "0000:001:00.0",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn keeps_a_domain_of_five_digits() {
        let address: Address = "10000:e1:00.0".parse().unwrap();
        assert_eq!((address.domain, address.to_string().as_str()), (0x10000, "10000:e1:00.0"));
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(domain in 0u32.., bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = Address { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<Address>();
        }
    }
}

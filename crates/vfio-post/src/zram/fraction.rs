//! A part of something.

use std::{fmt, str::FromStr};

use crate::zram::Error;

/// More than this is no fraction that anybody types.
const MOST: u64 = 9999;

/// A part between nothing and all: `1/4`. It prints as it was read.
///
/// ```
/// use vfio_post::zram::Fraction;
/// let quarter: Fraction = "1/4".parse()?;
/// assert_eq!((quarter.of(32), quarter.to_string()), (8, "1/4".to_owned()));
/// assert!("4/4".parse::<Fraction>().is_err());
/// # Ok::<(), vfio_post::zram::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: u64,
    denominator: u64,
}

impl Fraction {
    /// `1/2`.
    pub const HALF: Self = Self { numerator: 1, denominator: 2 };
    /// `1/4`.
    pub const QUARTER: Self = Self { numerator: 1, denominator: 4 };

    /// This part of `whole`, rounded down.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.numerator) / u128::from(self.denominator);
        u64::try_from(part).unwrap_or(whole)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl FromStr for Fraction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().filter(|n| (1..=MOST).contains(n))
        };
        let fraction = || {
            let (numerator, denominator) = text.split_once('/')?;
            let (numerator, denominator) = (number(numerator)?, number(denominator)?);
            (numerator < denominator).then_some(Self { numerator, denominator })
        };
        fraction().ok_or_else(|| Error::NotAFraction(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn b50_a_fraction_is_between_nothing_and_all() {
        for good in ["1/4", "1/2", "3/4", "9998/9999"] {
            assert_eq!(good.parse::<Fraction>().unwrap().to_string(), good);
        }
        for bad in [
            "", "1", "/", "1/", "/4", "0/4", "4/4", "5/4", "1/0", "-1/4", "+1/4", "1/4/2", "0.5",
            "1 / 4", "1/10000",
        ] {
            let error = bad.parse::<Fraction>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_more_than_the_whole(
            whole: u64, numerator in 1..MOST, more in 1u64..100,
        ) {
            let denominator = (numerator + more).min(MOST);
            let fraction: Fraction = format!("{numerator}/{denominator}").parse().unwrap();
            prop_assert!(fraction.of(whole) <= whole);
            prop_assert_eq!(fraction.to_string().parse::<Fraction>().unwrap(), fraction);
        }

        #[test]
        fn never_panics(text in "[-0-9/. ]{0,12}") {
            let _ = text.parse::<Fraction>();
        }
    }
}

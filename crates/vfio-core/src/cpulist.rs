//! The kernel's list of processors: `0-3,8,10-14:2/4`.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// Highest processor number that a list may name: more than any kernel is built for
/// (`CONFIG_NR_CPUS` is at most 8192 on x86).
const HIGHEST: u32 = 65_535;

/// A set of logical processors, read and printed in the kernel's `cpulist` format.
///
/// Ranges, single numbers and the stride form `a-b:used/group` are understood
/// (`Documentation/admin-guide/kernel-parameters.rst`); an empty text is the empty set.
///
/// ```
/// let list: vfio_core::CpuList = "0,2-3,8-15:2/4".parse().unwrap();
/// assert_eq!(list.to_string(), "0,2-3,8-9,12-13");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(BTreeSet<u32>);

/// A text that is not a list of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a list of processors; one looks like `0-3,8`", .0.escape_debug())]
pub struct ParseCpuListError(String);

impl CpuList {
    /// Whether the list names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many processors the list names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list names `cpu`.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// The numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        for item in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            let (range, stride) = item.split_once(':').map_or((item, None), |(r, s)| (r, Some(s)));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            let (used, group) = match stride {
                None => (1, 1),
                Some(s) => s.split_once('/').and_then(|(u, g)| Some((number(u)?, number(g)?)))?,
            };
            if first > last || last > HIGHEST || used == 0 || used > group {
                return None;
            }
            set.extend((first..=last).filter(|cpu| (cpu - first) % group < used));
        }
        Some(Self(set))
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuList {
    type Err = ParseCpuListError;

    fn from_str(text: &str) -> Result<Self, ParseCpuListError> {
        Self::parse(text).ok_or_else(|| ParseCpuListError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_kernels_forms() {
        for (text, printed) in [
            ("", ""),
            ("\n", ""),
            ("0", "0"),
            ("0-3", "0-3"),
            ("3,1,2", "1-3"),
            ("0-7:1/2", "0,2,4,6"),
            ("0-15:2/4\n", "0-1,4-5,8-9,12-13"),
            ("0,0,0", "0"),
        ] {
            assert_eq!(text.parse::<CpuList>().unwrap().to_string(), printed, "{text:?}");
        }
        for bad in
            ["3-1", ",", "1,", "a", "-1", "1-", "0-3:0/2", "0-3:3/2", "0-99999999", "+1", "1 2"]
        {
            assert!(bad.parse::<CpuList>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_parses(cpus in prop::collection::btree_set(0u32..9000, 0..200)) {
            let list: CpuList = cpus.into_iter().collect();
            prop_assert_eq!(list.to_string().parse(), Ok(list));
        }

        #[test]
        fn never_panics(text in "[-0-9,:/ ]{0,20}") {
            let _ = text.parse::<CpuList>();
        }
    }
}

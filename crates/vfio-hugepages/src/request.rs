//! What is asked for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{Error, PageSize};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Pages that the kernel reserves when it boots.
    Reserve {
        /// Size of a page.
        size: PageSize,
        /// How many.
        count: Count,
    },
    /// Pages of 2 MiB that a unit reserves while the system runs, without a reboot.
    AtRuntime {
        /// How many.
        count: Count,
    },
    /// None.
    Off,
}

/// How many pages, and where.
///
/// It prints as it is read: `8`, or `0=4,1=4`.
///
/// ```
/// use vfio_hugepages::Count;
/// let count: Count = "1=4,0=2".parse()?;
/// assert_eq!((count.total(), count.to_string()), (6, "0=2,1=4".to_owned()));
/// assert_eq!("8".parse::<Count>()?, Count::from(8));
/// # Ok::<(), vfio_hugepages::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many, wherever the kernel puts them: as many on each NUMA node, if it can.
    Anywhere(u64),
    /// So many on each of these NUMA nodes.
    OnNodes(BTreeMap<u32, u64>),
}

impl Count {
    /// How many pages there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        match self {
            Self::Anywhere(count) => *count,
            Self::OnNodes(nodes) => nodes.values().fold(0, |sum, n| sum.saturating_add(*n)),
        }
    }

    /// The nodes that are named, with what is asked of each.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let nodes = match self {
            Self::Anywhere(_) => None,
            Self::OnNodes(nodes) => Some(nodes),
        };
        nodes.into_iter().flatten().map(|(node, count)| (*node, *count))
    }

    /// Each count between `separator` and a node before it.
    fn joined(&self, separator: char) -> String {
        let nodes: Vec<String> =
            self.nodes().map(|(node, count)| format!("{node}{separator}{count}")).collect();
        if nodes.is_empty() { self.total().to_string() } else { nodes.join(",") }
    }

    /// The value of `hugepages=`.
    pub(crate) fn parameter(&self) -> String {
        self.joined(':')
    }
}

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Self::Anywhere(count)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined('='))
    }
}

impl FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let wrong = || Error::NotACount(text.chars().take(40).collect());
        if let Some(count) = number(text) {
            return Ok(Self::Anywhere(count));
        }
        let mut nodes = BTreeMap::new();
        for item in text.split(',') {
            let (node, count) = item.split_once('=').ok_or_else(wrong)?;
            let node = number(node).and_then(|node| u32::try_from(node).ok()).ok_or_else(wrong)?;
            if nodes.insert(node, number(count).ok_or_else(wrong)?).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self::OnNodes(nodes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_count_is_an_error() {
        for bad in ["", "x", "-1", "+1", "0=", "=1", "0=1,", "0=1,0=2", "4294967296=1", "0:1"] {
            assert!(bad.parse::<Count>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_prints(
            nodes in prop::collection::btree_map(any::<u32>(), any::<u64>(), 1..9),
            count: u64,
        ) {
            for count in [Count::OnNodes(nodes), Count::Anywhere(count)] {
                prop_assert_eq!(count.to_string().parse::<Count>().unwrap(), count);
            }
        }

        #[test]
        fn never_panics(text in "[-0-9=,:]{0,20}") {
            let _ = text.parse::<Count>();
        }
    }
}

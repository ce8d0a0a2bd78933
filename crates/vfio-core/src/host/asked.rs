//! Huge pages that were asked for, as a kernel command line and a file of ours say it.

use crate::{Cmdline, layout};

/// Huge pages of one size that were asked for in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedPages {
    /// Size of one page in KiB.
    pub size_kib: u64,
    /// The NUMA node that they are to be on; `None` leaves it to the kernel.
    pub node: Option<u32>,
    /// How many.
    pub count: u64,
}

impl AskedPages {
    /// What a kernel with this command line reserves when it boots
    /// (`Documentation/admin-guide/mm/hugetlbpage.rst`); malformed counts are left out.
    #[must_use]
    pub fn at_boot(line: &Cmdline) -> Vec<Self> {
        const DEFAULT: u64 = 2 << 10;
        let default = line.value("default_hugepagesz").and_then(size_kib).unwrap_or(DEFAULT);
        let (mut size, mut asked) = (Some(default), Vec::new());
        for (name, value) in line.iter().filter_map(|word| word.split_once('=')) {
            match name {
                "hugepagesz" => size = size_kib(value),
                "hugepages" => {
                    let Some(size_kib) = size else { continue };
                    let (node, count) = (None, value.parse());
                    asked.extend(count.map(|count| Self { size_kib, node, count }));
                    asked.extend(value.split(',').filter_map(|item| {
                        let (node, count) = item.split_once(':')?;
                        let (node, count) = (Some(node.parse().ok()?), count.parse().ok()?);
                        Some(Self { size_kib, node, count })
                    }));
                }
                _ => {}
            }
        }
        asked
    }

    /// What is reserved while the system runs: the lines `any COUNT` and `NODE COUNT` of
    /// [`layout::RUNTIME_HUGEPAGES`]; other lines are left out.
    #[must_use]
    pub fn at_runtime(text: &str) -> Vec<Self> {
        let line = |line: &str| {
            let (node, count) = line.split_once(' ')?;
            let node = match node {
                "any" => None,
                node => Some(node.parse().ok()?),
            };
            Some(Self { size_kib: layout::RUNTIME_KIB, node, count: count.trim().parse().ok()? })
        };
        text.lines().filter_map(line).collect()
    }

    /// The memory they take, in KiB.
    #[must_use]
    pub fn kib(&self) -> u64 {
        self.size_kib.saturating_mul(self.count)
    }
}

fn size_kib(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "K" | "k" => Some(number),
        "M" | "m" => number.checked_mul(1 << 10),
        "G" | "g" => number.checked_mul(1 << 20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(line: &str) -> Vec<(u64, Option<u32>, u64)> {
        let asked = AskedPages::at_boot(&line.into());
        asked.iter().map(|pages| (pages.size_kib, pages.node, pages.count)).collect()
    }

    #[test]
    fn counts_belong_to_the_size_before_them() {
        assert_eq!(
            asked("quiet hugepages=3 hugepagesz=1G hugepages=0:4,1:8 hugepagesz=2M hugepages=512"),
            [(2048, None, 3), (1 << 20, Some(0), 4), (1 << 20, Some(1), 8), (2048, None, 512)]
        );
        assert_eq!(asked("default_hugepagesz=1G hugepages=2"), [(1 << 20, None, 2)]);
        assert_eq!(asked("hugepagesz=3X hugepages=1 hugepagesz=1G hugepages=x hugepages"), []);
        let lines = "# 1 2\nany 512\n1 256\nx 1\n2\n";
        let pages = AskedPages::at_runtime(lines);
        assert_eq!(pages.iter().map(AskedPages::kib).collect::<Vec<_>>(), [512 << 11, 256 << 11]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(hugepages=|hugepagesz=|[\\PC 0-9:,]){0,20}") {
            let _ = (AskedPages::at_boot(&text.as_str().into()), AskedPages::at_runtime(&text));
        }
    }
}

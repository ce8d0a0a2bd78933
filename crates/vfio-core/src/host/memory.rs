//! Memory and huge pages, over the whole machine and for each NUMA node.

use crate::{
    Result, Root,
    host::attr::{essential, names, number, numbered, text},
};

const SIZES: &str = "sys/kernel/mm/hugepages";
const NODES: &str = "sys/devices/system/node";

/// Pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Size of one page in KiB: 2048 or 1048576 on x86-64.
    pub size_kib: u64,
    /// Pages that exist.
    pub total: u64,
    /// Pages that nobody uses.
    pub free: u64,
}

/// One NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub number: u32,
    /// Its memory in KiB; zero when the kernel does not say.
    pub total_kib: u64,
    /// Its huge pages, by size.
    pub huge_pages: Vec<HugePages>,
}

/// The memory of a machine; sizes in KiB as in `/proc/meminfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `MemTotal`.
    pub total_kib: u64,
    /// `MemAvailable`.
    pub available_kib: u64,
    /// `Hugetlb`: what huge pages of all sizes take.
    pub hugetlb_kib: u64,
    /// Huge pages of the whole machine, by size.
    pub huge_pages: Vec<HugePages>,
    /// NUMA nodes, by number.
    pub nodes: Vec<Node>,
}

impl Memory {
    /// Reads `/proc/meminfo`, the huge pages of each size
    /// (`Documentation/admin-guide/mm/hugetlbpage.rst`) and the NUMA nodes; zeros and nothing
    /// below a root without them.
    pub fn read(root: &Root) -> Result<Self> {
        let mut memory = Self::parse(&essential(root, "proc/meminfo")?.unwrap_or_default());
        memory.huge_pages = huge_pages(root, SIZES);
        let nodes = numbered(root, NODES, "node").into_iter();
        memory.nodes = nodes
            .map(|(number, name)| {
                let info = text(root, &format!("{NODES}/{name}/meminfo")).unwrap_or_default();
                let own =
                    info.lines().filter_map(|line| line.split_once(&format!("Node {number} ")));
                let own: Vec<_> = own.map(|(_, rest)| rest).collect();
                let huge_pages = huge_pages(root, &format!("{NODES}/{name}/hugepages"));
                Node { number, total_kib: kib(&own.join("\n"), "MemTotal"), huge_pages }
            })
            .collect();
        Ok(memory)
    }

    fn parse(meminfo: &str) -> Self {
        Self {
            total_kib: kib(meminfo, "MemTotal"),
            available_kib: kib(meminfo, "MemAvailable"),
            hugetlb_kib: kib(meminfo, "Hugetlb"),
            ..Self::default()
        }
    }
}

/// The value of one line; zero when there is none.
fn kib(meminfo: &str, key: &str) -> u64 {
    let line = |line: &str| {
        line.strip_prefix(key)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok()
    };
    meminfo.lines().find_map(line).unwrap_or_default()
}

fn huge_pages(root: &Root, dir: &str) -> Vec<HugePages> {
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    let pages = |name: String| {
        let count = |file: &str| number(root, &format!("{dir}/{name}/{file}")).unwrap_or_default();
        let (total, free) = (count("nr_hugepages"), count("free_hugepages"));
        Some(HugePages { size_kib: size(&name)?, total, free })
    };
    let mut found: Vec<_> = names(root, dir).into_iter().filter_map(pages).collect();
    found.sort_by_key(|pages| pages.size_kib);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn b33_reads_sizes_counts_and_nodes_in_order() {
        let node = "sys/devices/system/node/node1";
        let pages = |dir: &str, size: &str| format!("{dir}/hugepages-{size}kB/nr_hugepages");
        let tree = Tree::new()
            .file(
                "proc/meminfo",
                "MemTotalX: 1 kB\nMemTotal:  16 kB\nMemAvailable: 8 kB\nHugetlb: 4 kB\n",
            )
            .file(&pages(SIZES, "2048"), "7\n")
            .file(&format!("{SIZES}/hugepages-2048kB/free_hugepages"), "5\n")
            .file(&pages(SIZES, "1048576"), "\n")
            .file(&pages(SIZES, "x"), "1\n")
            .file(&pages(&format!("{node}/hugepages"), "2048"), "3\n")
            .file(&format!("{node}/meminfo"), "Node 1 MemTotal:   9 kB\n")
            .dir("sys/devices/system/node/node0")
            .file("sys/devices/system/node/online", "0-1\n");
        let memory = Memory::read(&tree.root()).unwrap();
        assert_eq!((memory.total_kib, memory.available_kib, memory.hugetlb_kib), (16, 8, 4));
        let small = |total, free| HugePages { size_kib: 2048, total, free };
        let large = HugePages { size_kib: 1_048_576, total: 0, free: 0 };
        assert_eq!(memory.huge_pages, [small(7, 5), large]);
        let nodes = [
            Node { number: 0, total_kib: 0, huge_pages: vec![] },
            Node { number: 1, total_kib: 9, huge_pages: vec![small(3, 0)] },
        ];
        assert_eq!(memory.nodes, nodes);
        assert_eq!(Memory::read(&Root::empty()).unwrap(), Memory::default());
    }

    proptest! {
        #[test]
        fn never_panics(text in "(MemTotal|[\\PC\n: ]){0,40}") {
            let _ = Memory::parse(&text);
        }
    }
}

//! Memory and huge pages, over the whole machine and for each NUMA node.

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

//! Processors: vendor, features, and how cores, caches and memory nodes belong together.

use std::collections::BTreeSet;

use crate::CpuList;

/// Who made the processor; it decides which IOMMU parameters exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// `GenuineIntel`.
    Intel,
    /// `AuthenticAMD` and `HygonGenuine`.
    Amd,
    /// Any other.
    #[default]
    Other,
}

/// Which kind of core a logical processor belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoreKind {
    /// The only kind, or the fast kind of a hybrid processor.
    #[default]
    Performance,
    /// The economical kind of a hybrid processor.
    Efficiency,
}

/// One logical processor (hardware thread).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalCpu {
    /// Its number.
    pub number: u32,
    /// The socket it sits in.
    pub package: u32,
    /// The threads of its core, itself included.
    pub siblings: CpuList,
    /// The processors that share its last-level (L3) cache; empty when it has none.
    pub l3: CpuList,
    /// The NUMA node it belongs to.
    pub node: Option<u32>,
    /// Its kind of core.
    pub kind: CoreKind,
}

/// The processors of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Who made them.
    pub vendor: Vendor,
    /// What they call themselves.
    pub model: String,
    /// Feature flags of `/proc/cpuinfo` (`vmx`, `svm`, `pdpe1gb`, …).
    pub flags: BTreeSet<String>,
    /// Those that are online, by number.
    pub online: Vec<LogicalCpu>,
    /// Those that the scheduler leaves alone (`isolcpus=`).
    pub isolated: CpuList,
    /// Those without a periodic tick (`nohz_full=`).
    pub nohz_full: CpuList,
}

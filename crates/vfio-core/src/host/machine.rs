//! Everything that planning asks of a machine, in one value.

use crate::host::{Boot, Cpu, Displays, Inputs, Kernels, Memory, Network, Pci, Storage};

/// All facts about one machine: read from a [`Root`](crate::Root), or replayed from a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// PCI devices and IOMMU groups.
    pub pci: Pci,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Installed kernels.
    pub kernels: Kernels,
    /// How it boots.
    pub boot: Boot,
    /// What the mounted file systems and swap stand on.
    pub storage: Storage,
    /// Network interfaces.
    pub network: Network,
    /// Screens.
    pub displays: Displays,
    /// Keyboards and mice.
    pub inputs: Inputs,
}

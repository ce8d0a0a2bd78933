//! Everything that planning asks of a machine, in one value.

use std::collections::BTreeMap;

use crate::{
    Address, Result, Root,
    host::{Boot, Cpu, Detail, Displays, Inputs, Kernels, Memory, Network, Pci, Storage},
};

/// All facts about one machine: read from a [`Root`](crate::Root), or replayed from a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// PCI devices and IOMMU groups.
    pub pci: Pci,
    /// What only some commands ask of each device.
    pub details: BTreeMap<Address, Detail>,
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

impl Machine {
    /// Reads everything; a command that needs little reads the single facts instead.
    pub fn read(root: &Root) -> Result<Self> {
        let pci = Pci::read(root)?;
        let kernels = Kernels::read(root)?;
        Ok(Self {
            details: details(root, &pci)?,
            pci,
            cpu: Cpu::read(root)?,
            memory: Memory::read(root)?,
            kernels,
            boot: Boot::read(root)?,
            storage: Storage::read(root)?,
            network: Network::read(root)?,
            displays: Displays::read(root)?,
            inputs: Inputs::read(root)?,
        })
    }
}

fn details(root: &Root, pci: &Pci) -> Result<BTreeMap<Address, Detail>> {
    let detail = |address| Ok((address, Detail::read(root, address)?));
    pci.devices().iter().map(|device| detail(device.address)).collect()
}

//! Everything that planning asks of a machine, in one value.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Address, Result, Root,
    host::{
        Boot, Cpu, Detail, Displays, Inputs, Kernels, Libvirt, Memory, Modules, Names, Network,
        Pci, Storage,
    },
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
    /// The software that runs guests.
    pub libvirt: Libvirt,
}

impl Machine {
    /// Reads everything; a command that needs little reads the single facts instead.
    pub fn read(root: &Root) -> Result<Self> {
        let pci = Pci::read(root)?;
        let kernels = Kernels::read(root)?;
        Ok(Self {
            details: details(root, &pci, &kernels)?,
            pci,
            cpu: Cpu::read(root)?,
            memory: Memory::read(root)?,
            kernels,
            boot: Boot::read(root)?,
            storage: Storage::read(root)?,
            network: Network::read(root)?,
            displays: Displays::read(root)?,
            inputs: Inputs::read(root)?,
            libvirt: Libvirt::read(root)?,
        })
    }
}

/// Details with names, and with the drivers that any installed kernel has, the running one's first.
fn details(root: &Root, pci: &Pci, kernels: &Kernels) -> Result<BTreeMap<Address, Detail>> {
    let names = Names::read(root, pci)?;
    let installed = kernels.installed.iter().map(|kernel| &kernel.release);
    let mut releases: Vec<&String> = kernels.running.iter().chain(installed).collect();
    let mut seen = BTreeSet::new();
    releases.retain(|release| seen.insert(*release));
    let of_release = |release: &&String| Modules::read(root, release);
    let modules: Vec<Modules> = releases.iter().map(of_release).collect::<Result<_>>()?;
    let mut details = BTreeMap::new();
    for device in pci.devices() {
        let mut detail = Detail::read(root, device.address)?;
        detail.name = names.describe(device).into_owned();
        if let Some(alias) = &device.modalias {
            detail.modules = each_once(modules.iter().flat_map(|of| of.candidates(alias)));
            detail.built_in = each_once(modules.iter().flat_map(|of| of.built_in(alias)));
        }
        details.insert(device.address, detail);
    }
    Ok(details)
}

fn each_once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

//! Installed kernels: what is below `/boot`, and what each can do.

use std::collections::BTreeMap;

/// How a kernel has a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// Part of the kernel image.
    BuiltIn,
    /// A module below `/lib/modules`.
    Module,
    /// Not at all, as far as the tree says.
    #[default]
    Missing,
}

/// One installed kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it (`6.1.0-56-amd64`).
    pub release: String,
    /// Its image, relative to the root (`boot/vmlinuz-6.1.0-56-amd64`).
    pub image: String,
    /// Its initial RAM file system, relative to the root.
    pub initrd: Option<String>,
    /// How it has vfio-pci.
    pub vfio_pci: Availability,
    /// How it has vfio_iommu_type1.
    pub vfio_iommu: Availability,
    /// The `CONFIG_` options of `/boot/config-RELEASE` that planning asks for, without the prefix
    /// (`INTEL_IOMMU_DEFAULT_ON`): `y`, `m` or a value. Empty when there is no such file; an
    /// option that is not set is absent.
    pub config: BTreeMap<String, String>,
}

impl Kernel {
    /// Major and minor version; zeros when the release does not start with two numbers.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let mut numbers = self.release.split(['.', '-', '+']).map(|part| part.parse().ok());
        let mut next = || numbers.next().flatten();
        next().zip(next()).unwrap_or_default()
    }
}

/// The kernels of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// Those installed, newest first.
    pub installed: Vec<Kernel>,
    /// The release that runs now; `None` below another root.
    pub running: Option<String>,
}

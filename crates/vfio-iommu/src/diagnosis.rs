//! Why a machine has no IOMMU groups, found in sysfs and the command line alone: `dmesg` says
//! "IOMMU enabled" only when a parameter was given, so it proves nothing.

use std::fmt;

use vfio_core::{
    Cmdline,
    host::{Machine, Vendor},
};

/// What keeps the IOMMU groups away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// No PCI device is known: another root, or a described machine without any.
    NoDevices,
    /// The firmware does not describe an IOMMU.
    Firmware {
        /// Whose it would be.
        vendor: Vendor,
    },
    /// The firmware has it on, the kernel does not drive it.
    Kernel {
        /// Whose it is.
        vendor: Vendor,
        /// Parameters on the running kernel's command line that switch it off.
        switched_off: Vec<String>,
    },
    /// The kernel drives it, and there are no groups all the same.
    NoGroups {
        /// Whose it is.
        vendor: Vendor,
        /// The units that the kernel drives.
        units: Vec<String>,
    },
}

/// Finds out why there are no groups.
pub(crate) fn diagnose(machine: &Machine) -> Diagnosis {
    let (vendor, iommu) = (machine.cpu.vendor, &machine.boot.iommu);
    if machine.pci.devices().is_empty() {
        Diagnosis::NoDevices
    } else if !iommu.units.is_empty() {
        Diagnosis::NoGroups { vendor, units: iommu.units.clone() }
    } else if iommu.table.is_some() {
        Diagnosis::Kernel { vendor, switched_off: switched_off(&machine.boot.cmdline) }
    } else {
        Diagnosis::Firmware { vendor }
    }
}

/// The parameters that switch the IOMMU off; the last of a name counts.
fn switched_off(line: &Cmdline) -> Vec<String> {
    let off = |name: &&str| line.value(name).is_some_and(|v| v.split(',').any(|w| w == "off"));
    let mut found: Vec<_> = ["intel_iommu", "amd_iommu", "iommu"].into_iter().filter(off).collect();
    found.sort_unstable();
    found.into_iter().map(|name| format!("{name}=off")).collect()
}

/// The parameter that switches interrupt remapping off, which VFIO needs for isolation.
pub(crate) fn remapping_off(line: &Cmdline) -> Option<&'static str> {
    if line.value("intremap") == Some("off") {
        return Some("intremap=off");
    }
    line.value("nointremap").is_some().then_some("nointremap")
}

/// What firmware menus call it.
fn name(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Intel => "VT-d",
        Vendor::Amd => "AMD-Vi (`IOMMU`, sometimes below `AMD CBS`)",
        Vendor::Other => "the IOMMU (`VT-d`, `AMD-Vi`)",
    }
}

impl Diagnosis {
    pub(crate) fn because(&self) -> Vec<String> {
        match self {
            Self::Kernel { switched_off, .. } => {
                let line = |p: &String| format!("`{p}` is on the kernel's command line");
                switched_off.iter().map(line).collect()
            }
            Self::NoGroups { units, .. } => vec![format!("the kernel drives {}", units.join(", "))],
            Self::NoDevices => Vec::new(),
            Self::Firmware { .. } => {
                vec!["there is neither a DMAR nor an IVRS table from the firmware".to_owned()]
            }
        }
    }

    pub(crate) fn help(&self) -> Vec<String> {
        let text = match self {
            Self::NoDevices => "run it on the machine itself, or with `--machine FILE`".to_owned(),
            Self::Firmware { vendor } => {
                format!("switch {} on in the firmware setup, and boot again", name(*vendor))
            }
            Self::Kernel { switched_off, .. } if !switched_off.is_empty() => {
                format!(
                    "take `{}` off the command line, and boot again",
                    switched_off.join("` and `")
                )
            }
            Self::Kernel { vendor: Vendor::Intel, .. } => {
                "boot with `intel_iommu=on`: this kernel leaves it off by itself".to_owned()
            }
            Self::Kernel { vendor: Vendor::Amd, .. } => {
                "it is on by itself on AMD: `dmesg | grep AMD-Vi` shows why not here".to_owned()
            }
            Self::Kernel { .. } | Self::NoGroups { .. } => {
                "`dmesg | grep -e DMAR -e AMD-Vi` shows what went wrong".to_owned()
            }
        };
        vec![text]
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDevices => "there are no PCI devices to choose from",
            Self::Firmware { .. } => "there are no IOMMU groups: the IOMMU is off in the firmware",
            Self::Kernel { .. } => "there are no IOMMU groups: the kernel leaves the IOMMU off",
            Self::NoGroups { .. } => "there are no IOMMU groups although the IOMMU is on",
        })
    }
}

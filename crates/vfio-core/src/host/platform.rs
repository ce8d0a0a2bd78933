//! What only a diagnosis asks: lockdown, interrupt remapping, the firmware's framebuffer, memory
//! windows of cards. None of it is part of a machine snapshot.

use std::collections::BTreeMap;

use crate::{
    Address, Root,
    host::{Pci, attr::text},
};

/// State of the running kernel and its devices; what cannot be told is `None` or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// The lockdown in force: `none`, `integrity` or `confidentiality` (`kernel_lockdown(7)`).
    pub lockdown: Option<String>,
    /// Whether interrupts are remapped, which keeps a guest from forging the host's: told by the
    /// names of the controllers in `/proc/interrupts` (`IR-PCI-MSI`).
    pub remapping: Option<bool>,
    /// The driver that draws the console (`/proc/fb`): `simpledrmdrmfb`, `EFI VGA`, `amdgpudrmfb`.
    pub framebuffer: Option<String>,
    /// The largest memory window (BAR) of each display device, in bytes.
    pub windows: BTreeMap<Address, u64>,
    /// Whether a device can be reset; only where the kernel tells it of any
    /// (`/sys/bus/pci/devices/*/reset`).
    pub resettable: BTreeMap<Address, bool>,
}

impl Platform {
    /// Reads the running kernel's state below `root`; nothing is known of a tree that does not run.
    #[must_use]
    pub fn read(root: &Root, pci: &Pci) -> Self {
        let displays = || pci.devices().iter().filter(|device| device.class.is_display());
        let at = |address: Address, name| format!("sys/bus/pci/devices/{address}/{name}");
        let window = |address| Some((address, largest(&text(root, &at(address, "resource"))?)?));
        let can = |address| (address, root.exists(&at(address, "reset")).unwrap_or(false));
        let mut resettable: BTreeMap<Address, bool> =
            pci.devices().iter().map(|device| can(device.address)).collect();
        if !resettable.values().any(|can| *can) {
            resettable.clear();
        }
        Self {
            lockdown: text(root, "sys/kernel/security/lockdown").and_then(|t| chosen(&t)),
            remapping: text(root, "proc/interrupts").and_then(|text| remapped(&text)),
            framebuffer: text(root, "proc/fb").and_then(|text| first_framebuffer(&text)),
            windows: displays().filter_map(|device| window(device.address)).collect(),
            resettable,
        }
    }
}

/// The word in brackets: `none [integrity] confidentiality`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Whether any controller of `/proc/interrupts` remaps; `None` when none is of a known kind.
fn remapped(text: &str) -> Option<bool> {
    let words = || text.split_whitespace();
    let known = |word: &str| word.starts_with("PCI-MSI") || word.starts_with("IO-APIC");
    if words().any(|word| word.strip_prefix("IR-").is_some_and(known)) {
        return Some(true);
    }
    words().any(known).then_some(false)
}

/// `0 simpledrmdrmfb`, a line each.
fn first_framebuffer(text: &str) -> Option<String> {
    let (number, name) = text.lines().next()?.split_once(' ')?;
    number.parse::<u32>().ok()?;
    Some(name.trim().to_owned())
}

/// The size of the largest region of a `resource` file that is memory: a line `START END FLAGS` each
/// (`Documentation/PCI/sysfs-pci.rst`; `IORESOURCE_MEM` is 0x200).
fn largest(text: &str) -> Option<u64> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let size = |line: &str| {
        let mut words = line.split_whitespace().map(number);
        let (start, end, flags) = (words.next()??, words.next()??, words.next()??);
        let size = end.checked_sub(start)?.checked_add(1)?;
        (flags & 0x200 != 0 && end > 0).then_some(size)
    };
    // The regions of the device itself; ROM and windows of bridges come behind them.
    text.lines().take(6).filter_map(size).max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn reads_the_running_kernel() {
        let card = "sys/bus/pci/devices/0000:01:00.0";
        let region = "0x0000006000000000 0x00000063ffffffff 0x000000000014220c\n\
            0x0000000000003000 0x000000000000307f 0x0000000000040101\n";
        let tree = Tree::new()
            .file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
            .file("proc/interrupts", "  CPU0\n 24: 0 IR-PCI-MSI 1024-edge nvme0q0\n")
            .file("proc/fb", "0 simpledrmdrmfb\n1 amdgpudrmfb\n")
            .file(&format!("{card}/uevent"), "PCI_CLASS=30000\nPCI_ID=10DE:2484\n")
            .file(&format!("{card}/reset"), "")
            .file(&format!("{card}/resource"), region);
        let root = tree.root();
        let pci = Pci::read(&root).unwrap();
        let platform = Platform::read(&root, &pci);
        let address: Address = "0000:01:00.0".parse().unwrap();
        assert_eq!(platform.lockdown.as_deref(), Some("integrity"));
        assert_eq!(platform.remapping, Some(true));
        assert_eq!(platform.framebuffer.as_deref(), Some("simpledrmdrmfb"));
        assert_eq!(platform.windows[&address], 16 << 30);
        assert_eq!(platform.resettable.get(&address), Some(&true));
        assert_eq!(Platform::read(&Root::empty(), &Pci::default()), Platform::default());
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        assert_eq!(remapped(" 1: 9 IO-APIC 1-edge i8042\n"), Some(false));
        assert_eq!(remapped(" 1: 9 IR-IO-APIC 1-edge\n 2: 1 IO-APIC 2-edge timer\n"), Some(true));
        assert_eq!(remapped("CPU0\nNMI: 0\n"), None);
        assert_eq!(chosen("none"), None);
        assert_eq!(first_framebuffer("x y"), None);
        assert_eq!(largest("0x0 0x0 0x0\n"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\PC\n]{0,60}", words in "(0x[0-9a-f]{1,17}[ \n]){0,9}") {
            let _ = (chosen(&text), remapped(&text), first_framebuffer(&text), largest(&words));
        }
    }
}

//! Which PCI devices carry the file systems and the swap that the host lives on.

use crate::Address;

/// One mounted file system or swap area that the host needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The mount point (`/`, `/boot`, `/usr`, …), or `swap`.
    pub mount: String,
    /// The block device as the kernel names it (`nvme0n1p2`, `dm-0`); empty when it has none.
    pub device: String,
    /// The PCI devices under it, through partitions, dm-crypt, LVM, md, btrfs and ZFS.
    pub pci: Vec<Address>,
}

/// What the host's storage stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Every use, in the order of `/proc/self/mountinfo`, then swap.
    pub usages: Vec<Usage>,
}

impl Storage {
    /// The mount points that stand on the device at `address`; empty when none does.
    #[must_use]
    pub fn on(&self, address: Address) -> Vec<&str> {
        let on = |usage: &&Usage| usage.pci.contains(&address);
        self.usages.iter().filter(on).map(|usage| usage.mount.as_str()).collect()
    }
}

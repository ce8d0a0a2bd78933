//! How a machine boots: firmware, boot loader, initial RAM file system, IOMMU.

use crate::Cmdline;

/// The boot loader in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loader {
    /// GRUB 2 whose menu `grub-mkconfig` generates.
    Grub,
    /// GRUB 2 that reads entries from `/boot/loader/entries` (Fedora and its kin).
    GrubBls,
    /// systemd-boot.
    SystemdBoot,
    /// None that is known.
    #[default]
    Unknown,
}

/// What builds the initial RAM file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initramfs {
    /// initramfs-tools (`update-initramfs`, `mkinitramfs`).
    InitramfsTools,
    /// dracut.
    Dracut,
    /// mkinitcpio.
    Mkinitcpio,
    /// None that is known.
    #[default]
    Unknown,
}

/// What firmware and kernel say about the IOMMU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iommu {
    /// The ACPI table that describes it: `DMAR` (Intel) or `IVRS` (AMD); `None` when the firmware
    /// has it switched off.
    pub table: Option<String>,
    /// Units that the kernel drives (`dmar0`, `ivhd0`); empty while it is off.
    pub units: Vec<String>,
}

/// How a machine boots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The boot loader in use.
    pub loader: Loader,
    /// Whether `grub-mkconfig` reads `/etc/default/grub.d/*.cfg` (Debian, Ubuntu).
    pub grub_drop_ins: bool,
    /// What builds the initial RAM file system.
    pub initramfs: Initramfs,
    /// Whether the machine was started by UEFI firmware.
    pub efi: bool,
    /// Whether Secure Boot is on; `None` when the machine does not say.
    pub secure_boot: Option<bool>,
    /// The command line of the running kernel; empty below another root.
    pub cmdline: Cmdline,
    /// The IOMMU.
    pub iommu: Iommu,
    /// `ID` and `ID_LIKE` of `/etc/os-release`, in that order.
    pub distribution: Vec<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub system: String,
}

//! A place: the file system that GRUB has its menu and its variables on, and how GRUB calls what is there.

use super::volume;

/// The id of the firmware's partition, as GRUB writes it.
pub const ESP_ID: &str = "5E1F-C0DE";
/// The trial's variables on that partition.
pub const ESP_VARIABLES: &str = "EFI/deploy-vfio.grubenv";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Ext4,
    Xfs,
    Btrfs,
    /// The menu on btrfs, the variables of the trial on the firmware's partition.
    Esp,
    /// ext4 on a logical volume.
    Lvm,
    /// FAT at `/boot`.
    Fat,
}

impl Place {
    pub const ALL: [Self; 6] =
        [Self::Ext4, Self::Xfs, Self::Btrfs, Self::Esp, Self::Lvm, Self::Fat];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Esp => "esp",
            Self::Lvm => "lvm",
            Self::Fat => "fat",
        }
    }

    /// Whether GRUB can note there that it tries an entry.
    pub fn takes_notes(self) -> bool {
        !matches!(self, Self::Btrfs | Self::Lvm)
    }

    /// The modules with which GRUB reads it.
    pub fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["ext2"],
            Self::Xfs => &["xfs"],
            Self::Btrfs | Self::Esp => &["btrfs"],
            Self::Lvm => &["lvm", "ext2"],
            Self::Fat => &["fat"],
        }
    }

    /// GRUB's name for the file system with the menu, on the disk that it calls `disk`.
    pub fn device(self, disk: &str) -> String {
        match self {
            Self::Esp => format!("{disk},msdos2"),
            Self::Lvm => volume::GRUB.to_owned(),
            _ => format!("{disk},msdos1"),
        }
    }

    /// Where on it is what the system has in `/boot`.
    pub fn boot(self) -> &'static str {
        if self == Self::Fat { "" } else { "/boot" }
    }

    /// GRUB's name for the file with the trial's variables.
    pub fn variables(self, disk: &str) -> String {
        match self {
            Self::Esp => format!("({disk},msdos1)/{ESP_VARIABLES}"),
            _ => format!("({}){}/grub/grubenv", self.device(disk), self.boot()),
        }
    }
}

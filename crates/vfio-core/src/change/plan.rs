//! What will change, as data: each path's old and new image.

use std::{collections::BTreeSet, fmt};

use crate::{
    change::{Image, Stamp},
    layout,
};

/// One path's old and new image. `before` is both the precondition and the undo record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the root.
    pub path: String,
    /// What the path held when the plan was made.
    pub before: Image,
    /// What it will hold.
    pub after: Image,
}

/// What may go wrong with a plan although nothing forbids it, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What may happen, and why.
    pub what: String,
    /// Ways out, one a line.
    pub help: Vec<String>,
}

/// The differences between a draft and the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the journal calls it: the command as it was typed.
    pub title: String,
    /// In path order, each path once, each a true difference.
    pub changes: Vec<Change>,
    /// What the user should read beside the plan.
    pub notes: Vec<String>,
    /// What the user must read before saying yes; not kept in the journal.
    pub warnings: Vec<Warning>,
    /// What is rebuilt although none of the changes asks for it: what operations left that were taken back
    /// before.
    pub owed: BTreeSet<Rebuild>,
    /// How far the journal had come when it was begun.
    pub begun: Stamp,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Both, one after the other, as one: from what there was before the first to what there is after
    /// the other. What the other brings back to that is no change.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        for change in later.changes {
            match self.changes.iter_mut().find(|earlier| earlier.path == change.path) {
                Some(earlier) => earlier.after = change.after,
                None => self.changes.push(change),
            }
        }
        self.changes.retain(|change| change.before != change.after);
        self.changes.sort_by(|one, two| one.path.cmp(&two.path));
        self.notes.extend(later.notes);
        self.warnings.extend(later.warnings);
        self.owed.extend(later.owed);
        self
    }

    /// What must be rebuilt once the files are in place, in the order of rebuilding.
    ///
    /// But for what is owed, this follows from the paths alone, so it holds for a plugin's draft too.
    #[must_use]
    pub fn rebuilds(&self) -> BTreeSet<Rebuild> {
        let of_changes = self.changes.iter().filter_map(|change| Rebuild::after(&change.path));
        of_changes.chain(self.owed.iter().copied()).collect()
    }
}

/// What programs of the distribution derive from files that we edit; a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rebuild {
    /// systemd's view of its units (`systemctl daemon-reload`).
    Units,
    /// Loaded AppArmor profiles (`apparmor_parser`).
    AppArmor,
    /// Whether libvirt's daemons know that there are hooks (SIGHUP).
    Hooks,
    /// What libvirt's daemons know of the guests that are defined.
    Guests,
    /// The initial RAM file systems (`mkinitramfs` and its kin).
    Initramfs,
    /// The boot menu (`update-grub`).
    BootMenu,
    /// What GRUB is to try at the next boot (`grub-editenv`).
    Trial,
    /// The same for what is taken back or done again: GRUB has tried it, or may have, and never does twice.
    NoTrial,
}

impl fmt::Display for Rebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Units => "systemd's units",
            Self::AppArmor => "the AppArmor profiles",
            Self::Hooks => "what libvirt knows of its hooks",
            Self::Guests => "what libvirt knows of its guests",
            Self::Initramfs => "the initramfs",
            Self::BootMenu => "the boot menu",
            Self::Trial | Self::NoTrial => "GRUB's note of what to try once",
        })
    }
}

impl Rebuild {
    /// What goes stale when `path` changes.
    #[must_use]
    pub fn after(path: &str) -> Option<Self> {
        const SOURCES: &[(&str, Rebuild)] = &[
            ("etc/systemd/", Rebuild::Units),
            ("etc/apparmor.d/", Rebuild::AppArmor),
            ("etc/libvirt/hooks/", Rebuild::Hooks),
            ("etc/initramfs-tools/", Rebuild::Initramfs),
            ("etc/dracut.conf.d/", Rebuild::Initramfs),
            ("usr/lib/dracut/modules.d/", Rebuild::Initramfs),
            ("etc/mkinitcpio", Rebuild::Initramfs),
            ("etc/modprobe.d/", Rebuild::Initramfs),
            (layout::TRIAL, Rebuild::Trial),
            ("etc/default/grub", Rebuild::BootMenu),
            ("etc/grub.d/", Rebuild::BootMenu),
            ("etc/deploy-vfio/entries.d/", Rebuild::BootMenu),
            ("etc/deploy-vfio/cmdline.d/", Rebuild::BootMenu),
        ];
        if layout::guest(path).is_some() {
            return Some(Self::Guests);
        }
        SOURCES.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, rebuild)| *rebuild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rebuilds_follow_from_paths() {
        for (path, rebuild) in [
            ("etc/default/grub", Some(Rebuild::BootMenu)),
            ("etc/default/grub.d/deploy-vfio.cfg", Some(Rebuild::BootMenu)),
            ("etc/initramfs-tools/scripts/init-top/deploy-vfio", Some(Rebuild::Initramfs)),
            ("usr/lib/dracut/modules.d/90deploy-vfio/bind", Some(Rebuild::Initramfs)),
            ("etc/apparmor.d/local/abstractions/libvirt-qemu", Some(Rebuild::AppArmor)),
            ("etc/libvirt/qemu.conf", None),
            ("etc/libvirt/hooks/qemu.d/50-deploy-vfio", Some(Rebuild::Hooks)),
            ("etc/libvirt/qemu/win 10.xml", Some(Rebuild::Guests)),
            ("etc/libvirt/qemu/networks/default.xml", None),
            ("etc/deploy-vfio/hooks.toml", None),
        ] {
            assert_eq!(Rebuild::after(path), rebuild, "{path}");
        }
    }
}

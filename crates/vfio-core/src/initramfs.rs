//! What builds the initial RAM file system of a system.

use crate::Root;

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

impl Initramfs {
    /// Told by the programs below `root`, then by their settings; never by the distribution, as
    /// Ubuntu changed from one to the other.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        let exists = |path: &&str| root.exists(path).unwrap_or(false);
        // Debian's dracut may bring an `update-initramfs` that calls it, and where there is none,
        // mkinitramfs is only left over.
        let update = root.text("usr/sbin/update-initramfs").ok().flatten();
        let calls_dracut =
            |script: String| script.contains("dracut") && !script.contains("mkinitramfs");
        let known = update.map(|script| match calls_dracut(script) {
            true => Self::Dracut,
            false => Self::InitramfsTools,
        });
        let places: [(Self, &[&str]); 6] = [
            (Self::Dracut, &["usr/bin/dracut", "usr/sbin/dracut"]),
            (Self::InitramfsTools, &["usr/sbin/mkinitramfs"]),
            (Self::Mkinitcpio, &["usr/bin/mkinitcpio", "usr/sbin/mkinitcpio"]),
            (Self::InitramfsTools, &["etc/initramfs-tools"]),
            (Self::Dracut, &["etc/dracut.conf", "etc/dracut.conf.d"]),
            (Self::Mkinitcpio, &["etc/mkinitcpio.conf"]),
        ];
        let found = || places.into_iter().find(|(_, paths)| paths.iter().any(exists));
        known.or_else(|| found().map(|(tool, _)| tool)).unwrap_or_default()
    }

    /// The program that builds one image.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            Self::InitramfsTools => Some("mkinitramfs"),
            Self::Dracut => Some("dracut"),
            Self::Mkinitcpio => Some("mkinitcpio"),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn the_programs_that_are_there_tell_what_builds_it() {
        for (paths, expected) in [
            (&[][..], Initramfs::Unknown),
            (&["usr/sbin/mkinitramfs"], Initramfs::InitramfsTools),
            (&["usr/bin/dracut", "etc/initramfs-tools/x"], Initramfs::Dracut),
            (&["usr/bin/mkinitcpio"], Initramfs::Mkinitcpio),
            (&["etc/initramfs-tools/modules"], Initramfs::InitramfsTools),
        ] {
            let tree = paths.iter().fold(Tree::new(), |tree, path| tree.file(path, ""));
            assert_eq!(Initramfs::of(&tree.root()), expected, "{paths:?}");
        }
    }

    /// Debian's dracut drives initramfs-tools away, but not initramfs-tools-core.
    #[test]
    fn where_dracut_took_over_mkinitramfs_is_a_remainder() {
        let both = || Tree::new().file("usr/sbin/mkinitramfs", "").file("usr/bin/dracut", "");
        assert_eq!(Initramfs::of(&both().root()), Initramfs::Dracut);
        let update = |script| both().file("usr/sbin/update-initramfs", script);
        assert_eq!(Initramfs::of(&update("mkinitramfs -o").root()), Initramfs::InitramfsTools);
        assert_eq!(Initramfs::of(&update("exec dracut --force").root()), Initramfs::Dracut);
    }
}

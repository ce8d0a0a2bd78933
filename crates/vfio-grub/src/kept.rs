//! What a rebuild must leave as it was: how the normal entries boot, and what opens the host's disks.
//!
//! The distribution's generators read more than a plan changes. A setting that was edited and never
//! taken into the menu, or a driver that is not packed any more, takes effect with whatever rebuilds
//! next. Then that is refused, and a person rebuilds first and looks.
//!
//! Invariant: what the plan itself changes is never a fault here.

use std::collections::BTreeSet;

use vfio_core::{
    Result, Root,
    change::{Artefact, Draft, edit},
};

use crate::{DEFAULTS, DROP_IN, Menu, MenuEntry, parameters, render::settings};

/// What tells a person how to go on.
const FIRST: &str = "something besides this plan changed since they were built: run `update-grub` \
                     and `update-initramfs -u -k all`, see that the machine boots, then try again";

/// Where an initial RAM file system has the drivers of disks and of file systems.
const DRIVERS: [&str; 9] = [
    "/kernel/fs/",
    "/kernel/drivers/ata/",
    "/kernel/drivers/block/",
    "/kernel/drivers/md/",
    "/kernel/drivers/mmc/",
    "/kernel/drivers/nvme/",
    "/kernel/drivers/scsi/",
    "/kernel/drivers/usb/storage/",
    "/kernel/drivers/virtio/",
];

/// Programs, scripts and settings that open disks before the root is there.
const OPENERS: [&str; 8] =
    ["btrfs", "cryptroot", "crypttab", "cryptsetup", "lvm", "lvm2", "mdadm", "zpool"];

/// What is the plan's to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Kernel parameters of fragments, those of before among them.
    ours: BTreeSet<String>,
    /// Whether the plan changes what the user tells GRUB.
    settings: bool,
}

impl Kept {
    pub(crate) fn of(draft: &Draft<'_>) -> Result<Self, crate::Error> {
        let before = Draft::new(draft.root());
        let mut ours = BTreeSet::new();
        for line in [parameters(draft)?, parameters(&before)?] {
            ours.extend(line.iter().map(str::to_owned));
        }
        Ok(Self { ours, settings: settings_differ(draft, &before)? })
    }

    /// Normal entries that are in both menus boot the same, but for what is ours.
    pub(crate) fn check_menu(&self, old: &Menu, new: &Menu, faults: &mut Vec<String>) {
        if self.settings {
            return;
        }
        let mut normal = old.entries.iter().enumerate().filter(|(_, e)| e.is_distribution_s());
        let differs = normal.find_map(|(at, entry)| {
            let same = |other: &&MenuEntry| other.id == entry.id;
            // People copy an entry with its id.
            let nth = old.entries[..at].iter().filter(same).count();
            let now = new.entries.iter().filter(same).nth(nth)?;
            let (was, is) = (self.boots(entry), self.boots(now));
            (was != is).then(|| {
                format!("the normal entry `{}` would boot `{is}`, not `{was}`", entry.title)
            })
        });
        if let Some(fault) = differs {
            faults.extend([fault, FIRST.to_owned()]);
        }
    }

    /// What an entry boots, without what is ours.
    fn boots(&self, entry: &MenuEntry) -> String {
        let theirs = |word: &&str| !word.starts_with("deploy_vfio.") && !self.ours.contains(*word);
        let words = entry.arguments.iter().filter(theirs);
        std::iter::once(entry.kernel.as_str()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Whether what a person tells GRUB differs, our file and our block left out.
fn settings_differ(draft: &Draft<'_>, before: &Draft<'_>) -> Result<bool, crate::Error> {
    let mut paths: BTreeSet<String> = settings(draft)?.into_iter().collect();
    paths.extend(settings(before)?);
    for path in paths.iter().filter(|path| *path != DROP_IN) {
        let text = |draft: &Draft<'_>| -> Result<Vec<u8>> {
            let text = draft.bytes(path)?.unwrap_or_default();
            Ok(if path == DEFAULTS { edit::remove_block(&text) } else { text })
        };
        if text(draft)? != text(before)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What opens disks is in a new initial RAM file system if it was in the old one: programs, and those
/// drivers that the running kernel has loaded.
pub(crate) fn check_image(root: &Root, image: &Artefact, faults: &mut Vec<String>) -> Result<()> {
    let (Some(old), Some(new)) = (&image.replaces, &image.listing) else { return Ok(()) };
    let new: BTreeSet<&str> = new.iter().map(|path| name(path)).collect();
    let mut lost = BTreeSet::new();
    for path in old.iter().filter(|path| !new.contains(name(path))) {
        let name = name(path);
        let needed = match name.strip_suffix(".ko") {
            Some(module) if DRIVERS.iter().any(|dir| path.contains(dir)) => {
                root.exists(&format!("sys/module/{}", module.replace('-', "_")))?
            }
            _ => OPENERS.contains(&name) && !path.contains("/kernel/"),
        };
        if needed {
            lost.insert(name);
        }
    }
    if !lost.is_empty() {
        let lost = lost.into_iter().collect::<Vec<_>>().join(", ");
        faults.push(format!("/{} would be without {lost}, which it has now", image.path));
        faults.push(FIRST.to_owned());
    }
    Ok(())
}

/// A file's name; of a module without what tells how it is packed.
fn name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.split_once(".ko.") {
        Some((module, _)) => &name[..module.len() + ".ko".len()],
        None => name,
    }
}

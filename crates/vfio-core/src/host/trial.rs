//! An entry that is tried at one boot: what GRUB's variables and our notes say of it.
//!
//! GRUB takes the entry only after it has noted that it does (`save_env`), so a boot that hangs,
//! panics or stays dark is followed by one of the earlier default, whatever ends it. It notes that
//! beside its menu, or else on the firmware's partition; where it can do neither, nothing is tried:
//! [`notebook`].

use crate::{
    Cmdline, Result, Root,
    grubenv::{value, variable},
    host::{Finding, storage},
    layout::{
        ESP_GRUBENV, ESPS, GRUBENV, TRIAL, TRIAL_CONF, TRIAL_NEXT, TRIAL_WORD, TRIED, VERDICT,
    },
};

/// The file in which GRUB can note that it tries an entry: the one beside its menu, where it can write
/// that or nobody can say, or one on the firmware's partition; why there is none, if there is none.
pub fn notebook(root: &Root) -> Result<Result<String, String>> {
    let Some(why) = unwritable(root, "boot/grub")? else { return Ok(Ok(GRUBENV.to_owned())) };
    for esp in ESPS {
        let mount = storage::mount_of(root, &format!("/{esp}"))?;
        let fits = mount.is_some_and(|mount| mount.is_at(esp) && mount.kind == "vfat");
        let (dir, _) = ESP_GRUBENV.rsplit_once('/').unwrap_or_default();
        if fits && unwritable(root, esp)?.is_none() && root.exists(&format!("{esp}/{dir}"))? {
            return Ok(Ok(format!("{esp}/{ESP_GRUBENV}")));
        }
    }
    Ok(Err(format!("{why}, and the firmware's partition is not mounted at /boot/efi or /efi")))
}

/// Why GRUB could not write a file in `dir`; `None` where it can, or where nobody can say.
///
/// It cannot on file systems that move what is written (btrfs, ZFS), nor through LVM and RAID.
fn unwritable(root: &Root, dir: &str) -> Result<Option<String>> {
    let Some(mount) = storage::mount_of(root, &format!("/{dir}"))? else { return Ok(None) };
    let writable = ["ext2", "ext3", "ext4", "xfs", "vfat"];
    if !writable.contains(&mount.kind.as_str()) {
        return Ok(Some(format!("/{dir} is on {}, which GRUB does not write to", mount.kind)));
    }
    for (kind, name) in [("dm", "LVM or an encrypted disk"), ("md", "RAID")] {
        if root.exists(&format!("sys/dev/block/{}/{kind}", mount.number))? {
            return Ok(Some(format!("/{dir} is on {name}, which GRUB does not write to")));
        }
    }
    Ok(None)
}

/// Whether the file system of `/` may be written to.
pub fn root_is_writable(root: &Root) -> Result<bool> {
    let mount = storage::mount_of(root, "/")?;
    Ok(mount.is_some_and(|mount| mount.options.split(',').any(|option| option == "rw")))
}

/// The attempt that the judge's last verdict is about; 0 without one, or where it cannot be read.
#[must_use]
pub fn judged(root: &Root) -> u32 {
    verdict(root).0
}

/// The same, and why that attempt failed.
fn verdict(root: &Root) -> (u32, Vec<String>) {
    let text = root.text(VERDICT).ok().flatten().unwrap_or_default();
    let mut lines = text.lines();
    let known = lines.next() == Some("format=1");
    let attempt = lines.next().filter(|_| known).and_then(|line| line.strip_prefix("attempt="));
    match attempt.and_then(|attempt| attempt.parse().ok()) {
        Some(attempt) => (attempt, lines.map(str::to_owned).collect()),
        None => (0, Vec::new()),
    }
}

/// How far a trial got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The next boot tries it.
    Waits,
    /// This boot is it.
    Runs,
    /// It was tried, and this is the earlier default again; why, where that is known.
    Failed(Vec<String>),
    /// GRUB was not told of it, or its note was taken away.
    Unknown,
}

/// The entry that is tried and how far that got; `None` when nothing is.
pub fn progress(root: &Root, line: &Cmdline) -> Result<Option<(String, Progress)>> {
    let text = match root.text(TRIAL)? {
        Some(text) => text,
        // Somebody took the trial's file, and left its entry.
        None if root.exists(TRIAL_CONF)? => String::new(),
        None => return Ok(None),
    };
    let entry = value(&text, "entry").unwrap_or_else(|| "an unknown entry".to_owned());
    let progress = if line.values(TRIAL_WORD).next().is_some() {
        Progress::Runs
    } else if variable(root, TRIAL_NEXT)?.is_some() {
        Progress::Waits
    } else if variable(root, TRIED)?.is_some() {
        let attempt = value(&text, "attempt").and_then(|attempt| attempt.parse().ok());
        // The notes of an earlier attempt say nothing about this one.
        let (judged, because) = verdict(root);
        Progress::Failed(if attempt == Some(judged) { because } else { Vec::new() })
    } else {
        Progress::Unknown
    };
    Ok(Some((entry, progress)))
}

/// A person's view of it.
pub fn finding(root: &Root, line: &Cmdline) -> Result<Option<Finding>> {
    let Some((entry, progress)) = progress(root, line)? else { return Ok(None) };
    let (ok, text) = match progress {
        Progress::Waits => (true, format!("`{entry}` is tried at the next boot")),
        Progress::Runs => (
            true,
            format!("this is the trial of `{entry}`: it becomes the default once it proves itself"),
        ),
        Progress::Failed(because) => (false, failed(&entry, &because)),
        Progress::Unknown => (
            false,
            format!(
                "`{entry}` is to be tried, but GRUB's variables do not say so: `deploy-vfio trial \
                 off` ends it, then the same command tries it again"
            ),
        ),
    };
    Ok(Some(Finding { ok, text }))
}

/// The story of a trial that failed, and the ways on.
#[must_use]
pub fn failed(entry: &str, because: &[String]) -> String {
    let because = match because {
        [] => "it came to no verdict: it hung, panicked, or was switched off".to_owned(),
        because => because.join("; "),
    };
    format!(
        "the trial of `{entry}` failed, and this is the earlier default again: {because}; `deploy-vfio \
         undo` takes the setup back, the same command tries it again, `journalctl \
         --boot=-1` may tell more"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn env(text: &str) -> String {
        format!("# GRUB Environment Block\n{text}{}", "#".repeat(900))
    }

    #[test]
    fn where_grub_cannot_write_is_told() {
        for (line, block, told) in [
            ("24 1 8:1 / / rw - ext4 /dev/sda1 rw", "", None),
            ("24 1 253:0 / / rw - ext4 /dev/mapper/a rw", "253:0/dm/name", Some("LVM")),
            ("24 1 9:0 / / rw - xfs /dev/md0 rw", "9:0/md/level", Some("RAID")),
            ("24 1 0:30 / / rw - btrfs /dev/sda1 rw", "", Some("btrfs")),
            (
                "24 1 253:0 / / rw - ext4 /dev/x rw\n25 24 8:1 / /boot rw - ext4 /dev/sda1 rw",
                "253:0/dm/name",
                None,
            ),
            (
                "24 1 8:1 / / rw - ext4 /dev/x rw\n25 24 0:31 / /boot/grub rw - zfs bpool rw",
                "",
                Some("zfs"),
            ),
        ] {
            let mut tree = Tree::new().file("proc/self/mountinfo", format!("{line}\n"));
            if !block.is_empty() {
                tree = tree.file(&format!("sys/dev/block/{block}"), "x");
            }
            let why = notebook(&tree.root()).unwrap().err();
            assert_eq!(why.is_some(), told.is_some(), "{line}: {why:?}");
            assert!(why.unwrap_or_default().contains(told.unwrap_or_default()), "{line}");
        }
        assert_eq!(notebook(&Root::empty()).unwrap().as_deref(), Ok(GRUBENV));
    }

    #[test]
    fn the_firmware_s_partition_serves_where_the_menu_s_does_not() {
        const ROOT: &str = "24 1 0:30 / / rw - btrfs /dev/sda2 rw";
        for (esp, made, served) in [
            ("8:1 / /boot/efi rw - vfat /dev/sda1 rw", "boot/efi/EFI/x", Some("boot/efi")),
            ("8:1 / /efi rw - vfat /dev/sda1 rw", "efi/EFI/x", Some("efi")),
            ("8:1 / /boot/efi rw - vfat /dev/sda1 rw", "boot/efi/x", None),
            ("8:1 / /boot/efi rw - exfat /dev/sda1 rw", "boot/efi/EFI/x", None),
            ("9:0 / /boot/efi rw - vfat /dev/md0 rw", "boot/efi/EFI/x", None),
            ("8:1 / /boot/efi/x rw - vfat /dev/sda1 rw", "boot/efi/EFI/x", None),
        ] {
            let mounts = format!("{ROOT}\n25 24 {esp}\n");
            let tree = Tree::new().file("proc/self/mountinfo", mounts).file(made, "");
            let tree = tree.file("sys/dev/block/9:0/md/level", "raid1");
            let path = served.map(|esp| format!("{esp}/{ESP_GRUBENV}"));
            assert_eq!(notebook(&tree.root()).unwrap().ok(), path, "{esp} {made}");
        }
    }

    #[test]
    fn the_story_of_a_trial_is_told_at_each_of_its_stages() {
        let told = |variables: &str, line: &str, verdict: &str| {
            let tree = Tree::new()
                .file(TRIAL, "format = 1\nattempt = 2\nentry = \"deploy-vfio-x\"\n")
                .file(GRUBENV, env(variables))
                .file(VERDICT, verdict);
            finding(&tree.root(), &line.into()).unwrap().unwrap()
        };
        let waits = told("dv_next=deploy-vfio-trial\n", "quiet", "");
        assert!(waits.ok && waits.text.contains("at the next boot"), "{}", waits.text);
        let runs = told("dv_tried=deploy-vfio-trial\n", "deploy_vfio.trial=1", "");
        assert!(runs.ok && runs.text.starts_with("this is the trial"), "{}", runs.text);
        for (verdict, because) in [
            ("", "it came to no verdict"),
            ("format=1\nattempt=1\nold\n", "it came to no verdict"),
            ("format=1\nattempt=2\nno screen\nno disk\n", "again: no screen; no disk; `deploy"),
        ] {
            let failed = told("dv_next=\ndv_tried=deploy-vfio-trial\n", "quiet", verdict);
            assert!(!failed.ok && failed.text.contains(because), "{}", failed.text);
        }
        assert!(!told("", "quiet", "").ok);
        assert_eq!(finding(&Root::empty(), &"".into()).unwrap(), None);
    }
}

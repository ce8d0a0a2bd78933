//! Kernels whose initramfs would bind no device.
//!
//! Invariant: told from the notes of the hook that looks at every initramfs; a note that is older than
//! its initramfs is none, and who may not read the notes is told nothing.

use crate::{Result, Root, host::Finding, layout::UNFIT};

/// One finding for each such kernel.
pub(super) fn findings(root: &Root) -> Result<Vec<Finding>> {
    let names = match root.names(UNFIT) {
        Err(error) if error.is_denied() => return Ok(Vec::new()),
        names => names?,
    };
    let mut findings = Vec::new();
    for version in names.iter().filter(|name| !name.starts_with('.')) {
        let note = root.stat(&format!("{UNFIT}/{version}"))?;
        let image = root.stat(&format!("boot/initrd.img-{version}"))?;
        let (Some(note), Some(image)) = (note, image) else { continue };
        if (image.st_mtime, image.st_mtime_nsec) > (note.st_mtime, note.st_mtime_nsec) {
            continue;
        }
        let lacks = root.text(&format!("{UNFIT}/{version}"))?.unwrap_or_default();
        let lacks: String = lacks.trim().chars().filter(|c| !c.is_control()).take(80).collect();
        let text = format!(
            "the initramfs of Linux {version} lacks {lacks}, so our boot entries start another \
             kernel: `update-initramfs -u -k {version}`, then `update-grub`"
        );
        findings.push(Finding { ok: false, text });
    }
    Ok(findings)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own tree")]
mod tests {
    use std::{
        fs::{self, File},
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    fn a_note_counts_until_the_initramfs_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at(UNFIT)).unwrap();
        fs::create_dir_all(at("boot")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(findings(&root).unwrap(), []);
        fs::write(at("boot/initrd.img-6.1"), "x").unwrap();
        for version in ["6.1", "6.0-gone"] {
            fs::write(at(UNFIT).join(version), "vfio-pci\n").unwrap();
        }
        let found = findings(&root).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].text.starts_with("the initramfs of Linux 6.1 lacks vfio-pci, "));
        let later = SystemTime::now() + Duration::from_secs(9);
        File::options()
            .write(true)
            .open(at("boot/initrd.img-6.1"))
            .unwrap()
            .set_modified(later)
            .unwrap();
        assert_eq!(findings(&root).unwrap(), []);
    }
}

//! File systems that belong to a system and are not mounted: on a disk that somebody mounted from outside,
//! the journal or the boot files may be on another one, and what stands in their place says nothing.
//!
//! Invariant: what cannot be found out is no reason to refuse.

use rustix::fs::Stat;

use crate::{
    Error, Result, Root,
    change::{place::split, shell::quoted},
    octal::unescape,
};

/// One line of `/etc/fstab`.
struct Line {
    source: String,
    dir: String,
    /// Those that `mount` takes, and which matter for what is seen there.
    options: String,
}

/// Options that only fstab itself has, or that say nothing of what is mounted.
const FSTAB_S: [&str; 9] =
    ["defaults", "auto", "noauto", "nofail", "user", "users", "owner", "group", "_netdev"];

/// Refuses where one of `dirs`, or a directory above it, is a file system of its own and not mounted.
pub(crate) fn check(root: &Root, dirs: &[&str]) -> Result<()> {
    let Some(text) = root.text("etc/fstab")? else { return Ok(()) };
    for line in text.lines().filter_map(line) {
        let holds = |dir: &&str| {
            let rest = dir.strip_prefix(line.dir.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if dirs.iter().any(holds) && !is_mounted(root, &line.dir)? {
            return Err(missing(root, &line));
        }
    }
    Ok(())
}

/// A file system of its own, mounted below the root.
fn line(text: &str) -> Option<Line> {
    let mut words = text.split_ascii_whitespace();
    let (source, dir) = (words.next()?, words.next()?);
    let (kind, options) = (words.next()?, words.next().unwrap_or_default());
    let mut options: Vec<_> = options.split(',').filter(|option| !option.is_empty()).collect();
    let bound = options.iter().any(|option| matches!(*option, "bind" | "rbind"));
    let dir = unescape(dir).strip_prefix('/').map(str::to_owned)?;
    let parts = dir.split('/').filter(|part| !matches!(*part, "" | "."));
    let dir = parts.collect::<Vec<_>>().join("/");
    let other = matches!(kind, "swap" | "none" | "tmpfs" | "ramfs");
    options.retain(|option| !FSTAB_S.contains(option) && !option.starts_with("x-"));
    let line = Line { source: unescape(source), dir, options: options.join(",") };
    (!other && !bound && !source.starts_with('#') && !line.dir.is_empty()).then_some(line)
}

/// Whether something is mounted there. What cannot be looked at counts as mounted.
fn is_mounted(root: &Root, dir: &str) -> Result<bool> {
    let device = |stat: Stat| stat.st_dev;
    let Some(here) = root.stat(dir)?.map(device) else { return Ok(false) };
    let above = root.stat(split(dir).0)?.map(device);
    Ok(above.is_none_or(|above| above != here))
}

fn missing(root: &Root, line: &Line) -> Error {
    let at = root.path().join(&line.dir);
    let options = match line.options.as_str() {
        "" => String::new(),
        options => format!("-o {} ", options.escape_debug()),
    };
    let (source, at) = (quoted(&line.source), quoted(&at.display().to_string()));
    Error::Refused {
        what: format!("/{} is not mounted in {}", line.dir.escape_debug(), root.path().display()),
        because: vec![format!("/etc/fstab has it on {}", line.source.escape_debug())],
        help: vec![format!("`mount {options}{source} {at}`")],
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::fs;

    use super::*;
    use crate::Advice;

    fn refused(fstab: &str, dirs: &[&str]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        for path in ["etc", "var/lib", "boot"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("etc/fstab"), fstab).unwrap();
        let error = check(&Root::open(dir.path()).unwrap(), dirs).err()?;
        Some(error.help().join(" ").replace(&dir.path().display().to_string(), "R"))
    }

    #[test]
    fn what_fstab_has_elsewhere_and_nobody_mounted_is_refused() {
        let var = "UUID=a / ext4 rw 0 1\nUUID=b /var ext4 defaults 0 2\n";
        assert_eq!(refused(var, &["var/lib/deploy-vfio"]).as_deref(), Some("`mount UUID=b R/var`"));
        assert_eq!(refused(var, &["boot"]), None);
        assert_eq!(
            refused("/dev/x\t/boot/ ext4 rw\n", &["boot/grub"]).as_deref(),
            Some("`mount -o rw /dev/x R/boot`")
        );
        let sub = "LABEL=my\\040disk //v\\141r/. btrfs defaults,noatime,x-systemd.automount,subvol=@var 0 0";
        assert_eq!(
            refused(sub, &["var/lib/deploy-vfio"]).as_deref(),
            Some("`mount -o noatime,subvol=@var 'LABEL=my disk' R/var`")
        );
        for other in [
            "# UUID=b /var ext4 rw",
            "UUID=b none swap sw",
            "/srv/var /var none bind",
            "/srv/var /var ext4 rw,bind",
            "UUID=b /variable ext4 rw",
            "garbage",
            "tmpfs /var tmpfs rw",
            "ramfs /var ramfs rw",
            "\\ \\9 \\777x \\",
            "",
        ] {
            assert_eq!(refused(other, &["var/lib/deploy-vfio"]), None, "{other}");
        }
    }

    #[test]
    fn what_is_mounted_is_fine() {
        // The running system's /proc is mounted wherever tests run.
        let root = Root::open("/").unwrap();
        assert!(
            is_mounted(&root, "proc").unwrap() && !is_mounted(&root, "nowhere/at/all").unwrap()
        );
    }
}

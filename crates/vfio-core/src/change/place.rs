//! Where a change really happens: the file behind a path, its directory, and the names used
//! beside it on the way.
//!
//! Invariants: a target is a path without symbolic links, resolved inside the root; the name of
//! a file being written ends in `.new~`, that of a complete or displaced one in `.swp~`, so the
//! two are never taken for one another; both start with a dot and end with `~`, which run-parts,
//! grub-mkconfig, initramfs-tools, modprobe, udev and systemd all pass over. libvirt runs every
//! executable in its `*.d` hook directories whatever its name, so those are staged one level up.

use std::{collections::VecDeque, os::fd::OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};

use crate::{
    Error, Result, Root,
    change::{Mtime, defect::defect},
    error::At,
};

/// A link that leads to a link that leads to a link... ends here.
const MOST_LINKS: usize = 40;

/// What the engine leaves alone: the kernel's trees, and what only a generator may write.
const NOT_OURS: &[&str] = &["sys", "proc", "dev", "run", "boot", "efi", "var/lib/deploy-vfio"];

/// A directory inside the root, open.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) fd: OwnedFd,
    pub(crate) path: String,
}

impl Folder {
    /// Opens a directory that must exist.
    pub(crate) fn open(root: &Root, path: &str) -> Result<Self> {
        Self::find(root, path)?
            .ok_or_else(|| std::io::Error::other("it is not a directory, or not there"))
            .at("open", path)
    }

    /// Opens a directory; `None` when there is none.
    pub(crate) fn find(root: &Root, path: &str) -> Result<Option<Self>> {
        let fd = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(fd.map(|fd| Self { fd, path: path.to_owned() }))
    }

    /// The path of `name` in here.
    pub(crate) fn join(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// When a name in here last changed.
    pub(crate) fn time(&self) -> Result<Mtime> {
        Ok(Mtime::of(&rustix::fs::fstat(&self.fd).at("inspect", &self.path)?))
    }
}

/// A target, and the two names beside it that belong to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: String,
    pub(crate) name: String,
    /// Where the two names below are; usually `dir`.
    pub(crate) stage: String,
    /// Being written.
    pub(crate) new: String,
    /// Complete and not yet in place, or displaced.
    pub(crate) swp: String,
}

impl Place {
    pub(crate) fn new(target: &str, tag: &str) -> Self {
        let (dir, name) = split(target);
        let (stage, shown) = match split(dir) {
            ("etc/libvirt/hooks", hooks) => ("etc/libvirt/hooks", format!("{hooks}.{name}")),
            _ => (dir, name.to_owned()),
        };
        let shown = if defect("one-name") { String::new() } else { shown };
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            stage: stage.to_owned(),
            new: format!(".{shown}.{tag}.new~"),
            swp: format!(".{shown}.{tag}.swp~"),
        }
    }

    /// The path of the complete or displaced file.
    pub(crate) fn swp_path(&self) -> String {
        join(&self.stage, &self.swp)
    }
}

/// How operation `id` marks its names.
pub(crate) fn tag(id: u32) -> String {
    format!("dv-{id:06}")
}

/// The directory and the name of a path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The path of `name` in `dir`.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// Every directory above a path, the topmost first, the root itself left out.
pub(crate) fn parents(path: &str) -> Vec<&str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).collect()
}

/// Where `path` leads inside the root once its symbolic links are followed, the last one only
/// if `last`. What does not exist leads to itself.
pub(crate) fn resolve(root: &Root, path: &str, last: bool) -> Result<String> {
    let mut todo: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        if todo.is_empty() && !last {
            break;
        }
        let Some(target) = link(root, &done.join("/"))? else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(refuse(path, "its symbolic links go round in circles", None));
        }
        done.pop();
        if target.starts_with('/') {
            done.clear();
        }
        for part in target.split('/').rev() {
            todo.push_front(part.to_owned());
        }
    }
    Ok(done.join("/"))
}

/// Where the symbolic link `path` points; `None` when it is none.
///
/// # Errors
///
/// Bytes that are no text: a record could not bring them back.
pub(crate) fn link(root: &Root, path: &str) -> Result<Option<String>> {
    let no_text = |_| refuse(path, "it is a symbolic link to a name that is not UTF-8", None);
    root.link_bytes(path)?.map(|to| String::from_utf8(to).map_err(no_text)).transpose()
}

/// Refuses a path that no plan may name.
pub(crate) fn check_path(path: &str) -> Result<()> {
    let odd = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if odd || path.contains('\0') || split(path).1.len() > 200 {
        return Err(refuse(path, "it is not a plain relative path", None));
    }
    let below = |top: &&&str| path == **top || path.starts_with(&format!("{top}/"));
    if let Some(top) = NOT_OURS.iter().find(below) {
        return Err(refuse(path, &format!("nothing below /{top} is edited"), None));
    }
    Ok(())
}

/// Refuses a path through a symbolic link that leads nowhere inside the root: out of it, that is.
pub(crate) fn check_links(root: &Root, path: &str) -> Result<()> {
    for dir in parents(path) {
        if let Some(to) = root.link(dir)?
            && !root.exists(dir)?
        {
            let why = format!("/{dir} is a symbolic link to {to}, which is not there");
            return Err(refuse(path, &why, None));
        }
    }
    Ok(())
}

/// Refuses a target that could not be replaced and put back, before anything is written.
pub(crate) fn check_target(root: &Root, target: &str) -> Result<()> {
    check_path(target)?;
    check_there(root, target, 1)
}

/// The same for what a generator writes, and the journal; those may have more names.
pub(crate) fn check_built(root: &Root, path: &str) -> Result<()> {
    check_there(root, path, u64::MAX)
}

/// The deepest directory that there is on the way to `target`; refused where something else is in the way,
/// a link among others.
pub(crate) fn check_way<'a>(root: &Root, target: &'a str) -> Result<&'a str> {
    let mut deepest = "";
    for dir in parents(target) {
        match root.stat(dir)? {
            None => break,
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                deepest = dir;
            }
            Some(_) => return Err(refuse(target, &format!("/{dir} is not a directory"), None)),
        }
    }
    Ok(deepest)
}

fn check_there(root: &Root, target: &str, most_names: u64) -> Result<()> {
    let deepest = check_way(root, target)?;
    // Looking at a directory takes no right to read it, so that anyone can do a dry run.
    let missing = || Error::Changed { path: deepest.to_owned() };
    let folder = root.open_at(deepest, OFlags::PATH | OFlags::DIRECTORY)?.ok_or_else(missing)?;
    let flags = rustix::fs::fstatvfs(&folder).at("inspect", deepest)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        let help = format!("mount -o remount,rw the file system of /{deepest}");
        return Err(refuse(target, "its file system is mounted read-only", Some(help)));
    }
    check_flags(&folder, target, deepest)?;
    let Some(fd) = root.open_at(target, OFlags::PATH | OFlags::NOFOLLOW)? else { return Ok(()) };
    let stat = rustix::fs::fstat(&fd).at("inspect", target)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink > most_names => {
            let why = format!("it has {} names (hard links), which would part", stat.st_nlink);
            let help = format!("cp -p /{target} /{target}.copy && mv /{target}.copy /{target}");
            return Err(refuse(target, &why, Some(help)));
        }
        FileType::RegularFile | FileType::Symlink => {}
        _ => return Err(refuse(target, "it is not a regular file", None)),
    }
    check_flags(&fd, target, target)
}

fn check_flags(fd: &OwnedFd, target: &str, on: &str) -> Result<()> {
    let Ok(statx) = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) else {
        return Ok(());
    };
    let has = |flag| statx.stx_attributes.contains(flag);
    if has(StatxAttributes::IMMUTABLE) {
        let why = format!("/{on} is immutable");
        return Err(refuse(target, &why, Some(format!("chattr -i /{on}"))));
    }
    if has(StatxAttributes::APPEND) {
        let why = format!("/{on} is append-only");
        return Err(refuse(target, &why, Some(format!("chattr -a /{on}"))));
    }
    if on == target && has(StatxAttributes::MOUNT_ROOT) {
        return Err(refuse(target, "it is a mount point", Some(format!("umount /{on}"))));
    }
    Ok(())
}

pub(crate) fn refuse(path: &str, why: &str, help: Option<String>) -> Error {
    Error::Refused {
        what: format!("/{path} cannot be edited"),
        because: vec![why.to_owned()],
        help: help.map(|help| format!("`{help}`")).into_iter().collect(),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/share/g")).unwrap();
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("usr/share/g/grub"), "x").unwrap();
        symlink("/usr/share/g", dir.path().join("etc/default")).unwrap();
        symlink("../../../../usr/share/g/grub", dir.path().join("etc/grub")).unwrap();
        symlink("loop", dir.path().join("etc/loop")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let leads = |path: &str, last| resolve(&root, path, last).unwrap();
        assert_eq!(leads("etc/default/grub", true), "usr/share/g/grub");
        assert_eq!(leads("etc/grub", true), "usr/share/g/grub");
        assert_eq!(leads("etc/grub", false), "etc/grub");
        assert_eq!(leads("etc/new/file", true), "etc/new/file");
        assert!(resolve(&root, "etc/loop", true).is_err());
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["", "/etc/x", "etc//x", "etc/../x", "proc/x", "boot/grub/grub.cfg", "dev"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        check_path("etc/devices").unwrap();
    }

    #[test]
    fn hooks_that_libvirt_would_run_are_staged_above() {
        let place = Place::new("etc/libvirt/hooks/qemu.d/50-x", "dv-000001");
        assert_eq!(place.swp_path(), "etc/libvirt/hooks/.qemu.d.50-x.dv-000001.swp~");
        assert_eq!(Place::new("etc/a", "t").swp_path(), "etc/.a.t.swp~");
    }
}

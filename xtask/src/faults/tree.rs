//! Small trees of files: laid out, copied with everything on them, and compared.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// The engine's own directory, which no promise about files speaks of.
pub const STATE: &str = "var/lib/deploy-vfio";

/// Programs of the tree's own; never changed, so linked and not copied.
const LARGE: u64 = 1 << 20;

/// What is at a path, with all that undo promises to bring back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    Dir { mode: u32, owner: (u32, u32) },
    Link { target: PathBuf, owner: (u32, u32) },
    File(FileNode),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileNode {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    /// The same but for the time of the last change.
    pub fn alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(two)) => {
                FileNode { mtime: two.mtime, ..one.clone() } == *two
            }
            (one, two) => one == two,
        }
    }

    /// The bytes of a file; nothing for anything else.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::File(file) => &file.bytes,
            _ => b"",
        }
    }
}

/// Every path of a tree.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Reads the whole tree, without the engine's directory unless `all`.
pub fn read(root: &Path, all: bool) -> Result<Tree> {
    let mut tree = Tree::new();
    walk(root, Path::new(""), all, &mut tree)?;
    Ok(tree)
}

fn walk(root: &Path, dir: &Path, all: bool, tree: &mut Tree) -> Result<()> {
    let at = root.join(dir);
    for entry in fs::read_dir(&at).with_context(|| at.display().to_string())? {
        let path = dir.join(entry?.file_name());
        if !all && path == Path::new(STATE) {
            continue;
        }
        let node = node(&root.join(&path)).with_context(|| path.display().to_string())?;
        let is_dir = matches!(node, Node::Dir { .. });
        tree.insert(path.clone(), node);
        if is_dir {
            walk(root, &path, all, tree)?;
        }
    }
    Ok(())
}

/// Reads one path.
pub fn node(path: &Path) -> Result<Node> {
    let about = fs::symlink_metadata(path)?;
    let (mode, owner) = (about.mode() & 0o7777, (about.uid(), about.gid()));
    if about.is_dir() {
        return Ok(Node::Dir { mode, owner });
    }
    if about.is_symlink() {
        return Ok(Node::Link { target: fs::read_link(path)?, owner });
    }
    if !about.is_file() {
        // A pipe or a device: only that it is one.
        let target = format!("special {:o}", about.mode()).into();
        return Ok(Node::Link { target, owner });
    }
    let bytes = if about.len() < LARGE { fs::read(path)? } else { Vec::new() };
    let mtime = (about.mtime(), about.mtime_nsec());
    Ok(Node::File(FileNode { bytes, mode, owner, mtime, xattrs: xattrs(path)? }))
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for name in xattr::list(path)? {
        let value = xattr::get(path, &name)?.unwrap_or_default();
        all.insert(name.to_string_lossy().into_owned(), value);
    }
    Ok(all)
}

/// Writes `tree` below the new directory `root`.
pub fn write(root: &Path, tree: &Tree) -> Result<()> {
    fs::create_dir(root)?;
    for (path, node) in tree {
        put(&root.join(path), node).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Creates one path.
pub fn put(path: &Path, node: &Node) -> Result<()> {
    match node {
        Node::Dir { mode, owner } => {
            fs::create_dir(path)?;
            own(path, *owner)?;
            fs::set_permissions(path, Permissions::from_mode(*mode))?;
        }
        Node::Link { target, owner } => {
            symlink(target, path)?;
            lchown(path, Some(owner.0), Some(owner.1))?;
        }
        Node::File(file) => {
            fs::write(path, &file.bytes)?;
            own(path, file.owner)?;
            for (name, value) in &file.xattrs {
                xattr::set(path, name, value)?;
            }
            fs::set_permissions(path, Permissions::from_mode(file.mode))?;
            let time = FileTimes::new().set_modified(time(file.mtime));
            File::open(path)?.set_times(time)?;
        }
    }
    Ok(())
}

fn own(path: &Path, owner: (u32, u32)) -> Result<()> {
    let about = fs::symlink_metadata(path)?;
    if (about.uid(), about.gid()) != owner {
        chown(path, Some(owner.0), Some(owner.1))?;
    }
    Ok(())
}

fn time((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    let part = Duration::from_nanos(nanoseconds.unsigned_abs());
    UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()) + part
}

/// Copies a whole tree, the engine's directory too, to the new directory `to`.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    fs::create_dir(to).with_context(|| to.display().to_string())?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    copy_below(from, to)
}

fn copy_below(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let about = entry.metadata()?;
        // What an operation installs is one of its files.
        let ours = entry.file_name().as_bytes().starts_with(b"deploy-vfio");
        if about.is_file() && about.len() >= LARGE && !ours {
            // On another file system there is nothing to share.
            if fs::hard_link(&path, &copy).is_err() {
                fs::copy(&path, &copy)?;
                fs::File::options().write(true).open(&copy)?.set_modified(about.modified()?)?;
            }
            continue;
        }
        put(&copy, &node(&path)?).with_context(|| copy.display().to_string())?;
        if about.is_dir() {
            copy_below(&path, &copy)?;
        }
    }
    Ok(())
}

/// Gives `to` the programs of `from`, which [`read`] leaves empty.
pub fn link_programs(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from.join("bin")) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_file() && about.len() >= LARGE {
            let copy = to.join("bin").join(entry.file_name());
            fs::remove_file(&copy)?;
            fs::hard_link(entry.path(), copy)?;
        }
    }
    Ok(())
}

/// Removes a tree; nothing happens when there is none.
pub fn remove(root: &Path) -> Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| root.display().to_string())
        }
        _ => Ok(()),
    }
}

/// A number that differs when trees differ.
pub fn fingerprint(tree: &Tree) -> u64 {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    hasher.finish()
}

/// Whether a name is one that the engine gives to files it is working on.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_bytes).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    name.starts_with('.') && name.contains(".dv-")
}

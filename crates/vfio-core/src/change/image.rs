//! Everything a path holds: the precondition of a change, and the record that undoes it.

use std::collections::BTreeMap;

use rustix::fs::{FileType, OFlags, Stat};

use crate::{Error, Result, Root, error::At};

/// Configuration files are small; a larger one is refused rather than copied into a journal.
const LARGEST: u64 = 1 << 20;

/// Seconds and nanoseconds of a modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// What belongs to a file besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, set-id and sticky bits included (at most `0o7777`).
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Modification time; `None` is the time at which the file is written.
    pub mtime: Option<Mtime>,
    /// Extended attributes byte for byte: ACLs, the SELinux label, `user.*`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Meta {
    /// What a new file gets below `root`: `mode`, the owner of the tree's top directory (`root`
    /// on a real system), no extended attributes.
    pub fn new(root: &Root, mode: u32) -> Result<Self> {
        let (uid, gid) = root.stat("")?.map_or((0, 0), |top| (top.st_uid, top.st_gid));
        Ok(Self { mode, uid, gid, mtime: None, xattrs: BTreeMap::new() })
    }
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Its content.
        bytes: Vec<u8>,
        /// Owner, mode, times, attributes.
        meta: Meta,
    },
    /// A symbolic link, by where it points.
    Link(String),
}

impl Image {
    /// What `path` holds now. A final symbolic link is an image of its own.
    ///
    /// # Errors
    ///
    /// A directory, device, socket or pipe, a file larger than 1 MiB, one with other hard links.
    pub fn read(root: &Root, path: &str) -> Result<Self> {
        let Some(stat) = root.stat(path)? else { return Ok(Self::Absent) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Ok(root.link(path)?.map_or(Self::Absent, Self::Link)),
            FileType::RegularFile => Self::read_file(root, path, &stat),
            _ => Err(refused(path, "it is not a regular file")),
        }
    }

    fn read_file(root: &Root, path: &str, stat: &Stat) -> Result<Self> {
        if u64::try_from(stat.st_size).is_ok_and(|size| size > LARGEST) {
            return Err(refused(path, "it is larger than 1 MiB"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Some(fd) = root.open_at(path, flags)? else { return Ok(Self::Absent) };
        let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
        let xattrs = xattrs(&fd).at("read the attributes of", path)?;
        let Some(bytes) = root.bytes(path)? else { return Ok(Self::Absent) };
        let mtime = Mtime {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        let meta = Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some(mtime),
            xattrs,
        };
        Ok(Self::File { bytes, meta })
    }

    /// The content, when this is a file.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::File { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Whether both are the same but for the time they were written.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.timeless() == other.timeless()
    }

    fn timeless(&self) -> Self {
        match self.clone() {
            Self::File { bytes, meta } => Self::File { bytes, meta: Meta { mtime: None, ..meta } },
            other => other,
        }
    }
}

fn refused(path: &str, why: &str) -> Error {
    Error::Refused {
        what: format!("/{path} cannot be edited"),
        because: vec![why.to_owned()],
        help: Vec::new(),
    }
}

/// Extended attributes; none where the file system has none.
fn xattrs(fd: &std::os::fd::OwnedFd) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let file = std::fs::File::from(fd.try_clone()?);
    let names = match xattr::FileExt::list_xattr(&file) {
        Ok(names) => names,
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        Err(e) => return Err(e),
    };
    let mut all = BTreeMap::new();
    for name in names {
        if let Some(value) = xattr::FileExt::get_xattr(&file, &name)? {
            all.insert(name.to_string_lossy().into_owned(), value);
        }
    }
    Ok(all)
}

//! Everything a path holds: the precondition of a change, and the record that undoes it.

use std::{collections::BTreeMap, io::Read, os::fd::OwnedFd};

use rustix::fs::{FileType, IFlags, OFlags, Stat};

use crate::{
    Error, Result, Root,
    change::place::{refuse, resolve},
    error::At,
};

/// Configuration files are small; a larger one is refused rather than copied into a journal.
const LARGEST: u64 = 1 << 20;
const TOO_LARGE: &str = "it is larger than 1 MiB";

/// Attributes that a security module gives to new files.
const LABELS: &[&str] = &["security.selinux", "security.SMACK64", "security.ima", "security.evm"];

/// The flags that a user sets on a file. Immutable and append-only files are refused; the others
/// are the file system's own business (extents, encryption).
pub(crate) const CARRIED: IFlags = IFlags::NOATIME
    .union(IFlags::NODUMP)
    .union(IFlags::SYNC)
    .union(IFlags::COMPRESSED)
    .union(IFlags::NOCOW)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOTAIL)
    .union(IFlags::SECURE_REMOVAL)
    .union(IFlags::UNRM);

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
    /// What `chattr` set (`FS_*_FL`); `None` is what the file system gives a new file. Carried
    /// over as well as a file system can, and no part of any comparison.
    pub flags: Option<u32>,
}

impl Meta {
    /// What a new file gets below `root`: `mode`, the owner of the tree's top directory (`root`
    /// on a real system), no extended attributes.
    pub fn new(root: &Root, mode: u32) -> Result<Self> {
        let (uid, gid) = root.stat("")?.map_or((0, 0), |top| (top.st_uid, top.st_gid));
        Ok(Self { mode, uid, gid, mtime: None, xattrs: BTreeMap::new(), flags: None })
    }

    fn of(stat: &Stat, fd: &OwnedFd, xattrs: BTreeMap<String, Vec<u8>>) -> Self {
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some(Mtime { seconds: stat.st_mtime, nanoseconds }),
            xattrs,
            flags: flags(fd).map(|flags| (flags & CARRIED).bits()),
        }
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
    /// A directory, device, socket or pipe, a file larger than 1 MiB.
    pub fn read(root: &Root, path: &str) -> Result<Self> {
        let Some(stat) = root.stat(path)? else { return Ok(Self::Absent) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Ok(root.link(path)?.map_or(Self::Absent, Self::Link)),
            FileType::RegularFile => Self::read_file(root, path, &stat),
            _ => Err(refuse(path, "it is not a regular file", None)),
        }
    }

    /// What someone who edits `path` edits: a final symbolic link is followed inside the root.
    pub fn behind(root: &Root, path: &str) -> Result<Self> {
        Self::read(root, &resolve(root, path, true)?)
    }

    /// A file of any size by what belongs to it, without its bytes.
    pub(crate) fn head(root: &Root, path: &str) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Some(fd) = root.open_at(path, flags)? else { return Ok(Self::Absent) };
        let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
        let xattrs = xattrs(&fd).at("read the attributes of", path)?;
        Ok(Self::File { bytes: Vec::new(), meta: Meta::of(&stat, &fd, xattrs) })
    }

    fn read_file(root: &Root, path: &str, stat: &Stat) -> Result<Self> {
        if u64::try_from(stat.st_size).is_ok_and(|size| size > LARGEST) {
            return Err(refuse(path, TOO_LARGE, None));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        // A file that is written while it is read is read again.
        for _ in 0..3 {
            let Some(fd) = root.open_at(path, flags)? else { return Ok(Self::Absent) };
            let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
            let mut bytes = Vec::new();
            let file = std::fs::File::from(fd.try_clone().at("read", path)?);
            file.take(LARGEST + 1).read_to_end(&mut bytes).at("read", path)?;
            if bytes.len() as u64 > LARGEST {
                return Err(refuse(path, TOO_LARGE, None));
            }
            let xattrs = xattrs(&fd).at("read the attributes of", path)?;
            let again = rustix::fs::fstat(&fd).at("inspect", path)?;
            let version =
                |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
            if version(&stat) == version(&again) {
                return Ok(Self::File { bytes, meta: Meta::of(&stat, &fd, xattrs) });
            }
        }
        Err(Error::Changed { path: path.to_owned() })
    }

    /// Refuses what could be written to `path` but not read again, and so never taken back.
    pub(crate) fn check_size(&self, path: &str) -> Result<()> {
        match self.bytes() {
            Some(bytes) if bytes.len() as u64 > LARGEST => Err(refuse(path, TOO_LARGE, None)),
            _ => Ok(()),
        }
    }

    /// The content, when this is a file.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::File { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Whether this is a file that not everyone may read, such as `/etc/gshadow`.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::File { meta, .. } if meta.mode & 0o004 == 0)
    }

    /// Whether both are the same but for the time they were written.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.timeless() == other.timeless()
    }

    /// Whether a path that holds this holds what was `wanted`: the same but for the time, and
    /// but for a label that the kernel gave a new file by itself.
    pub(crate) fn is(&self, wanted: &Self) -> bool {
        let mut now = self.clone();
        if let (Self::File { meta: now, .. }, Self::File { meta: wanted, .. }) = (&mut now, wanted)
        {
            now.xattrs.retain(|name, _| {
                wanted.xattrs.contains_key(name)
                    || !LABELS.iter().any(|label| name.starts_with(label))
            });
        }
        now.same(wanted)
    }

    fn timeless(&self) -> Self {
        match self.clone() {
            Self::File { bytes, meta } => {
                Self::File { bytes, meta: Meta { mtime: None, flags: None, ..meta } }
            }
            other => other,
        }
    }
}

/// All inode flags of a file; `None` where the file system has none.
pub(crate) fn flags(fd: &OwnedFd) -> Option<IFlags> {
    rustix::fs::ioctl_getflags(fd).ok()
}

/// Extended attributes; none where the file system has none.
pub(crate) fn xattrs(fd: &OwnedFd) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
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

//! Everything a path holds: the precondition of a change, and the record that undoes it.

use std::{collections::BTreeMap, io::Read, os::fd::OwnedFd};

use rustix::fs::{FileType, IFlags, OFlags, Stat};

use crate::{
    Error, Result, Root,
    change::{
        place::{link, refuse, resolve},
        record::sha256,
    },
    error::At,
};

/// Configuration files are small; a larger one is refused rather than copied into a journal.
const LARGEST: u64 = 1 << 20;
/// Programs are not, and are never below `/etc`.
const LARGEST_PROGRAM: u64 = 64 << 20;
/// What is larger is copied into a journal only where an undo needs it; small for tests.
const LARGE: u64 = if cfg!(test) { 4 << 10 } else { LARGEST };

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

impl Mtime {
    pub(crate) fn of(stat: &Stat) -> Self {
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Self { seconds: stat.st_mtime, nanoseconds }
    }
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
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some(Mtime::of(stat)),
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
    /// A large regular file of which the journal keeps no copy: it is told from others by its hash,
    /// and cannot be written again.
    Unkept {
        /// The SHA-256 of its content, in hexadecimal.
        sha256: String,
        /// How many bytes it has.
        size: u64,
        /// Owner, mode, times, attributes.
        meta: Meta,
    },
}

impl Image {
    /// What `path` holds now. A final symbolic link is an image of its own.
    ///
    /// # Errors
    ///
    /// A directory, device, socket or pipe; a link to bytes that are no text; a file larger than 1 MiB below `/etc`, or than 64 MiB
    /// elsewhere.
    pub fn read(root: &Root, path: &str) -> Result<Self> {
        let Some(stat) = root.stat(path)? else { return Ok(Self::Absent) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Ok(link(root, path)?.map_or(Self::Absent, Self::Link)),
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
        check_size(path, u64::try_from(stat.st_size).unwrap_or_default())?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        // A file that is written while it is read is read again.
        for _ in 0..3 {
            let Some(fd) = root.open_at(path, flags)? else { return Ok(Self::Absent) };
            let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
            let mut bytes = Vec::new();
            let file = std::fs::File::from(fd.try_clone().at("read", path)?);
            file.take(LARGEST_PROGRAM + 1).read_to_end(&mut bytes).at("read", path)?;
            check_size(path, bytes.len() as u64)?;
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
        check_size(path, self.size())
    }

    /// How many bytes the file has; 0 when this is none.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::File { bytes, .. } => bytes.len() as u64,
            Self::Unkept { size, .. } => *size,
            Self::Absent | Self::Link(_) => 0,
        }
    }

    /// Whether this is a file too large to be kept where it is not needed.
    pub(crate) fn is_large(&self) -> bool {
        self.size() > LARGE
    }

    /// The SHA-256 of the content, in hexadecimal; `None` when this is no file.
    #[must_use]
    pub fn sha256(&self) -> Option<String> {
        match self {
            Self::File { bytes, .. } => Some(sha256(bytes)),
            Self::Unkept { sha256, .. } => Some(sha256.clone()),
            Self::Absent | Self::Link(_) => None,
        }
    }

    /// The same without its bytes, for a journal that has no need of them.
    pub(crate) fn unkept(self) -> Self {
        match (self.sha256(), self.size(), self) {
            (Some(sha256), size, Self::File { meta, .. }) => Self::Unkept { sha256, size, meta },
            (.., other) => other,
        }
    }

    /// What belongs to the file besides its bytes; `None` when this is none.
    #[must_use]
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Self::File { meta, .. } | Self::Unkept { meta, .. } => Some(meta),
            Self::Absent | Self::Link(_) => None,
        }
    }

    /// The content, when this is a file and it is known.
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
        self.meta().is_some_and(|meta| meta.mode & 0o004 == 0)
    }

    /// Whether both are the same but for the time they were written.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.agrees(other, |_| true)
    }

    /// Whether a path that holds this holds what was `wanted`: the same but for the time, and
    /// but for a label that the kernel gave a new file by itself.
    pub(crate) fn is(&self, wanted: &Self) -> bool {
        let asked = wanted.meta().map(|meta| &meta.xattrs);
        self.agrees(wanted, |name| {
            asked.is_some_and(|asked| asked.contains_key(name))
                || !LABELS.iter().any(|label| name.starts_with(label))
        })
    }

    /// Whether both are the same but for times and flags, and those attributes of this one that do
    /// not count.
    fn agrees(&self, other: &Self, counts: impl Fn(&str) -> bool) -> bool {
        if let (Some(meta), Some(wanted)) = (self.meta(), other.meta()) {
            let plain = |meta: &Meta| (meta.mode, meta.uid, meta.gid);
            let xattrs = meta.xattrs.iter().filter(|(name, _)| counts(name));
            if plain(meta) != plain(wanted) || !xattrs.eq(&wanted.xattrs) {
                return false;
            }
        }
        match (self, other) {
            (Self::File { bytes, .. }, Self::File { bytes: wanted, .. }) => bytes == wanted,
            (Self::Unkept { sha256, .. }, Self::Unkept { sha256: wanted, .. }) => sha256 == wanted,
            (Self::File { bytes, .. }, Self::Unkept { sha256: sum, size, .. })
            | (Self::Unkept { sha256: sum, size, .. }, Self::File { bytes, .. }) => {
                bytes.len() as u64 == *size && sha256(bytes) == *sum
            }
            (Self::Link(to), Self::Link(wanted)) => to == wanted,
            (one, other) => *one == Self::Absent && *other == Self::Absent,
        }
    }
}

/// Refuses what could be written to `path` but not read again, and so never taken back.
fn check_size(path: &str, size: u64) -> Result<()> {
    let largest = if path.starts_with("etc/") { LARGEST } else { LARGEST_PROGRAM };
    if size > largest {
        return Err(refuse(path, &format!("it is larger than {} MiB", largest >> 20), None));
    }
    Ok(())
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

//! The only way to read: everything below one directory, and nothing outside it.
//!
//! Invariant: a path is resolved by the kernel inside the root (`openat2` with
//! `RESOLVE_IN_ROOT`), so an absolute symbolic link on a mounted disk leads back into that disk
//! and `..` stops at its top. A [`Root`] has no way to write.

use std::{
    ffi::OsStr,
    io::{self, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use crate::error::{At, Result};

/// Files larger than this are not configuration and not facts: reading stops with an error.
const LARGEST: usize = 256 << 20;
/// How much of a big file is read at once where nobody needs the whole of it.
const PIECE: usize = 64 << 10;
const NOT_REGULAR: &str = "it is not a regular file";

/// A directory tree that facts and files are read from: `/`, a mounted disk, or a test.
///
/// Paths are relative, without a leading `/`. What does not exist is `None` or empty, never an
/// error; so is what vanishes while it is read, as devices do.
#[derive(Clone, Debug)]
pub struct Root {
    fd: Option<Arc<OwnedFd>>,
    path: PathBuf,
}

/// One directory below a [`Root`], open: many files of it are read at three system calls each.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: String,
}

impl Root {
    /// The tree below `dir`, which must be a directory.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let path = dir.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let shown = path.to_string_lossy();
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .at("open", shown.trim_start_matches('/'))?;
        Ok(Self { fd: Some(Arc::new(fd)), path: path.to_owned() })
    }

    /// A tree in which nothing exists: what a described machine's files are planned against.
    #[must_use]
    pub fn empty() -> Self {
        Self { fd: None, path: PathBuf::from("/") }
    }

    /// Where the tree is, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the running system's own tree.
    #[must_use]
    pub fn is_host(&self) -> bool {
        let here = |at: &Path| rustix::fs::stat(at).map(|s| (s.st_dev, s.st_ino)).ok();
        self.fd.is_some() && here(&self.path).is_some() && here(&self.path) == here(Path::new("/"))
    }

    /// What `path` holds; `None` when it does not exist. Only regular files are read.
    pub fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some((fd, size)) = self.regular(path)? else { return Ok(None) };
        read_all(fd, size).or_else(vanished).at("read", path)
    }

    /// Gives the file at `path` to `lines`, a piece of whole lines at a time, so that a big one does
    /// not cost its size in memory; `false` when it does not exist. Only regular files are read.
    pub fn pieces(&self, path: &str, lines: impl FnMut(&[u8])) -> Result<bool> {
        let Some((fd, _)) = self.regular(path)? else { return Ok(false) };
        pieces(std::fs::File::from(fd).take(LARGEST as u64), lines).at("read", path)?;
        Ok(true)
    }

    /// Opens the regular file at `path`, and tells its size; `None` when it does not exist.
    fn regular(&self, path: &str) -> Result<Option<(OwnedFd, i64)>> {
        let Some(fd) = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_REGULAR))
                .at("read as a file", path);
        }
        Ok(Some((fd, stat.st_size)))
    }

    /// What `path` holds as text; bytes that are not UTF-8 become `U+FFFD`.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.bytes(path)?.map(lossy))
    }

    /// The names in a directory, sorted; empty when it does not exist.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        self.dir(path)?.map_or_else(|| Ok(Vec::new()), |dir| dir.names())
    }

    /// Opens a directory; `None` when it does not exist.
    pub fn dir(&self, path: &str) -> Result<Option<Dir>> {
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(fd.map(|fd| Dir { fd, path: path.to_owned() }))
    }

    /// Where a symbolic link points, as it is written; `None` when there is no link at `path`. Bytes that
    /// are not UTF-8 become `U+FFFD`.
    pub fn link(&self, path: &str) -> Result<Option<String>> {
        Ok(self.link_bytes(path)?.map(lossy))
    }

    /// The same, byte for byte.
    pub(crate) fn link_bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(fd) = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)? else {
            return Ok(None);
        };
        read_link(&fd, "").at("read the link", path)
    }

    /// Where `path` really is below the root, all symbolic links followed; `None` when it does not
    /// exist.
    ///
    /// The kernel resolves the path inside the root and tells the result through the caller's
    /// `/proc/self/fd`.
    pub fn real_path(&self, path: &str) -> Result<Option<String>> {
        let (Some(root), Some(fd)) = (&self.fd, self.open_at(path, OFlags::PATH)?) else {
            return Ok(None);
        };
        let (top, real) = (fd_path(root.as_fd()), fd_path(fd.as_fd()));
        let (top, real) = (top.at("resolve", path)?, real.at("resolve", path)?);
        let below = real.strip_prefix(top.trim_end_matches('/'));
        Ok(below.map(|below| below.trim_start_matches('/').to_owned()))
    }

    /// Whether something exists at `path`, symbolic links followed.
    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.open_at(path, OFlags::PATH)?.is_some())
    }

    /// The size in bytes of the file at `path`, symbolic links followed; `None` when there is none.
    pub fn size(&self, path: &str) -> Result<Option<u64>> {
        let Some(fd) = self.open_at(path, OFlags::PATH)? else { return Ok(None) };
        let stat = rustix::fs::fstat(&fd).at("inspect", path)?;
        Ok(u64::try_from(stat.st_size).ok())
    }

    /// Type, owner, times and so on of what is at `path`, a symbolic link itself not followed.
    pub(crate) fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let Some(fd) = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)? else {
            return Ok(None);
        };
        rustix::fs::fstat(&fd).map(Some).at("inspect", path)
    }

    /// Opens `path` inside the root; `None` when it does not exist.
    pub(crate) fn open_at(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
        debug_assert!(!path.starts_with('/'), "paths below a root are relative: {path}");
        let Some(root) = &self.fd else { return Ok(None) };
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(Some(fd)),
                // A rename elsewhere made the kernel unsure that `..` stayed inside: try again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                // An old kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS) => return walk(root, path, flags).at("open", path),
                Err(errno) => return absent(errno).at("open", path),
            }
        }
    }
}

/// The same without `openat2`: pathrs walks the path a component at a time.
fn walk(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
    let root = pathrs::Root::from_fd(root.try_clone()?);
    let flags = pathrs::flags::OpenFlags::from_bits_retain(flags.bits().into());
    match root.open_subpath(path, flags) {
        Ok(file) => Ok(Some(file.into())),
        Err(error) => match error.kind() {
            pathrs::error::ErrorKind::OsError(Some(errno)) => {
                vanished(io::Error::from_raw_os_error(errno))
            }
            _ => Err(io::Error::other(error)),
        },
    }
}

impl Dir {
    /// Opens the directory `path` below this one; `None` when it does not exist, or when the way
    /// there leads through a symbolic link or out of this directory: only [`Root::dir`] follows.
    pub(crate) fn plain_dir(&self, path: &str) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let fd = rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve).ok()?;
        Some(Self { fd, path: self.join(path) })
    }

    /// The text of the file `path` below this directory, its last line break cut off; `None` when
    /// it cannot be read, or when the way there leads through a symbolic link.
    pub(crate) fn plain_text(&self, path: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let fd = rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve).ok()?;
        attribute(fd).ok().flatten().map(trimmed)
    }

    /// What the file `name` in this directory holds; `None` when it does not exist.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno) => return self.at("open", name, absent(errno)),
        };
        self.at("read", name, attribute(file))
    }

    /// The same as text, its last line break cut off; bytes that are not UTF-8 become `U+FFFD`.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.bytes(name)?.map(trimmed))
    }

    /// Where the symbolic link `name` points, as it is written; `None` when it is no link.
    pub fn link(&self, name: &str) -> Result<Option<String>> {
        Ok(self.at("read the link", name, read_link(&self.fd, name))?.map(lossy))
    }

    /// The last component of where the link `name` points: a driver's or a group's name.
    pub fn link_name(&self, name: &str) -> Result<Option<String>> {
        let Some(mut target) = self.link(name)? else { return Ok(None) };
        target.drain(..target.rfind('/').map_or(0, |at| at + 1));
        Ok(Some(target))
    }

    /// The names in this directory, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).at("list", &self.path)? {
            let entry = entry.at("list", &self.path)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Says what failed on which file; only then the path is put together.
    fn at<T>(&self, action: &'static str, name: &str, result: io::Result<T>) -> Result<T> {
        result.or_else(|error| Err(error).at(action, &self.join(name)))
    }

    fn join(&self, name: &str) -> String {
        [&self.path, "/", name].concat()
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn trimmed(bytes: Vec<u8>) -> String {
    let mut text = lossy(bytes);
    text.truncate(text.trim_end().len());
    text
}

fn absent<T>(errno: Errno) -> io::Result<Option<T>> {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO => Ok(None),
        _ => Err(errno.into()),
    }
}

/// A device that is unplugged while one of its files is read.
fn vanished<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) => absent(errno),
        None => Err(error),
    }
}

/// Reads what is at most a page as a rule, as an attribute of sysfs is, in one call.
fn attribute(file: OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    match rustix::io::read(&file, &mut buffer) {
        Ok((bytes, [])) => Ok(read_all(file, 0)?.map(|rest| [&*bytes, rest.as_slice()].concat())),
        Ok((bytes, _)) => Ok(Some(bytes.to_vec())),
        Err(errno) => vanished(errno.into()),
    }
}

/// Reads to the end; `expected` bytes are made room for at once.
fn read_all(fd: OwnedFd, expected: i64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).min(8 << 20));
    std::fs::File::from(fd).take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(bytes))
}

/// Reads to the end; only the last piece may end without a line break.
fn pieces(mut file: impl Read, mut lines: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut piece, mut kept) = (vec![0; PIECE], 0);
    loop {
        let end = match file.read(&mut piece[kept..]) {
            Ok(read) => kept + read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if end == kept {
            lines(&piece[..kept]);
            return Ok(());
        }
        let whole = memchr::memrchr(b'\n', &piece[..end]).map_or(0, |at| at + 1);
        lines(&piece[..whole]);
        piece.copy_within(whole..end, 0);
        kept = end - whole;
        if kept == piece.len() {
            piece.resize(2 * kept, 0);
        }
    }
}

/// The path that the kernel knows an open file by.
fn fd_path(fd: BorrowedFd<'_>) -> io::Result<String> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlinkat(CWD, link, Vec::with_capacity(256))?;
    Ok(lossy(target.into_bytes()))
}

fn read_link(fd: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    // No link is longer than a path may be.
    let mut target = [const { MaybeUninit::uninit() }; 4096];
    match rustix::fs::readlinkat_raw(fd, name, &mut target) {
        Ok((target, _)) => Ok(Some(target.to_vec())),
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => absent(errno),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// A root with a link that leads to a file inside, and one that would lead out.
    fn with_links() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/real")).unwrap();
        fs::write(dir.path().join("etc/real/file"), "inside").unwrap();
        symlink("/etc/real/file", dir.path().join("link")).unwrap();
        symlink("../../../../../etc/passwd", dir.path().join("escape")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn an_absolute_link_stays_inside_the_root() {
        let (_dir, root) = with_links();
        assert_eq!(root.text("link").unwrap().as_deref(), Some("inside"));
        assert_eq!(root.text("escape").unwrap(), None);
        assert_eq!(root.link("link").unwrap().as_deref(), Some("/etc/real/file"));
        assert_eq!(root.link("etc/real/file").unwrap(), None);
        assert_eq!(root.real_path("link").unwrap().as_deref(), Some("etc/real/file"));
        assert_eq!(root.real_path("escape").unwrap(), None);
        assert_eq!(root.real_path("").unwrap().as_deref(), Some(""));
    }

    #[test]
    fn a_plain_directory_is_reached_without_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        fs::write(dir.path().join("a/b/file"), "inside\n").unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        let top = Root::open(dir.path()).unwrap().dir("a").unwrap().unwrap();
        let plain = top.plain_dir("b").unwrap();
        assert_eq!(plain.text("file").unwrap().as_deref(), Some("inside"));
        for elsewhere in ["link", "link/c", "..", "../a/b", "/etc", "none"] {
            assert!(top.plain_dir(elsewhere).is_none(), "{elsewhere}");
        }
    }

    #[test]
    fn a_kernel_without_openat2_gives_the_same_answers() {
        let (_dir, root) = with_links();
        let fd = root.fd.as_ref().unwrap();
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        let found = walk(fd, "link", read).unwrap().unwrap();
        assert_eq!(read_all(found, 0).unwrap().unwrap(), b"inside");
        assert!(walk(fd, "escape", read).unwrap().is_none());
        assert!(walk(fd, "etc/none/x", read).unwrap().is_none());
        let link = walk(fd, "link", OFlags::PATH | OFlags::NOFOLLOW).unwrap().unwrap();
        assert_eq!(read_link(&link, "").unwrap().as_deref(), Some(b"/etc/real/file".as_slice()));
    }

    #[test]
    fn lines_come_whole_however_the_file_is_cut() {
        let long = "x".repeat(3 * PIECE);
        for text in ["", "\n", "a", "a\n", "a\n\nb", &format!("{long}\n{long}y\nz\n")] {
            let mut lines = Vec::new();
            let keep =
                |piece: &[u8]| lines.extend(lossy(piece.to_vec()).lines().map(str::to_owned));
            pieces(text.as_bytes(), keep).unwrap();
            assert_eq!(lines, text.lines().collect::<Vec<_>>());
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(!root.pieces("nowhere", |_| panic!()).unwrap());
        assert!(root.pieces("", |_| panic!()).is_err(), "a directory has no lines");
    }

    #[test]
    fn what_is_not_there_is_none_and_odd_bytes_are_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("odd"), b"a\xffb").unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(root.bytes("no/such/file").unwrap(), None);
        assert_eq!(root.bytes("odd/below-a-file").unwrap(), None);
        assert_eq!(root.names("nowhere").unwrap(), Vec::<String>::new());
        assert_eq!(root.text("odd").unwrap().as_deref(), Some("a\u{fffd}b"));
        assert_eq!(Root::empty().names("").unwrap(), Vec::<String>::new());
        assert!(root.bytes("").is_err(), "a directory is no file");
    }
}

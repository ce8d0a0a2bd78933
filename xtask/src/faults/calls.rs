//! Which system calls change a file system, and which file each of them means.
//!
//! Only calls that touch a file below the traced tree count: what a program prints, or does
//! elsewhere, is not a step of the operation under test.

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use nix::libc;
use nix::unistd::Pid;

/// Where a call's arguments name the file it changes.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A descriptor.
    Fd(usize),
    /// A directory's descriptor and a path below it; a null path means the descriptor itself.
    At(usize, usize),
    /// Two of those.
    Two([usize; 4]),
    /// A path.
    Path(usize),
    /// Two paths.
    Paths(usize, usize),
    /// A directory's descriptor, a path, and flags that say whether anything is changed.
    Open(usize, usize, usize),
    /// The same with the flags in a structure.
    Open2,
    /// A descriptor, if the request is one that writes a file system's journal back.
    Ioctl,
}

use Shape::{At, Fd, Ioctl, Open, Open2, Path as Name, Paths, Two};

const TABLE: &[(i64, &str, Shape)] = &[
    (libc::SYS_write, "write", Fd(0)),
    (libc::SYS_pwrite64, "pwrite64", Fd(0)),
    (libc::SYS_writev, "writev", Fd(0)),
    (libc::SYS_ftruncate, "ftruncate", Fd(0)),
    (libc::SYS_fallocate, "fallocate", Fd(0)),
    (libc::SYS_fchmod, "fchmod", Fd(0)),
    (libc::SYS_fchown, "fchown", Fd(0)),
    (libc::SYS_fsetxattr, "fsetxattr", Fd(0)),
    (libc::SYS_fremovexattr, "fremovexattr", Fd(0)),
    (libc::SYS_fsync, "fsync", Fd(0)),
    (libc::SYS_fdatasync, "fdatasync", Fd(0)),
    (libc::SYS_syncfs, "syncfs", Fd(0)),
    (libc::SYS_flock, "flock", Fd(0)),
    (libc::SYS_sendfile, "sendfile", Fd(0)),
    (libc::SYS_copy_file_range, "copy_file_range", Fd(2)),
    (libc::SYS_utimensat, "utimensat", At(0, 1)),
    (libc::SYS_mkdirat, "mkdirat", At(0, 1)),
    (libc::SYS_unlinkat, "unlinkat", At(0, 1)),
    (libc::SYS_fchmodat, "fchmodat", At(0, 1)),
    (libc::SYS_fchownat, "fchownat", At(0, 1)),
    (libc::SYS_symlinkat, "symlinkat", At(1, 2)),
    (libc::SYS_linkat, "linkat", Two([0, 1, 2, 3])),
    (libc::SYS_renameat, "renameat", Two([0, 1, 2, 3])),
    (libc::SYS_renameat2, "renameat2", Two([0, 1, 2, 3])),
    (libc::SYS_openat, "openat", Open(0, 1, 2)),
    (libc::SYS_openat2, "openat2", Open2),
    (libc::SYS_ioctl, "ioctl", Ioctl),
    (libc::SYS_open, "open", Open(usize::MAX, 0, 1)),
    (libc::SYS_creat, "creat", Name(0)),
    (libc::SYS_truncate, "truncate", Name(0)),
    (libc::SYS_mkdir, "mkdir", Name(0)),
    (libc::SYS_rmdir, "rmdir", Name(0)),
    (libc::SYS_unlink, "unlink", Name(0)),
    (libc::SYS_chmod, "chmod", Name(0)),
    (libc::SYS_chown, "chown", Name(0)),
    (libc::SYS_lchown, "lchown", Name(0)),
    (libc::SYS_setxattr, "setxattr", Name(0)),
    (libc::SYS_lsetxattr, "lsetxattr", Name(0)),
    (libc::SYS_symlink, "symlink", Name(1)),
    (libc::SYS_link, "link", Paths(0, 1)),
    (libc::SYS_rename, "rename", Paths(0, 1)),
];

/// `EXT4_IOC_CHECKPOINT`, `FIFREEZE`, `FITHAW`.
const FLUSHES: [u64; 3] = [0x4004_662b, 0xc004_5877, 0xc004_5878];

/// `AT_FDCWD`.
const CURRENT: u64 = 0xffff_ff9c;

/// A call that is about to change the traced tree.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: &'static str,
    pub args: [u64; 6],
    /// The file, below the tree.
    pub path: PathBuf,
    /// Where it is renamed or linked to.
    pub to: PathBuf,
}

impl Call {
    /// The call `number` of a process stopped at its entry, if it changes something below `root`.
    pub fn read(pid: Pid, number: u64, args: [u64; 6], root: &Path) -> Option<Self> {
        let &(_, name, shape) = TABLE.iter().find(|(nr, ..)| u64::try_from(*nr) == Ok(number))?;
        let mut to = PathBuf::new();
        let path = match shape {
            Fd(fd) => descriptor(pid, args[fd])?,
            Ioctl if FLUSHES.contains(&args[1]) => descriptor(pid, args[0])?,
            Ioctl => return None,
            At(fd, path) => resolve(pid, Some(args[fd]), args[path])?,
            Name(path) => resolve(pid, None, args[path])?,
            Two([fd, path, other, target]) => {
                to = resolve(pid, Some(args[other]), args[target])?;
                resolve(pid, Some(args[fd]), args[path])?
            }
            Paths(path, target) => {
                to = resolve(pid, None, args[target])?;
                resolve(pid, None, args[path])?
            }
            Open(fd, path, flag) => {
                changes(args[flag]).then(|| resolve(pid, args.get(fd).copied(), args[path]))??
            }
            Open2 => {
                let how: [u8; 8] = memory(pid, args[2], 8)?.try_into().ok()?;
                changes(u64::from_ne_bytes(how)).then(|| resolve(pid, Some(args[0]), args[1]))??
            }
        };
        let below = |path: &Path| path.strip_prefix(root).map(Path::to_path_buf).ok();
        let (path, to) = (below(&path)?, below(&to).unwrap_or_default());
        Some(Self { name, args, path, to })
    }

    /// How a person reads it.
    pub fn show(&self) -> String {
        match self.to.as_os_str().is_empty() {
            true => format!("{} {}", self.name, self.path.display()),
            false => format!("{} {} -> {}", self.name, self.path.display(), self.to.display()),
        }
    }
}

fn changes(flags: u64) -> bool {
    let changing = u64::try_from(libc::O_CREAT | libc::O_TRUNC).unwrap_or(0);
    let path_only = u64::try_from(libc::O_PATH).unwrap_or(0);
    flags & changing != 0 && flags & path_only == 0
}

/// What descriptor `fd` of a process means.
pub fn descriptor(pid: Pid, fd: u64) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()
}

/// A path argument, absolute for us: processes may have other roots and directories.
fn resolve(pid: Pid, fd: Option<u64>, address: u64) -> Option<PathBuf> {
    // Descriptors are 32 bits of the register.
    let base = match fd.map(|fd| fd & 0xffff_ffff) {
        Some(fd) if fd != CURRENT => descriptor(pid, fd)?,
        _ => fs::read_link(format!("/proc/{pid}/cwd")).ok()?,
    };
    if address == 0 {
        return Some(base);
    }
    let path = string(pid, address)?;
    let Ok(inside) = path.strip_prefix("/") else { return Some(normal(&base.join(path))) };
    let root = fs::read_link(format!("/proc/{pid}/root")).ok()?;
    Some(normal(&root.join(inside)))
}

fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// `length` bytes of a stopped process.
pub fn memory(pid: Pid, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    File::open(format!("/proc/{pid}/mem")).ok()?.read_exact_at(&mut bytes, address).ok()?;
    Some(bytes)
}

/// A path in a stopped process.
fn string(pid: Pid, address: u64) -> Option<PathBuf> {
    let file = File::open(format!("/proc/{pid}/mem")).ok()?;
    let (mut bytes, mut at) = (Vec::new(), address);
    while bytes.len() < 4096 {
        // Never across a page: the next one may not be there.
        let mut page = vec![0; 256 - usize::try_from(at % 256).ok()?];
        file.read_exact_at(&mut page, at).ok()?;
        let end = page.iter().position(|&byte| byte == 0);
        bytes.extend_from_slice(&page[..end.unwrap_or(page.len())]);
        if end.is_some() {
            return Some(std::ffi::OsString::from_vec(bytes).into());
        }
        at += page.len() as u64;
    }
    None
}

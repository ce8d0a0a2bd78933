//! The only module that writes: every mutating system call of the engine is here.
//!
//! Invariants: everything is created, renamed and removed by one name in an open [`Folder`],
//! which was resolved inside the root; a created name never replaces anything; a file is synced
//! after its last change of any kind; nothing is removed but what was named.
//!
//! Every call spends fuel, so that a test can cut the power before any of them.

use std::{
    cell::Cell,
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FallocateFlags, FileType, Gid, IFlags, Mode, OFlags, RenameFlags, Timespec,
        Timestamps, UTIME_OMIT, Uid, XattrFlags,
    },
    io::Errno,
};

use crate::{
    Result,
    change::{
        Meta, Mtime,
        defect::defect,
        flush,
        image::{CARRIED, flags},
        place::Folder,
    },
    error::At,
};

/// What a test takes away.
#[derive(Clone, Copy, Debug)]
enum Fuel {
    Endless,
    /// So many calls succeed, then none does: the power is cut.
    #[cfg(test)]
    Cut(usize),
    /// So many calls succeed, then one fails.
    #[cfg(test)]
    Fault(usize),
}

/// What the file systems of a test cannot do.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    Nothing,
    /// Neither exchange nor hard links: FAT, before Linux 6.0.
    Exchange,
    /// No flag of `renameat2`: ZFS, NFS.
    Flags,
}

#[cfg(test)]
thread_local! {
    pub(crate) static LACKS: Cell<Lacks> = const { Cell::new(Lacks::Nothing) };
}

/// The power to write.
#[derive(Debug)]
pub(crate) struct Disk {
    fuel: Cell<Fuel>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self { fuel: Cell::new(Fuel::Endless) }
    }

    /// A disk whose power is cut after `calls` calls.
    #[cfg(test)]
    pub(crate) fn cut_after(calls: usize) -> Self {
        Self { fuel: Cell::new(Fuel::Cut(calls)) }
    }

    /// A disk of which one call, after `calls` others, fails.
    #[cfg(test)]
    pub(crate) fn fault_after(calls: usize) -> Self {
        Self { fuel: Cell::new(Fuel::Fault(calls)) }
    }

    fn step(&self) -> Result<(), Errno> {
        let (left, result) = match self.fuel.get() {
            Fuel::Endless => (Fuel::Endless, Ok(())),
            #[cfg(test)]
            Fuel::Cut(0) => (Fuel::Cut(0), Err(Errno::IO)),
            #[cfg(test)]
            Fuel::Cut(n) => (Fuel::Cut(n - 1), Ok(())),
            #[cfg(test)]
            Fuel::Fault(0) => (Fuel::Endless, Err(Errno::NOSPC)),
            #[cfg(test)]
            Fuel::Fault(n) => (Fuel::Fault(n - 1), Ok(())),
        };
        self.fuel.set(left);
        result
    }

    /// Creates the file `name`, complete and synced.
    pub(crate) fn create(&self, at: &Folder, name: &str, bytes: &[u8], meta: &Meta) -> Result<()> {
        let path = at.join(name);
        let file = self.open_new(at, name)?;
        // Some flags can only be set while a file is empty.
        self.set_flags(&file, meta);
        self.write(&file, bytes).at("write", &path)?;
        if defect("metadata-after-fsync") {
            self.sync(&file).at("sync", &path)?;
            return self.dress(&file, &path, meta);
        }
        self.dress(&file, &path, meta)?;
        self.sync(&file).at("sync", &path)
    }

    fn open_new(&self, at: &Folder, name: &str) -> Result<OwnedFd> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        self.step()
            .and_then(|()| retry(|| rustix::fs::openat(&at.fd, name, flags, mode)))
            .at("create", &at.join(name))
    }

    fn write(&self, file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
        if let Err(cut) = self.step() {
            // A power cut tears a write.
            let _ = rustix::io::write(file, &bytes[..bytes.len() / 2]);
            return Err(cut.into());
        }
        while !bytes.is_empty() {
            match retry(|| rustix::io::write(file, bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
        }
        Ok(())
    }

    /// Writes over a live file: a defect, for the fault tests only.
    pub(crate) fn overwrite(
        &self,
        at: &Folder,
        name: &str,
        bytes: &[u8],
        meta: &Meta,
    ) -> Result<()> {
        let path = at.join(name);
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&at.fd, name, flags, Mode::from_raw_mode(0o600))
            .at("open", &path)?;
        self.write(&file, bytes).at("write", &path)?;
        self.dress(&file, &path, meta)?;
        self.sync(&file).at("sync", &path)
    }

    /// Gives what is at `from` a second name, or copies it where there can be none.
    pub(crate) fn keep(&self, at: &Folder, from: &str, to: &str) -> Result<()> {
        if self.link((at, from), (at, to)).is_ok() {
            return Ok(());
        }
        let (source, path) = (at.join(from), at.join(to));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&at.fd, from, flags, Mode::empty()).at("open", &source)?;
        let file = self.open_new(at, to)?;
        let (mut from, mut to) = (std::fs::File::from(fd), std::fs::File::from(file));
        self.step()
            .map_err(io::Error::from)
            .and_then(|()| io::copy(&mut from, &mut to))
            .at("copy", &source)?;
        let stat = rustix::fs::fstat(&from).at("inspect", &source)?;
        let to = OwnedFd::from(to);
        // Where there are no links there may be no owners and modes of one's own either.
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let _ = self.step().and_then(|()| rustix::fs::fchown(&to, Some(uid), Some(gid)));
        let mode = Mode::from_raw_mode(stat.st_mode);
        let _ = self.step().and_then(|()| rustix::fs::fchmod(&to, mode));
        self.set_time(&to, Mtime::of(&stat)).at("set the time of", &path)?;
        self.sync(&to).at("sync", &path)
    }

    /// Owner, attributes, mode and time, in the order in which they do not undo each other.
    pub(crate) fn dress(&self, file: &OwnedFd, path: &str, meta: &Meta) -> Result<()> {
        let stat = rustix::fs::fstat(file).at("inspect", path)?;
        if (stat.st_uid, stat.st_gid) != (meta.uid, meta.gid) {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            self.step()
                .and_then(|()| rustix::fs::fchown(file, Some(uid), Some(gid)))
                .at("set the owner of", path)?;
        }
        self.attributes(file, meta).at("set the attributes of", path)?;
        self.step()
            .and_then(|()| rustix::fs::fchmod(file, Mode::from_raw_mode(meta.mode)))
            .at("set the mode of", path)?;
        meta.mtime.map_or(Ok(()), |time| self.set_time(file, time).at("set the time of", path))
    }

    fn attributes(&self, file: &OwnedFd, meta: &Meta) -> io::Result<()> {
        const ACL: &str = "system.posix_acl_access";
        let now = crate::change::image::xattrs(file)?;
        // A directory's default ACL gives itself to new files; only a recorded one stays.
        if now.contains_key(ACL) && !meta.xattrs.contains_key(ACL) {
            self.step().and_then(|()| rustix::fs::fremovexattr(file, ACL))?;
        }
        for (name, value) in
            meta.xattrs.iter().filter(|(name, value)| now.get(*name) != Some(*value))
        {
            self.step().and_then(|()| {
                rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())
            })?;
        }
        Ok(())
    }

    /// Gives a file the inode flags of another; best effort, as file systems differ in them.
    pub(crate) fn set_flags(&self, file: &OwnedFd, meta: &Meta) {
        let (Some(wanted), Some(now)) = (meta.flags, flags(file)) else { return };
        let wanted = (now - CARRIED) | (IFlags::from_bits_retain(wanted) & CARRIED);
        if wanted != now {
            let _ = self.step().and_then(|()| rustix::fs::ioctl_setflags(file, wanted));
        }
    }

    fn set_time(&self, file: &OwnedFd, time: Mtime) -> Result<(), Errno> {
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
        let times = Timestamps { last_access, last_modification };
        self.step().and_then(|()| rustix::fs::futimens(file, &times))
    }

    /// Sets the modification time of a directory.
    pub(crate) fn set_folder_time(&self, at: &Folder, time: Mtime) -> Result<()> {
        self.set_time(&at.fd, time).at("set the time of", &at.path)
    }

    /// Creates the symbolic link `name`.
    pub(crate) fn symlink(&self, at: &Folder, name: &str, target: &str) -> Result<()> {
        self.step()
            .and_then(|()| rustix::fs::symlinkat(target, &at.fd, name))
            .at("create", &at.join(name))
    }

    /// Gives what is at `from` the name `to`, which must be free: `false` when it is not.
    pub(crate) fn rename_new(&self, at: (&Folder, &str), to: (&Folder, &str)) -> Result<bool> {
        match self.rename_with(at, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // A file system without the flag: link() has the same promise for files.
            Err(Errno::INVAL | Errno::NOSYS) => self.link_new(at, to),
            Err(errno) => Err(errno).at("rename", &at.0.join(at.1)),
        }
    }

    fn link_new(&self, at: (&Folder, &str), to: (&Folder, &str)) -> Result<bool> {
        match self.link(at, to) {
            Ok(()) => self.unlink(at.0, at.1).map(|()| true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno).at("rename", &at.0.join(at.1)),
        }
    }

    fn link(&self, at: (&Folder, &str), to: (&Folder, &str)) -> Result<(), Errno> {
        self.step()?;
        #[cfg(test)]
        if LACKS.get() == Lacks::Exchange {
            return Err(Errno::PERM);
        }
        rustix::fs::linkat(&at.0.fd, at.1, &to.0.fd, to.1, AtFlags::empty())
    }

    fn rename_with(
        &self,
        at: (&Folder, &str),
        to: (&Folder, &str),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.step()?;
        #[cfg(test)]
        match LACKS.get() {
            Lacks::Exchange if flags == RenameFlags::EXCHANGE => return Err(Errno::INVAL),
            Lacks::Flags => return Err(Errno::INVAL),
            _ => {}
        }
        rustix::fs::renameat_with(&at.0.fd, at.1, &to.0.fd, to.1, flags)
    }

    /// Exchanges two names in one step: `false` when the file system cannot.
    pub(crate) fn exchange(&self, one: (&Folder, &str), two: (&Folder, &str)) -> Result<bool> {
        match self.rename_with(one, two, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(errno).at("exchange", &two.0.join(two.1)),
        }
    }

    /// Gives what is at `from` the name `to`, replacing what is there.
    pub(crate) fn rename(&self, at: (&Folder, &str), to: (&Folder, &str)) -> Result<()> {
        self.step()
            .and_then(|()| rustix::fs::renameat(&at.0.fd, at.1, &to.0.fd, to.1))
            .at("rename", &at.0.join(at.1))
    }

    /// Removes the name of a file; nothing happens when there is none.
    pub(crate) fn unlink(&self, at: &Folder, name: &str) -> Result<()> {
        match self.step().and_then(|()| rustix::fs::unlinkat(&at.fd, name, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).at("remove", &at.join(name)),
        }
    }

    /// Creates a directory of the given mode and owner, durably: `false` when there is one.
    pub(crate) fn mkdir(
        &self,
        at: &Folder,
        name: &str,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<bool> {
        let path = at.join(name);
        let made = self
            .step()
            .and_then(|()| rustix::fs::mkdirat(&at.fd, name, Mode::from_raw_mode(0o700)));
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(errno) => return Err(errno).at("create", &path),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&at.fd, name, flags, Mode::empty()).at("open", &path)?;
        let stat = rustix::fs::fstat(&fd).at("inspect", &path)?;
        if let Some((uid, gid)) = owner.filter(|owner| *owner != (stat.st_uid, stat.st_gid)) {
            self.step()
                .and_then(|()| {
                    rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                })
                .at("set the owner of", &path)?;
        }
        self.step()
            .and_then(|()| rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)))
            .at("set the mode of", &path)?;
        self.sync_folder(at).map(|()| true)
    }

    /// Removes an empty directory: `false` when it is not there or not empty.
    pub(crate) fn rmdir(&self, at: &Folder, name: &str) -> Result<bool> {
        match self.step().and_then(|()| rustix::fs::unlinkat(&at.fd, name, AtFlags::REMOVEDIR)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(errno).at("remove", &at.join(name)),
        }
    }

    /// Removes a directory under a name of ours with the files in it and in its directories.
    pub(crate) fn remove_record(&self, at: &Folder, name: &str) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = at.join(name);
        let fd = rustix::fs::openat(&at.fd, name, flags, Mode::empty()).at("open", &path)?;
        let folder = Folder { fd, path };
        for entry in rustix::fs::Dir::read_from(&folder.fd).at("list", &folder.path)? {
            let entry = entry.at("list", &folder.path)?;
            let name = match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => continue,
                Ok(name) => name,
            };
            match is_dir(&folder, entry.file_name()) {
                true => self.remove_record(&folder, name)?,
                false => self.unlink(&folder, name)?,
            }
        }
        self.rmdir(at, name).map(drop)
    }

    /// Appends a line to the file `name`, after cutting it to `good` bytes, durably.
    pub(crate) fn append(&self, at: &Folder, name: &str, good: u64, line: &[u8]) -> Result<()> {
        let path = at.join(name);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            retry(|| rustix::fs::openat(&at.fd, name, flags, Mode::empty())).at("open", &path)?;
        let size = rustix::fs::fstat(&file).at("inspect", &path)?.st_size;
        if u64::try_from(size).is_ok_and(|size| size > good) {
            self.step()
                .and_then(|()| retry(|| rustix::fs::ftruncate(&file, good)))
                .at("cut", &path)?;
        }
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(good)).at("write", &path)?;
        self.write(&file, line).at("write", &path)?;
        if defect("no-journal-fsync") {
            return Ok(());
        }
        self.sync(&file).at("sync", &path)
    }

    /// Sets blocks aside for the journal `name`, so that a full disk cannot silence it.
    pub(crate) fn reserve(&self, at: &Folder, name: &str, bytes: u64) {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::openat(&at.fd, name, flags, Mode::empty()) {
            let _ = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes);
        }
    }

    /// Opens `name` for locking, creating it once.
    pub(crate) fn open_lock(&self, at: &Folder, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        if defect("new-lock") {
            self.unlink(at, name)?;
        }
        self.step()
            .and_then(|()| retry(|| rustix::fs::openat(&at.fd, name, flags, mode)))
            .at("open", &at.join(name))
    }

    fn sync(&self, file: &OwnedFd) -> Result<(), Errno> {
        if defect("no-file-fsync") {
            return Ok(());
        }
        self.step().and_then(|()| retry(|| rustix::fs::fsync(file)))
    }

    /// Makes what `file` holds durable.
    pub(crate) fn sync_file(&self, file: &OwnedFd, path: &str) -> Result<()> {
        self.sync(file).at("sync", path)
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_folder(&self, at: &Folder) -> Result<()> {
        if defect("no-dir-fsync") {
            return Ok(());
        }
        self.step().and_then(|()| retry(|| rustix::fs::fsync(&at.fd))).at("sync", &at.path)
    }

    /// Writes everything the file system of this directory still holds in memory.
    pub(crate) fn sync_all(&self, at: &Folder) -> Result<()> {
        if defect("no-built-fsync") {
            return Ok(());
        }
        self.step().and_then(|()| retry(|| rustix::fs::syncfs(&at.fd))).at("sync", &at.path)
    }

    /// The same, and for readers that know no journal: a boot loader's.
    pub(crate) fn sync_for_boot(&self, at: &Folder) -> Result<()> {
        self.sync_all(at)?;
        self.step().at("sync", &at.path)?;
        if !defect("no-flush") {
            flush::journal(at.fd.as_fd());
        }
        Ok(())
    }
}

/// A signal that comes while a call waits is no failure.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    if defect("no-retry") { call() } else { rustix::io::retry_on_intr(call) }
}

fn is_dir(at: &Folder, name: &CStr) -> bool {
    rustix::fs::statat(&at.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

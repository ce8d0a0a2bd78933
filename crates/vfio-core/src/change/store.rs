//! The state directory, `/var/lib/deploy-vfio`: its lock, and a directory for each operation.
//!
//! Invariants: the directory is ours alone (0700) or refused; the lock file is created once and
//! never replaced; a record exists under its final name only when it is complete and durable,
//! because one rename publishes it.

use std::{io::ErrorKind, os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
};

use crate::{
    Error, Result, Root,
    change::{
        Meta, Settings,
        disk::Disk,
        journal::{self, Entry},
        place::{Folder, check_built, join, split},
        record::{Part, blob_name},
        wait::Wait,
    },
    error::At,
};

/// Where the engine keeps its state, below the root.
pub(crate) const STATE: &str = "var/lib/deploy-vfio";
/// Held by whoever writes.
pub(crate) const LOCK: &str = "var/lib/deploy-vfio/lock";
/// The records of operations.
pub(crate) const TX: &str = "var/lib/deploy-vfio/tx";
const FORMAT: &[u8] = b"1\n";
/// Who holds the lock.
const OTHER: &str = "another run of deploy-vfio";
/// Takes everything back where nothing of ours can be run.
const RESCUE: &[u8] = include_bytes!("../../assets/rescue.sh");
/// Blocks set aside for a journal.
const JOURNAL_ROOM: u64 = 16 << 10;

/// The state directory, locked for writing.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    root: &'a Root,
    disk: &'a Disk,
    lock: OwnedFd,
}

/// The directory of operation `id`.
pub(crate) fn tx_path(id: u32) -> String {
    format!("{TX}/{id:06}")
}

/// The numbers of all recorded operations, ascending.
pub(crate) fn ids(root: &Root) -> Result<Vec<u32>> {
    let whole = |name: &String| name.parse().ok().filter(|id| *name == format!("{id:06}"));
    let mut ids: Vec<u32> = root.names(TX)?.iter().filter_map(whole).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The newest operation whose damaged record was set aside; `None` when there is none.
pub(crate) fn aside(root: &Root) -> Result<Option<u32>> {
    let number = |name: &String| name.split_once(".damaged")?.0.parse::<u32>().ok();
    Ok(root.names(TX)?.iter().filter_map(number).max())
}

/// The newest number that was ever given.
pub(crate) fn newest(root: &Root) -> Result<u32> {
    Ok(ids(root)?.last().copied().max(aside(root)?).unwrap_or(0))
}

/// The name under which the damaged record of operation `id` can be kept.
pub(crate) fn aside_name(root: &Root, id: u32) -> Result<String> {
    let names = root.names(TX)?;
    let first = std::iter::once(format!("{id:06}.damaged"));
    let mut free = first.chain((2..).map(|n| format!("{id:06}.damaged-{n}")));
    Ok(free.find(|name| !names.contains(name)).unwrap_or_default())
}

/// A file of a record; `None` when it is missing. One that is no file at all is damage.
fn file(root: &Root, id: u32, path: &str) -> Result<Option<Vec<u8>>> {
    match root.bytes(path) {
        Err(Error::Io { source, .. })
            if matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) =>
        {
            Err(Error::Damaged { id, what: format!("/{path}: {source}") })
        }
        other => other,
    }
}

/// The journal of operation `id`, and how many of its bytes are good.
pub(crate) fn entries(root: &Root, id: u32) -> Result<(Vec<Entry>, u64)> {
    let damaged = |what| Error::Damaged { id, what };
    let bytes = file(root, id, &join(&tx_path(id), "journal"))?;
    let bytes = bytes.ok_or_else(|| damaged("its journal is missing".to_owned()))?;
    journal::parse(&bytes).map_err(damaged)
}

/// The last line of the journal of operation `id`.
pub(crate) fn last(root: &Root, id: u32) -> Result<Entry> {
    let missing = || Error::Damaged { id, what: "its journal is empty".to_owned() };
    entries(root, id)?.0.pop().ok_or_else(missing)
}

/// A part of operation `id`; the empty name is its apply.
pub(crate) fn load(root: &Root, id: u32, part: &str) -> Result<Part> {
    let damaged = |what| Error::Damaged { id, what };
    let dir = if part.is_empty() { tx_path(id) } else { join(&tx_path(id), part) };
    let bytes = file(root, id, &join(&dir, "plan.json"))?;
    let bytes = bytes.ok_or_else(|| damaged("its plan is missing".to_owned()))?;
    let blob = |name: &str| root.bytes(&join(&dir, name)).ok().flatten();
    Part::from_bytes(&bytes, &blob).map_err(damaged)
}

impl<'a> Store<'a> {
    /// Opens the state directory, making it when it is missing, and takes its lock.
    pub(crate) fn open(root: &'a Root, disk: &'a Disk, settings: &Settings<'_>) -> Result<Self> {
        make(root, disk)?;
        let folder = Folder::open(root, STATE)?;
        check_private(&folder)?;
        let lock = lock(disk, &folder, settings)?;
        match root.bytes(&join(STATE, "format"))? {
            None => replace(root, disk, &folder, ("format", FORMAT, 0o600))?,
            Some(format) if format == FORMAT => {}
            Some(format) => {
                let format = String::from_utf8_lossy(&format).trim().escape_debug().to_string();
                return Err(Error::Refused {
                    what: format!("/{STATE} has format {format}, which this version does not know"),
                    because: Vec::new(),
                    help: vec!["use the version of deploy-vfio that wrote it".to_owned()],
                });
            }
        }
        if root.bytes(&join(STATE, "rescue.sh"))?.as_deref() != Some(RESCUE) {
            replace(root, disk, &folder, ("rescue.sh", RESCUE, 0o700))?;
        }
        let store = Self { root, disk, lock };
        store.sweep()?;
        Ok(store)
    }

    /// Lets a program that is started keep the lock even if we are killed.
    pub(crate) fn lock(&self) -> &OwnedFd {
        &self.lock
    }

    /// The number of the next operation.
    pub(crate) fn next(&self) -> Result<u32> {
        Ok(newest(self.root)? + 1)
    }

    /// Removes records that were never published.
    fn sweep(&self) -> Result<()> {
        let unpublished = |name: &String| name.starts_with('.') && name.ends_with(".tmp");
        let operations = ids(self.root)?.into_iter().map(tx_path);
        for dir in std::iter::once(TX.to_owned()).chain(operations) {
            let names = self.root.names(&dir)?;
            for name in names.iter().filter(|name| unpublished(name)) {
                self.disk.remove_record(&Folder::open(self.root, &dir)?, name)?;
            }
        }
        Ok(())
    }

    /// Publishes a new operation with one rename; it is durable then.
    pub(crate) fn publish(&self, id: u32, part: &Part, first: &Entry) -> Result<()> {
        let tx = Folder::open(self.root, TX)?;
        let tmp = format!(".{id:06}.tmp");
        let made = self.write_part(&tx, &tmp, part).and_then(|folder| {
            self.disk.create(&folder, "journal", &first.to_line(), &self.private()?)?;
            self.disk.reserve(&folder, "journal", JOURNAL_ROOM);
            self.disk.sync_folder(&folder)?;
            self.disk.rename((&tx, &tmp), (&tx, &format!("{id:06}")))?;
            self.disk.sync_folder(&tx)
        });
        made.inspect_err(|_| drop(self.sweep()))
    }

    /// Publishes a part of a recorded operation, such as an undo.
    pub(crate) fn publish_part(&self, id: u32, name: &str, part: &Part) -> Result<()> {
        let dir = Folder::open(self.root, &tx_path(id))?;
        let tmp = format!(".{name}.tmp");
        let made = self.write_part(&dir, &tmp, part).and_then(|folder| {
            self.disk.sync_folder(&folder)?;
            self.disk.rename((&dir, &tmp), (&dir, name))?;
            self.disk.sync_folder(&dir)
        });
        made.inspect_err(|_| drop(self.disk.remove_record(&dir, &tmp)))
    }

    fn private(&self) -> Result<Meta> {
        Meta::new(self.root, 0o600)
    }

    fn write_part(&self, at: &Folder, name: &str, part: &Part) -> Result<Folder> {
        self.disk.mkdir(at, name, 0o700, None)?;
        let folder = Folder::open(self.root, &at.join(name))?;
        for side in ["pre", "post"] {
            self.disk.mkdir(&folder, side, 0o700, None)?;
            let below = Folder::open(self.root, &folder.join(side))?;
            for (number, step) in part.steps.iter().enumerate() {
                if let Some(bytes) = step.kept(side) {
                    let name = blob_name(side, number);
                    self.disk.create(&below, split(&name).1, bytes, &self.private()?)?;
                }
            }
            self.disk.sync_folder(&below)?;
        }
        self.disk.create(&folder, "plan.json", &part.to_bytes(), &self.private()?)?;
        Ok(folder)
    }

    /// Appends a line to the journal of `id`, numbered and dated; it is durable then.
    pub(crate) fn log(&self, id: u32, mut entry: Entry) -> Result<()> {
        let (entries, good) = entries(self.root, id)?;
        entry.seq = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entry.t = now();
        let folder = Folder::open(self.root, &tx_path(id))?;
        self.disk.append(&folder, "journal", good, &entry.to_line())
    }

    /// Keeps a file that a user edited and that has no place any more; best effort.
    pub(crate) fn keep(&self, id: u32, name: &str, bytes: &[u8]) -> Result<()> {
        let tx = Folder::open(self.root, &tx_path(id))?;
        self.disk.mkdir(&tx, "conflict", 0o700, None)?;
        let folder = Folder::open(self.root, &tx.join("conflict"))?;
        let free = (0..).map(|n| format!("{name}.{n}"));
        for name in free.take(1000) {
            if !self.root.exists(&folder.join(&name))? {
                self.disk.create(&folder, &name, bytes, &self.private()?)?;
                return self.disk.sync_folder(&folder);
            }
        }
        Ok(())
    }

    /// Keeps what a program printed.
    pub(crate) fn output(&self, id: u32, number: usize, bytes: &[u8]) -> Result<()> {
        let tx = Folder::open(self.root, &tx_path(id))?;
        self.disk.mkdir(&tx, "cmd", 0o700, None)?;
        let folder = Folder::open(self.root, &tx.join("cmd"))?;
        let name = format!("{number:02}.out");
        self.disk.unlink(&folder, &name)?;
        self.disk.create(&folder, &name, bytes, &self.private()?)
    }
}

impl Drop for Store<'_> {
    fn drop(&mut self) {
        // A daemon that a generator left behind must not keep the lock of work that is done.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Now, as the journal writes it.
pub(crate) fn now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

fn make(root: &Root, disk: &Disk) -> Result<()> {
    let owner = Meta::new(root, 0)?;
    let owner = Some((owner.uid, owner.gid));
    for (path, mode) in [("var", 0o755), ("var/lib", 0o755), (STATE, 0o700), (TX, 0o700)] {
        if !root.exists(path)? {
            let (dir, name) = split(path);
            disk.mkdir(&Folder::open(root, dir)?, name, mode, owner)?;
        }
    }
    Ok(())
}

/// Puts a file into the state directory, whole.
fn replace(
    root: &Root,
    disk: &Disk,
    folder: &Folder,
    (name, bytes, mode): (&str, &[u8], u32),
) -> Result<()> {
    let new = format!(".{name}.tmp");
    disk.unlink(folder, &new)?;
    disk.create(folder, &new, bytes, &Meta::new(root, mode)?)?;
    disk.rename((folder, &new), (folder, name))?;
    disk.sync_folder(folder)
}

/// Refuses what [`Store::open`] would refuse, for a dry run; whose the directory is depends on who asks.
pub(crate) fn check(root: &Root) -> Result<()> {
    check_built(root, LOCK)?;
    root.stat(STATE)?.map_or(Ok(()), |stat| private(STATE, &stat, stat.st_uid))
}

/// Refuses where another run is at work; where nobody may ask, none is.
pub(crate) fn check_free(root: &Root) -> Result<()> {
    let Ok(Some(file)) = root.open_at(LOCK, OFlags::RDONLY | OFlags::NOFOLLOW) else {
        return Ok(());
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(busy()),
        _ => Ok(()),
    }
}

/// The state directory may be ours alone: it decides what recovery writes.
fn check_private(folder: &Folder) -> Result<()> {
    let stat = rustix::fs::fstat(&folder.fd).at("inspect", &folder.path)?;
    private(&folder.path, &stat, rustix::process::geteuid().as_raw())
}

fn private(path: &str, stat: &rustix::fs::Stat, me: u32) -> Result<()> {
    if stat.st_mode & 0o077 == 0 && stat.st_uid == me {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!("/{path} is open to other users"),
        because: vec![format!(
            "its mode is {:04o}, its owner {}",
            stat.st_mode & 0o7777,
            stat.st_uid
        )],
        help: vec![format!("`chown {me} /{path}; chmod 700 /{path}` if nobody tampered with it")],
    })
}

fn busy() -> Error {
    Error::Busy { what: format!("{OTHER} holds /{LOCK}") }
}

fn lock(disk: &Disk, folder: &Folder, settings: &Settings<'_>) -> Result<OwnedFd> {
    let file = disk.open_lock(folder, "lock")?;
    let mut wait = Wait::new(settings);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => {
                if !wait.again(Duration::from_millis(50), || OTHER.to_owned())? {
                    return Err(busy());
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).at("lock", &folder.join("lock")),
        }
    }
}

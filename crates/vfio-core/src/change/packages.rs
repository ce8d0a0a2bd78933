//! The package manager's lock: nobody installs a kernel while its initramfs is replaced.
//!
//! Invariant: only a lock file that is there already is opened, and only on the running system.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
    process::{Flock, FlockOffsetType, FlockType},
};

use crate::{Error, Result, Root, change::Interrupt, error::At};

const LOCK: &str = "var/lib/dpkg/lock-frontend";

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "closing it releases the lock")] Option<OwnedFd>,
);

/// Takes dpkg's lock, as apt does.
pub(crate) fn lock(root: &Root, wait: Duration, interrupt: &Interrupt) -> Result<Held> {
    if !root.is_host() {
        return Ok(Held(None));
    }
    // Who may not open it is not going to install packages beside us either.
    let Ok(Some(file)) = root.open_at(LOCK, OFlags::RDWR | OFlags::NOFOLLOW) else {
        return Ok(Held(None));
    };
    let end = Instant::now() + wait;
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Held(Some(file))),
            Err(Errno::WOULDBLOCK | Errno::ACCESS) if Instant::now() < end => {
                interrupt.check()?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => {
                let what = format!("{} holds /{LOCK}", holder(root, &file));
                return Err(Error::Busy { what });
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).at("lock", LOCK),
        }
    }
}

fn holder(root: &Root, file: &OwnedFd) -> String {
    let whole = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let pid = rustix::process::fcntl_getlk(file, &whole).ok().flatten().and_then(|lock| lock.pid);
    let Some(pid) = pid.map(|pid| pid.as_raw_nonzero()) else {
        return "another package manager".to_owned();
    };
    let name = root.text(&format!("proc/{pid}/comm")).ok().flatten().unwrap_or_default();
    match name.trim() {
        "" => format!("process {pid}"),
        name => format!("{} (process {pid})", name.escape_debug()),
    }
}

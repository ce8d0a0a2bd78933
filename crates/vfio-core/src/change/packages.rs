//! The package manager's lock: nobody installs a kernel while its initramfs is replaced.
//!
//! Invariant: only a lock file that is there already is opened, and only on the running system. A
//! package manager that runs us, in a package's script, holds it until we are done.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
    process::{Flock, FlockOffsetType, FlockType},
};

use crate::{
    Error, Result, Root,
    change::{Settings, wait::Wait},
    error::At,
};

const LOCK: &str = "var/lib/dpkg/lock-frontend";

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held(
    #[cfg_attr(not(test), expect(dead_code, reason = "closing it releases the lock"))]
    Option<OwnedFd>,
);

/// Takes dpkg's lock, as apt does.
pub(crate) fn lock(root: &Root, settings: &Settings<'_>) -> Result<Held> {
    if root.is_host() { take(root, settings) } else { Ok(Held(None)) }
}

fn take(root: &Root, settings: &Settings<'_>) -> Result<Held> {
    // Who may not open it is not going to install packages beside us either.
    let Ok(Some(file)) = root.open_at(LOCK, OFlags::RDWR | OFlags::NOFOLLOW) else {
        return Ok(Held(None));
    };
    let mut wait = Wait::new(settings);
    let me = rustix::process::getpid().as_raw_nonzero().get();
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Held(Some(file))),
            Err(Errno::WOULDBLOCK | Errno::ACCESS)
                if holder(&file).is_some_and(|pid| descends(root, me, pid)) =>
            {
                return Ok(Held(None));
            }
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => {
                let who = || named(root, holder(&file));
                if !wait.again(Duration::from_millis(100), who)? {
                    return Err(Error::Busy { what: format!("{} holds /{LOCK}", who()) });
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).at("lock", LOCK),
        }
    }
}

/// The process that holds the lock, where it can be seen from here.
fn holder(file: &OwnedFd) -> Option<i32> {
    let whole = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let lock = rustix::process::fcntl_getlk(file, &whole).ok().flatten()?;
    Some(lock.pid?.as_raw_nonzero().get())
}

/// Whether the process `pid` runs for `ancestor`, which waits for what it started.
fn descends(root: &Root, mut pid: i32, ancestor: i32) -> bool {
    // As many as a chain of shells could ever have; a damaged one ends there.
    for _ in 0..1024 {
        let status = root.text(&format!("proc/{pid}/status")).ok().flatten().unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        match parent.and_then(|parent| parent.trim().parse().ok()) {
            Some(parent) if parent == ancestor => return true,
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

fn named(root: &Root, pid: Option<i32>) -> String {
    let Some(pid) = pid else { return "another package manager".to_owned() };
    let name = root.text(&format!("proc/{pid}/comm")).ok().flatten().unwrap_or_default();
    match name.trim() {
        "" => format!("process {pid}"),
        name => format!("{} (process {pid})", name.escape_debug()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test lays out its own tree")]
mod tests {
    use std::{
        fs,
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;
    use crate::change::{NoRebuild, laws};

    /// Holds the lock until it is killed; a lock of this very process would keep nobody out.
    const HOLDER: &str = "import fcntl, sys, time\n\
        file = open(sys.argv[1], 'r+')\n\
        fcntl.lockf(file, fcntl.LOCK_EX)\n\
        print(flush=True)\n\
        time.sleep(60)\n";

    fn holder_of(path: &std::path::Path) -> Option<Child> {
        let mut python = Command::new("python3");
        let child = python.args(["-c", HOLDER]).arg(path).stdout(Stdio::piped()).spawn();
        assert!(child.is_ok() || std::env::var_os("CI").is_none(), "python3 is not installed");
        let mut child = child.ok()?;
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        Some(child)
    }

    #[test]
    fn a_package_manager_at_work_is_waited_for_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let wait = Duration::from_millis(10);
        let settings = Settings { wait, ..laws::settings(&NoRebuild) };
        // A machine without dpkg.
        assert!(take(&root, &settings).unwrap().0.is_none());
        let path = dir.path().join(LOCK);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        assert!(take(&root, &settings).unwrap().0.is_some());

        let Some(mut child) = holder_of(&path) else { return };
        let id = child.id();
        let busy = || take(&root, &settings).unwrap_err().to_string();
        assert_eq!(busy(), format!("process {id} holds /{LOCK}"));
        let home = dir.path().join(format!("proc/{id}"));
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("comm"), "apt\x1b\n").unwrap();
        assert_eq!(busy(), format!("apt\\u{{1b}} (process {id}) holds /{LOCK}"));
        // One that runs us waits for us, so nobody waits for it.
        let ours = dir.path().join(format!("proc/{}", std::process::id()));
        fs::create_dir_all(&ours).unwrap();
        fs::write(ours.join("status"), format!("PPid:\t{id}\n")).unwrap();
        assert!(take(&root, &settings).unwrap().0.is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(take(&root, &settings).unwrap().0.is_some());
    }

    #[test]
    fn a_package_manager_that_runs_us_is_told_from_another() {
        let status = |parent: i32| format!("Name:\tx\nPPid:\t{parent}\nUid:\t0\n");
        let dir = tempfile::tempdir().unwrap();
        let processes = [
            (40, status(30)),
            (30, status(20)),
            (20, status(1)),
            (50, status(50)),
            (60, "x".into()),
        ];
        for (pid, status) in processes {
            let home = dir.path().join(format!("proc/{pid}"));
            std::fs::create_dir_all(&home).unwrap();
            std::fs::write(home.join("status"), status).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        assert!(descends(&root, 40, 30) && descends(&root, 40, 20));
        for (pid, other) in [(40, 40), (40, 60), (30, 40), (50, 20), (60, 20), (70, 20)] {
            assert!(!descends(&root, pid, other), "{pid} for {other}");
        }
    }
}

//! Brings what was written to where a boot loader finds it.
//!
//! `syncfs` makes names and data durable for the kernel, which replays a file system's journal.
//! GRUB's readers do not: after a power cut they see ext4 and XFS as of the last checkpoint. So
//! before and after a generated file takes its place the journal is written back: ext4 does it on
//! request (`EXT4_IOC_CHECKPOINT`, Linux 5.14), XFS and older ext4 when they are frozen. The others
//! need no more than `syncfs`.
//!
//! Invariants: between freezing and thawing nothing happens, and a process of its own thaws when this
//! one dies there or does not come back within 30 seconds. Who lacks the rights (a scratch tree
//! without root) has the `syncfs` and no error: nothing boots from there.
#![expect(unsafe_code, reason = "these calls have no safe wrapper, and a watchdog is a fork")]

use std::{
    io::{self, PipeReader, PipeWriter, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, sigprocmask},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, read, setsid},
};
use rustix::fs::FsWord;

/// `f_type` of `statfs(2)`.
const EXT: FsWord = 0xEF53;
const XFS: FsWord = 0x5846_5342;

/// How long the file system may be frozen, in milliseconds.
const LIMIT: u16 = 30_000;

mod request {
    nix::ioctl_write_ptr!(checkpoint, b'f', 43, u32);
    nix::ioctl_readwrite!(freeze, b'X', 119, nix::libc::c_int);
    nix::ioctl_readwrite!(thaw, b'X', 120, nix::libc::c_int);
}

/// Writes back the journal of the file system that holds this directory, where it has one that a
/// boot loader does not read.
pub(super) fn journal(dir: BorrowedFd<'_>) {
    let kind = rustix::fs::fstatfs(dir).map_or(0, |stat| stat.f_type);
    let done = match kind {
        EXT => checkpoint(dir),
        XFS => false,
        _ => true,
    };
    if !done {
        freeze_and_thaw(dir);
    }
}

fn checkpoint(dir: BorrowedFd<'_>) -> bool {
    let flags = 0;
    // SAFETY: the request reads one u32, which lives until the call is over.
    unsafe { request::checkpoint(dir.as_raw_fd(), &raw const flags) }.is_ok()
}

fn thaw(dir: BorrowedFd<'_>) {
    let mut ignored = 0;
    // SAFETY: the kernel does not look at the argument.
    let _ = unsafe { request::thaw(dir.as_raw_fd(), &raw mut ignored) };
}

/// Freezing writes the journal back; thawing follows at once, from here or from the watchdog.
fn freeze_and_thaw(dir: BorrowedFd<'_>) {
    let Ok((watched, mut here)) = io::pipe() else { return };
    let Some(watchdog) = watchdog(dir, &watched, &here) else { return };
    drop(watched);
    let mut ignored = 0;
    // SAFETY: the kernel does not look at the argument.
    if unsafe { request::freeze(dir.as_raw_fd(), &raw mut ignored) }.is_ok() {
        thaw(dir);
    }
    let _ = here.write(b"!");
    drop(here);
    let _ = waitpid(watchdog, None);
}

/// Starts the process that thaws when the writer of `watched` is gone without a word.
fn watchdog(dir: BorrowedFd<'_>, watched: &PipeReader, here: &PipeWriter) -> Option<Pid> {
    // SAFETY: the child calls nothing but system calls, and ends by `_exit`.
    match unsafe { fork() }.ok()? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => {
            // SAFETY: the child has no use for the writing end; while it is open there is no end.
            unsafe { libc::close(here.as_raw_fd()) };
            let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
            let _ = setsid();
            let mut end = [PollFd::new(watched.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut end, PollTimeout::from(LIMIT));
            let events = end[0].revents().unwrap_or(PollFlags::empty());
            let word = events.contains(PollFlags::POLLIN) && read(watched, &mut [0]) == Ok(1);
            if !word {
                thaw(dir);
            }
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Root, change::place::Folder};

    fn folder(dir: &tempfile::TempDir) -> Folder {
        Folder::open(&Root::open(dir.path()).unwrap(), "").unwrap()
    }

    /// On whatever file system tests run, with and without root's rights.
    #[test]
    fn a_flush_returns_and_leaves_the_file_system_thawed() {
        let dir = tempfile::tempdir().unwrap();
        journal(folder(&dir).fd.as_fd());
        tempfile::tempfile_in(dir.path()).unwrap().write_all(b"x").unwrap();
    }

    #[test]
    fn the_watchdog_ends_with_and_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        for word in [true, false] {
            let (watched, mut here) = io::pipe().unwrap();
            let watchdog = watchdog(folder(&dir).fd.as_fd(), &watched, &here).unwrap();
            if word {
                here.write_all(b"!").unwrap();
            }
            drop(here);
            waitpid(watchdog, None).unwrap();
        }
    }
}

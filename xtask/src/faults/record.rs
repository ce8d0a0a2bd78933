//! What an operation asked of the file system, in order: the input of the power-cut model.
//!
//! After each change the file is looked at while the program is stopped, so the record holds what
//! a file became and not how.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::calls::Call;
use super::tracer::{Action, Watch};
use super::tree::{self, Node};

/// One thing asked of the file system.
#[derive(Clone, Debug)]
pub enum Op {
    /// A name for something new.
    Add(PathBuf, Node),
    /// A file's bytes or anything's attributes.
    Change(PathBuf, Node),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    Remove(PathBuf),
    /// A file's content, or the names in a directory, become durable.
    Sync(PathBuf),
    /// Everything becomes durable.
    SyncAll,
}

impl Op {
    /// How a person reads it.
    pub fn show(&self) -> String {
        match self {
            Self::Add(path, _) => format!("creating {}", path.display()),
            Self::Change(path, _) => format!("changing {}", path.display()),
            Self::Link(one, two) => format!("linking {} to {}", one.display(), two.display()),
            Self::Rename(one, two) => format!("renaming {} to {}", one.display(), two.display()),
            Self::Exchange(one, two) => {
                format!("exchanging {} and {}", one.display(), two.display())
            }
            Self::Remove(path) => format!("removing {}", path.display()),
            Self::Sync(path) => format!("syncing {}", path.display()),
            Self::SyncAll => "syncing everything".into(),
        }
    }
}

/// `RENAME_EXCHANGE`.
const EXCHANGE: u64 = 2;

/// Takes the record while a program runs.
#[derive(Debug)]
pub struct Recorder<'a> {
    pub root: &'a Path,
    pub ops: Vec<Op>,
    /// Whether the file that is being opened was there before.
    existed: bool,
}

impl<'a> Recorder<'a> {
    pub fn new(root: &'a Path) -> Self {
        Self { root, ops: Vec::new(), existed: false }
    }

    fn node(&self, path: &Path) -> Result<Node> {
        tree::node(&self.root.join(path))
    }

    fn note(&mut self, call: &Call) -> Result<()> {
        let (path, to) = (call.path.clone(), call.to.clone());
        let op = match call.name {
            "openat" | "openat2" | "open" | "creat" if self.existed => {
                Op::Change(path.clone(), self.node(&path)?)
            }
            "openat" | "openat2" | "open" | "creat" | "mkdirat" | "mkdir" | "symlinkat"
            | "symlink" => Op::Add(path.clone(), self.node(&path)?),
            "linkat" | "link" => Op::Link(path, to),
            "renameat2" if call.args[4] & EXCHANGE != 0 => Op::Exchange(path, to),
            "renameat2" | "renameat" | "rename" => Op::Rename(path, to),
            "unlinkat" | "unlink" | "rmdir" => Op::Remove(path),
            "fsync" | "fdatasync" => Op::Sync(path),
            "syncfs" | "ioctl" => Op::SyncAll,
            "flock" | "fallocate" => return Ok(()),
            _ => Op::Change(path.clone(), self.node(&path)?),
        };
        self.ops.push(op);
        Ok(())
    }
}

impl Watch for Recorder<'_> {
    fn enter(&mut self, _: usize, call: &Call) -> Action {
        self.existed = fs::symlink_metadata(self.root.join(&call.path)).is_ok();
        Action::Go
    }

    fn leave(&mut self, call: &Call, result: i64) {
        if result >= 0 {
            // A file whose name is gone changes nothing that a power cut could show.
            let _ = self.note(call);
        }
    }
}

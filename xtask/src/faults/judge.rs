//! What must hold after a fault, whatever the fault was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::tree::{self, Node, Tree};

/// The two trees between which nothing may be left.
#[derive(Debug)]
pub struct Ends {
    pub old: Tree,
    pub new: Tree,
    /// Files the operation writes anew: their time is that of the run.
    pub dated: BTreeSet<PathBuf>,
}

/// Which of the two a tree is; both when the operation changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub old: bool,
    pub new: bool,
}

impl Ends {
    /// `fresh`: the operation writes files with the time of the run, not of a record. What
    /// generators write under /boot always has the time of the run.
    pub fn new(old: Tree, new: Tree, fresh: bool) -> Self {
        let changed = |path: &&PathBuf| old.get(*path) != new.get(*path);
        let dated = |path: &&PathBuf| changed(path) && (fresh || path.starts_with("boot"));
        let dated = new.keys().filter(dated).cloned().collect();
        Self { old, new, dated }
    }

    /// Every path that is in either.
    pub fn paths(&self) -> BTreeSet<&PathBuf> {
        self.old.keys().chain(self.new.keys()).collect()
    }

    /// Every file that the operation creates, replaces or deletes.
    pub fn targets(&self) -> Vec<PathBuf> {
        let file = |node: Option<&Node>| matches!(node, Some(Node::File(_)));
        let differs = |path: &&PathBuf| self.old.get(*path) != self.new.get(*path);
        let is_file = |path: &&PathBuf| file(self.old.get(*path)) || file(self.new.get(*path));
        self.paths().into_iter().filter(differs).filter(is_file).cloned().collect()
    }

    fn is_old(&self, path: &Path, now: Option<&Node>) -> bool {
        self.old.get(path) == now
    }

    fn is_new(&self, path: &Path, now: Option<&Node>) -> bool {
        match (self.new.get(path), now) {
            (Some(new), Some(now)) if self.dated.contains(path) => new.alike(now),
            (new, now) => new == now,
        }
    }

    /// At any instant: every file is old or new, and nothing is there but temporary files.
    pub fn whole(&self, now: &Tree) -> Result<()> {
        self.whole_but(now, &[])
    }

    /// The same, without looking at some paths.
    pub fn whole_but(&self, now: &Tree, but: &[&Path]) -> Result<()> {
        for path in self.paths().into_iter().filter(|path| !but.contains(&path.as_path())) {
            let node = now.get(path);
            let fits = self.is_old(path, node) || self.is_new(path, node);
            // Directories come before their modes; what is in them is judged by itself.
            let making = matches!(node, Some(Node::Dir { .. })) && !self.old.contains_key(path);
            if !fits && !making {
                bail!("/{} is neither old nor new: {}", path.display(), show(node));
            }
        }
        let strange = |path: &&PathBuf| {
            let known = self.old.contains_key(*path) || self.new.contains_key(*path);
            !known && !tree::is_temporary(path)
        };
        match now.keys().find(strange) {
            Some(path) => bail!("/{} belongs to nothing", path.display()),
            None => Ok(()),
        }
    }

    /// In the end: all is old or all is new, and nothing else is there.
    pub fn end(&self, now: &Tree) -> Result<Found> {
        self.end_but(now, &[])
    }

    /// The same, without looking at some paths.
    pub fn end_but(&self, now: &Tree, but: &[&Path]) -> Result<Found> {
        if let Some(path) = now.keys().find(|path| tree::is_temporary(path)) {
            bail!("/{} was left behind", path.display());
        }
        let all: BTreeSet<_> = self.paths().into_iter().chain(now.keys()).collect();
        let judged = || all.iter().filter(|path| !but.contains(&path.as_path()));
        let off_old = judged().find(|path| !self.is_old(path, now.get(**path)));
        let off_new = judged().find(|path| !self.is_new(path, now.get(**path)));
        if let (Some(one), Some(two)) = (off_old, off_new) {
            let (one_now, two_now) = (show(now.get(*one)), show(now.get(*two)));
            let (one, two) = (one.display(), two.display());
            bail!("neither before (/{one}: {one_now}) nor after (/{two}: {two_now})");
        }
        Ok(Found { old: off_old.is_none(), new: off_new.is_none() })
    }
}

/// A node in a few words.
pub fn show(node: Option<&Node>) -> String {
    match node {
        None => "absent".into(),
        Some(Node::Dir { mode, owner }) => format!("directory {mode:04o} {owner:?}"),
        Some(Node::Link { target, .. }) => format!("link to {}", target.display()),
        Some(Node::File(file)) => {
            let text = String::from_utf8_lossy(&file.bytes[..file.bytes.len().min(60)]);
            let (mode, owner, mtime, xattrs) =
                (file.mode, file.owner, file.mtime, file.xattrs.len());
            format!("{text:?} {mode:04o} {owner:?} {mtime:?} {xattrs} xattrs")
        }
    }
}

/// After the next operation the engine's directory holds no unfinished record either.
pub fn no_unfinished_record(root: &Path) -> Result<()> {
    let state = root.join(tree::STATE);
    if !state.exists() {
        return Ok(());
    }
    let unfinished = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') && name.ends_with(".tmp")
    };
    match tree::read(&state, true)?.keys().find(unfinished) {
        Some(path) => bail!("{}/{} was left behind", tree::STATE, path.display()),
        None => Ok(()),
    }
}

//! Makes files, directories and links below one directory.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Where a machine is laid out.
#[derive(Debug)]
pub(super) struct Maker {
    root: PathBuf,
    made: RefCell<HashSet<PathBuf>>,
}

impl Maker {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), made: RefCell::default() }
    }

    /// Makes a directory and those above it.
    pub(super) fn dir(&self, path: &str) -> io::Result<()> {
        self.dir_at(&self.root.join(path))
    }

    /// Writes a file; `path` never leads out of the root.
    pub(super) fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.with_mode(path, bytes, 0o644)
    }

    /// Writes a file that can be run.
    pub(super) fn program(&self, path: &str, text: &str) -> io::Result<()> {
        self.with_mode(path, text, 0o755)
    }

    /// Writes several short files in one directory, each with a line break at its end.
    pub(super) fn lines(&self, dir: &str, files: &[(&str, &str)]) -> io::Result<()> {
        for (name, line) in files {
            self.file(&format!("{dir}/{name}"), format!("{line}\n"))?;
        }
        Ok(())
    }

    /// Makes a link at `path` to `target`, both below the root; a link that is there is replaced.
    pub(super) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let at = self.inside(path)?;
        self.dir_at(at.parent().unwrap_or(&self.root))?;
        if at.symlink_metadata().is_ok() {
            fs::remove_file(&at)?;
        }
        symlink(relative(path, target), at)
    }

    fn with_mode(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
        let at = self.inside(path)?;
        self.dir_at(at.parent().unwrap_or(&self.root))?;
        // One call a file where that will do: big machines have thousands.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&at)?;
        file.write_all(bytes.as_ref())?;
        if mode != 0o644 {
            fs::set_permissions(at, fs::Permissions::from_mode(mode))
        } else {
            Ok(())
        }
    }

    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(io::Error::other(format!("`{path}` leads out of the tree")));
        }
        Ok(self.root.join(path))
    }

    fn dir_at(&self, dir: &Path) -> io::Result<()> {
        if self.made.borrow().contains(dir) {
            return Ok(());
        }
        fs::create_dir_all(dir)?;
        self.made.borrow_mut().insert(dir.to_owned());
        Ok(())
    }
}

/// What a link at `path` must hold to lead to `target`.
fn relative(path: &str, target: &str) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (path.split('/').collect(), target.split('/').collect());
    let dirs = &from[..from.len() - 1];
    let same = dirs.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", dirs.len() - same);
    up.chain(to[same..].iter().copied()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        assert_eq!(relative("sys/bus/pci/a", "sys/devices/a"), "../../devices/a");
        assert_eq!(relative("lib", "usr/lib"), "usr/lib");
        assert_eq!(relative("a/b", "a/c"), "c");
    }

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        let make = Maker::new(&dir.path().join("tree"));
        assert!(make.file("../out", "").is_err() && make.file("/out", "").is_err());
    }
}

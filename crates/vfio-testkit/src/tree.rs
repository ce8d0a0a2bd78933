//! Everything that is in a directory, to compare before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// Where deploy-vfio keeps its journal: the one place that an undo does not empty.
pub const STATE: &str = "var/lib/deploy-vfio";

/// Where the kernel would show itself: thousands of files that nobody may write to.
const KERNEL: &[&str] = &["sys/", "proc/"];

/// What a path is.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file and its bytes.
    File(Vec<u8>),
    /// A file that stands for the kernel's; its size. Any write to it changes its time.
    Kernel(u64),
    /// A symbolic link and where it points.
    Link(String),
    /// A directory.
    Directory,
    /// A device node, a socket, a pipe.
    Other,
}

/// All that a test can see of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// What it is.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Time of the last change to its content, in nanoseconds since 1970.
    pub mtime_ns: i128,
}

/// A directory's paths, relative to it, with what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Fingerprint>);

impl Tree {
    /// Reads everything below `dir`; no link is followed.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.walk(dir, "")?;
        Ok(tree)
    }

    /// The same without the paths at and below each of `left_out`.
    #[must_use]
    pub fn without(mut self, left_out: &[&str]) -> Self {
        let below = |path: &str, dir: &str| {
            path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.retain(|path, _| !left_out.iter().any(|dir| below(path, dir)));
        self
    }

    /// The same with the times of symbolic links left out: nothing asks for them.
    #[must_use]
    pub fn without_link_times(mut self) -> Self {
        for fingerprint in self.0.values_mut() {
            if matches!(fingerprint.content, Content::Link(_)) {
                fingerprint.mtime_ns = 0;
            }
        }
        self
    }

    /// The same with no times for directories: making and removing a file in one changes them.
    #[must_use]
    pub fn without_directory_times(mut self) -> Self {
        for fingerprint in self.0.values_mut() {
            if fingerprint.content == Content::Directory {
                fingerprint.mtime_ns = 0;
            }
        }
        self
    }

    /// What differs in `after`, for people; empty when nothing does.
    #[must_use]
    pub fn diff(&self, after: &Self) -> String {
        let paths: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let mut text = String::new();
        for path in paths {
            match (self.0.get(path), after.0.get(path)) {
                (Some(a), Some(b)) if a != b => text += &changed(path, a, b),
                (Some(a), None) => text += &format!("gone: {path} ({a})\n"),
                (None, Some(b)) => text += &format!("new:  {path} ({b})\n"),
                _ => {}
            }
        }
        text
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let meta = entry.metadata()?;
            let content = if meta.is_symlink() {
                Content::Link(fs::read_link(entry.path())?.to_string_lossy().into_owned())
            } else if meta.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
                Content::Directory
            } else if meta.is_file() && KERNEL.iter().any(|dir| path.starts_with(dir)) {
                Content::Kernel(meta.len())
            } else if meta.is_file() {
                Content::File(fs::read(entry.path())?)
            } else {
                Content::Other
            };
            let fingerprint = Fingerprint {
                content,
                mode: meta.permissions().mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            };
            self.0.insert(path, fingerprint);
        }
        Ok(())
    }
}

fn changed(path: &str, before: &Fingerprint, after: &Fingerprint) -> String {
    let mut text = String::new();
    if before.mode != after.mode {
        text += &format!("mode: {path}: {:o} became {:o}\n", before.mode, after.mode);
    }
    if before.owner != after.owner {
        text += &format!("owner: {path}: {:?} became {:?}\n", before.owner, after.owner);
    }
    match (&before.content, &after.content) {
        (Content::File(a), Content::File(b)) if a != b => {
            let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
            let diff = similar::TextDiff::from_lines(&*a, &*b);
            let header = (&*format!("{path} before"), &*format!("{path} after"));
            text += &diff.unified_diff().header(header.0, header.1).to_string();
        }
        (a, b) if a != b => text += &format!("kind: {path}: {a} became {b}\n"),
        _ if before.mtime_ns != after.mtime_ns => text += &format!("touched: {path}\n"),
        _ => {}
    }
    text
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "file, {} bytes", bytes.len()),
            Self::Kernel(size) => write!(f, "kernel's file, {size} bytes"),
            Self::Link(to) => write!(f, "link to {to}"),
            Self::Directory => f.write_str("directory"),
            Self::Other => f.write_str("special file"),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, group) = self.owner;
        write!(f, "{}, mode {:o}, owner {user}:{group}", self.content, self.mode)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_diff_names_what_changed_and_how() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("var/lib/deploy-vfio/tx")).unwrap();
        fs::write(at("file"), "one\ntwo\n").unwrap();
        symlink("nowhere", at("link")).unwrap();
        let before = Tree::read(dir.path()).unwrap();
        assert_eq!(before.diff(&before), "");

        fs::write(at("file"), "one\n2\n").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(at("link")).unwrap();
        fs::write(at("var/lib/deploy-vfio/tx/x"), "").unwrap();
        let after = Tree::read(dir.path()).unwrap().without(&[STATE]);
        let diff = before.without(&[STATE]).diff(&after);
        for part in ["mode: file: 644 became 600", "-two", "+2", "gone: link (link to nowhere"] {
            assert!(diff.contains(part), "{part} in {diff}");
        }
        assert!(!diff.contains("deploy-vfio"), "{diff}");
    }
}

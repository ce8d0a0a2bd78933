//! The planned new content of files, in memory, over the real tree.
//!
//! Invariant: a draft never touches the disk, and what it reads is what the tree will hold once
//! the draft is carried out, so that a renderer sees the fragments another feature has written.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Result, Root,
    change::{Change, Image, Meta, Plan, Stamp, Warning, place::refuse},
};

/// An overlay over a [`Root`]: reads fall through to the tree until something is written.
///
/// ```
/// use vfio_core::{Root, change::Draft};
/// let root = Root::empty();
/// let mut draft = Draft::new(&root);
/// draft.write("etc/deploy-vfio/cmdline.d/hugepages.conf", "hugepages=16\n")?;
/// assert_eq!(draft.names("etc/deploy-vfio/cmdline.d")?, ["hugepages.conf"]);
/// let plan = draft.finish("hugepages")?;
/// assert_eq!(plan.changes[0].path, "etc/deploy-vfio/cmdline.d/hugepages.conf");
/// # Ok::<(), vfio_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Draft<'r> {
    root: &'r Root,
    images: BTreeMap<String, Image>,
    notes: Vec<String>,
    warnings: Vec<Warning>,
    begun: Stamp,
}

impl<'r> Draft<'r> {
    /// An empty overlay over `root`.
    #[must_use]
    pub fn new(root: &'r Root) -> Self {
        let (images, begun) = (BTreeMap::new(), Stamp::now(root));
        Self { root, images, notes: Vec::new(), warnings: Vec::new(), begun }
    }

    /// The tree underneath.
    #[must_use]
    pub fn root(&self) -> &'r Root {
        self.root
    }

    /// What `path` will hold.
    pub fn image(&self, path: &str) -> Result<Image> {
        self.images.get(path).map_or_else(|| Image::read(self.root, path), |i| Ok(i.clone()))
    }

    /// The content `path` will have; `None` when it will not exist. A symbolic link is followed.
    pub fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.images.get(path) {
            Some(Image::File { bytes, .. }) => Ok(Some(bytes.clone())),
            Some(Image::Absent) => Ok(None),
            Some(Image::Link(_) | Image::Unkept { .. }) | None => self.root.bytes(path),
        }
    }

    /// The same as text; bytes that are not UTF-8 become `U+FFFD`, so never write it back.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names a directory will have, sorted.
    pub fn names(&self, dir: &str) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.root.names(dir)?.into_iter().collect();
        for (path, image) in &self.images {
            let Some(name) = path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            match image {
                Image::Absent => drop(names.remove(name)),
                _ => drop(names.insert(name.split('/').next().unwrap_or(name).to_owned())),
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Gives `path` this content; owner, mode and attributes stay, a new file is 0644 and
    /// belongs to the owner of the tree.
    pub fn write(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        self.write_as(path, bytes, None)
    }

    /// The same for a program: mode 0755.
    pub fn write_executable(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Result<()> {
        self.write_as(path, bytes, Some(0o755))
    }

    fn write_as(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: Option<u32>) -> Result<()> {
        // What is behind a symbolic link is edited; the link stays.
        let now = self
            .images
            .get(path)
            .map_or_else(|| Image::behind(self.root, path), |i| Ok(i.clone()))?;
        let mut meta = match now {
            Image::File { meta, .. } => Meta { mtime: None, ..meta },
            _ => Meta::new(self.root, 0o644)?,
        };
        meta.mode = mode.unwrap_or(meta.mode);
        self.images.insert(path.to_owned(), Image::File { bytes: bytes.into(), meta });
        Ok(())
    }

    /// Makes `path` a symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.images.insert(path.to_owned(), Image::Link(target.to_owned()));
    }

    /// Makes `path` not exist.
    pub fn remove(&mut self, path: &str) {
        self.images.insert(path.to_owned(), Image::Absent);
    }

    /// Says something that the user should read beside the plan.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Says what may go wrong, before the user agrees to the plan.
    pub fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// The true differences from the tree, under a title for the journal.
    pub fn finish(self, title: impl Into<String>) -> Result<Plan> {
        let mut changes = Vec::new();
        for (path, after) in self.images {
            let before = match (&after, Image::read(self.root, &path)?) {
                (Image::File { .. }, Image::Link(_)) => behind(self.root, &path)?,
                (_, before) => before,
            };
            if !before.same(&after) {
                changes.push(Change { path, before, after });
            }
        }
        let (notes, warnings, begun) = (self.notes, self.warnings, self.begun);
        Ok(Plan { title: title.into(), changes, notes, warnings, begun, ..Plan::default() })
    }
}

/// What the link `path` leads to, which must be there.
fn behind(root: &Root, path: &str) -> Result<Image> {
    match Image::behind(root, path)? {
        Image::Absent => Err(refuse(path, "it is a symbolic link to nothing", None)),
        image => Ok(image),
    }
}

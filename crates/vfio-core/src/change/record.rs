//! What one step of the engine does to the files, and the frozen format in which it is kept.
//!
//! Invariants: a record is complete and checked by its last line, `sha256 <hex>`, or it is
//! damaged; the bytes of files stand beside it, below `pre/` and `post/`, under their number
//! and checked by their own hash. The types on disk are private and carry `format`.
//!
//! What is put in place is never written again from the record but by a redo, so programs, which
//! are large, stand there by their hash alone; what they displace is kept, whatever its size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Root,
    change::{Change, Image, Meta, Mtime, Plan, place::Folder},
};

const FORMAT: u32 = 1;

/// One file's way from one image to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// As the plan names it.
    pub(crate) path: String,
    /// Where that leads, links resolved.
    pub(crate) target: String,
    pub(crate) before: Image,
    pub(crate) after: Image,
}

/// A directory as it was before a step touched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) path: String,
    pub(crate) time: Mtime,
    /// A hash of the names in it.
    pub(crate) names: String,
}

impl Mark {
    /// A directory as it is now; `None` when there is none.
    pub(crate) fn of(root: &Root, path: &str, tag: &str) -> crate::Result<Option<Self>> {
        let Some(folder) = Folder::find(root, path)? else { return Ok(None) };
        let names = names_hash(root, path, tag)?;
        Ok(Some(Self { path: path.to_owned(), time: folder.time()?, names }))
    }
}

/// Everything the engine does in one go: an apply, an undo or a redo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) notes: Vec<String>,
    pub(crate) steps: Vec<Step>,
    /// Directories to be made, the topmost first.
    pub(crate) make: Vec<String>,
    /// Directories to be removed afterwards when they are empty, the deepest first.
    pub(crate) unmake: Vec<String>,
    /// Directories that the steps touch, as they were.
    pub(crate) marks: Vec<Mark>,
    /// Directories as they are to be once this is done.
    pub(crate) restore: Vec<Mark>,
}

impl Step {
    /// The bytes that a record keeps of one side, `pre` or `post`.
    pub(crate) fn kept(&self, side: &str) -> Option<&[u8]> {
        match side {
            "pre" => self.before.bytes(),
            _ => self.after.bytes().filter(|_| !self.after.is_large()),
        }
    }
}

/// Steps as the plan that they carry out.
pub(crate) fn plan(title: &str, steps: &[Step]) -> Plan {
    let change = |step: &Step| Change {
        path: step.path.clone(),
        before: step.before.clone(),
        after: step.after.clone(),
    };
    Plan { title: title.to_owned(), changes: steps.iter().map(change).collect(), ..Plan::default() }
}

impl Part {
    /// The part as the plan that it carries out.
    pub(crate) fn plan(&self) -> Plan {
        Plan { notes: self.notes.clone(), ..plan(&self.title, &self.steps) }
    }

    /// The text of `plan.json`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let page = Page {
            format: FORMAT,
            title: self.title.clone(),
            notes: self.notes.clone(),
            steps: self.steps.iter().map(Line::of).collect(),
            make: self.make.clone(),
            unmake: self.unmake.clone(),
            marks: self.marks.iter().map(MarkLine::of).collect(),
            restore: self.restore.iter().map(MarkLine::of).collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&page).unwrap_or_default();
        bytes.push(b'\n');
        let sum = format!("sha256 {}\n", sha256(&bytes));
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }

    /// Reads `plan.json`; `blob` finds the bytes of a file by `pre/NNNN` or `post/NNNN`.
    /// The error says what is damaged.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        blob: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let at = bytes.len().checked_sub(72).ok_or("the plan is cut short")?;
        let (text, sum) = bytes.split_at(at);
        if sum != format!("sha256 {}\n", sha256(text)).as_bytes() {
            return Err("the plan does not match its checksum".to_owned());
        }
        let page: Page = serde_json::from_slice(text).map_err(|e| format!("the plan: {e}"))?;
        if page.format != FORMAT {
            return Err(format!("the plan has format {}, not {FORMAT}", page.format));
        }
        let steps = page.steps.into_iter().enumerate().map(|(n, line)| line.step(n, blob));
        Ok(Self {
            title: page.title,
            notes: page.notes,
            steps: steps.collect::<Result<_, _>>()?,
            make: page.make,
            unmake: page.unmake,
            marks: page.marks.into_iter().map(MarkLine::mark).collect(),
            restore: page.restore.into_iter().map(MarkLine::mark).collect(),
        })
    }
}

/// The name of a step's bytes beside the record.
pub(crate) fn blob_name(side: &str, number: usize) -> String {
    format!("{side}/{number:04}")
}

/// The SHA-256 of `bytes` in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(pair).collect::<Option<_>>())?
}

/// A hash of the names in a directory, those of this operation left out.
pub(crate) fn names_hash(root: &Root, dir: &str, tag: &str) -> crate::Result<String> {
    let mark = format!(".{tag}.");
    let names: Vec<String> =
        root.names(dir)?.into_iter().filter(|name| !name.contains(&mark)).collect();
    Ok(sha256(names.join("\0").as_bytes()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    format: u32,
    title: String,
    notes: Vec<String>,
    steps: Vec<Line>,
    make: Vec<String>,
    unmake: Vec<String>,
    marks: Vec<MarkLine>,
    restore: Vec<MarkLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    target: String,
    pre: Side,
    post: Side,
}

/// An [`Image`] as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Side {
    Absent,
    Link {
        to: String,
    },
    File {
        sha256: String,
        size: u64,
        mode: String,
        uid: u32,
        gid: u32,
        mtime: Option<(i64, u32)>,
        xattrs: BTreeMap<String, String>,
        /// Inode flags in hexadecimal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        iflags: Option<String>,
        /// Whether no bytes stand beside the record.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unkept: bool,
    },
}

/// A [`Mark`] as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkLine {
    pub(crate) path: String,
    mtime: (i64, u32),
    names: String,
}

impl Line {
    fn of(step: &Step) -> Self {
        Self {
            path: step.path.clone(),
            target: step.target.clone(),
            pre: Side::of(&step.before, step.kept("pre")),
            post: Side::of(&step.after, step.kept("post")),
        }
    }

    fn step(self, number: usize, blob: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Step, String> {
        Ok(Step {
            before: self.pre.image(&blob_name("pre", number), blob)?,
            after: self.post.image(&blob_name("post", number), blob)?,
            path: self.path,
            target: self.target,
        })
    }
}

impl Side {
    /// An image without its bytes.
    pub(crate) fn unkept(image: &Image) -> Self {
        Self::of(image, None)
    }

    /// The image that was kept without its bytes.
    pub(crate) fn without_bytes(self) -> Result<Image, String> {
        self.image("", &|_| None)
    }

    fn of(image: &Image, kept: Option<&[u8]>) -> Self {
        match image {
            Image::Absent => Self::Absent,
            Image::Link(to) => Self::Link { to: to.clone() },
            Image::File { meta, .. } | Image::Unkept { meta, .. } => Self::File {
                sha256: image.sha256().unwrap_or_default(),
                size: image.size(),
                mode: format!("{:04o}", meta.mode),
                uid: meta.uid,
                gid: meta.gid,
                mtime: meta.mtime.map(|time| (time.seconds, time.nanoseconds)),
                xattrs: meta.xattrs.iter().map(|(name, v)| (name.clone(), hex(v))).collect(),
                iflags: meta.flags.map(|flags| format!("{flags:x}")),
                unkept: kept.is_none(),
            },
        }
    }

    fn image(self, name: &str, blob: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Image, String> {
        let Self::File { sha256: sum, size, mode, uid, gid, mtime, xattrs, iflags, unkept } = self
        else {
            return Ok(match self {
                Self::Link { to } => Image::Link(to),
                _ => Image::Absent,
            });
        };
        let xattr = |(name, value): (String, String)| unhex(&value).map(|value| (name, value));
        let meta = Meta {
            mode: u32::from_str_radix(&mode, 8).map_err(|e| format!("mode {mode}: {e}"))?,
            uid,
            gid,
            mtime: mtime.map(|(seconds, nanoseconds)| Mtime { seconds, nanoseconds }),
            xattrs: xattrs.into_iter().map(xattr).collect::<Option<_>>().ok_or("attributes")?,
            flags: iflags
                .map(|flags| u32::from_str_radix(&flags, 16).map_err(|e| format!("flags: {e}")))
                .transpose()?,
        };
        if unkept {
            return Ok(Image::Unkept { sha256: sum, size, meta });
        }
        let bytes = blob(name).ok_or_else(|| format!("{name} is missing"))?;
        if bytes.len() as u64 != size || sha256(&bytes) != sum {
            return Err(format!("{name} does not match its checksum"));
        }
        Ok(Image::File { bytes, meta })
    }
}

impl MarkLine {
    pub(crate) fn of(mark: &Mark) -> Self {
        Self {
            path: mark.path.clone(),
            mtime: (mark.time.seconds, mark.time.nanoseconds),
            names: mark.names.clone(),
        }
    }

    pub(crate) fn mark(self) -> Mark {
        let (seconds, nanoseconds) = self.mtime;
        Mark { path: self.path, time: Mtime { seconds, nanoseconds }, names: self.names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_every_flipped_bit_is_seen() {
        let meta = Meta {
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime: Some(Mtime { seconds: -5, nanoseconds: 7 }),
            xattrs: [("user.x".to_owned(), vec![0, 255])].into(),
            flags: Some(0xc0),
        };
        let step = Step {
            path: "etc/a".to_owned(),
            target: "usr/a".to_owned(),
            before: Image::Link("b".to_owned()),
            after: Image::File { bytes: b"hi".to_vec(), meta },
        };
        let part = Part { title: "t".to_owned(), steps: vec![step], ..Part::default() };
        let blob = |name: &str| (name == "post/0000").then(|| b"hi".to_vec());
        let bytes = part.to_bytes();
        assert_eq!(Part::from_bytes(&bytes, &blob).as_ref(), Ok(&part));
        assert!(Part::from_bytes(&bytes, &|_| None).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Part::from_bytes(&bad, &blob).is_err(), "byte {at}");
        }
    }
}

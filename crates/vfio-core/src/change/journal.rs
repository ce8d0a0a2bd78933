//! The journal of one operation: what it reached, a line each, and how a torn line is told from
//! a damaged one.
//!
//! Invariants: a line is `<crc32, eight hex digits> <json>\n`, appended with one write and
//! synced; the operation's state is that of the last valid line. Bad bytes at the end are a line
//! that a power cut tore, and count as absent; a bad line before a good one is damage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::{
    defect::defect,
    record::{MarkLine, Side},
};

/// How far an operation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Recorded; no file is touched.
    Planned,
    /// Files are going in place.
    Applying,
    /// Programs rebuild what derives from the files.
    Generating,
    /// The result is being checked.
    Verifying,
    /// Done.
    Applied,
    /// Being taken back after a failure.
    RollingBack,
    /// Taken back after a failure, as if it had never been.
    RolledBack,
    /// Being undone.
    Undoing,
    /// Undone.
    Undone,
    /// Being done again.
    Redoing,
    /// Its record cannot be read.
    #[serde(skip)]
    Damaged,
}

impl State {
    /// Whether the operation must be recovered before anything else is done.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        !matches!(self, Self::Applied | Self::RolledBack | Self::Undone | Self::Damaged)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Applying => "applying",
            Self::Generating => "generating",
            Self::Verifying => "verifying",
            Self::Applied => "applied",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Redoing => "redoing",
            Self::Damaged => "damaged",
        })
    }
}

/// A generated file as it is replaced: its path, its staging names, and what was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Built {
    pub(crate) path: String,
    pub(crate) staged: String,
    /// SHA-256 of the live file before; `None` when there was none.
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) seq: u32,
    pub(crate) state: State,
    /// Which record this is about: empty for the apply, else `undo-0001`, `redo-0002`...
    pub(crate) part: String,
    /// RFC 3339, UTC.
    pub(crate) t: String,
    /// Names that generators were told to write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) staging: Vec<String>,
    /// Generated files about to be replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) built: Vec<Built>,
    /// The directories of generated files, as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<MarkLine>,
    /// Commands left to the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) by_hand: Vec<String>,
    /// Older operations that the same undo takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) with: Vec<u32>,
    /// What an undo does with edited files: `stop`, `keep`, `restore`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) conflicts: String,
    /// Nothing is left beside the files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) clean: bool,
    /// Modification times of the touched directories once clean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) folders: BTreeMap<String, (i64, u32)>,
    /// Files that a daemon is given, and writes in its own words from then on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) given: Vec<String>,
    /// What it made of those, where that is not what it was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settled: BTreeMap<String, Side>,
    /// In `undone`: the newest operation there was then.
    #[serde(default)]
    pub(crate) newest: u32,
}

impl Entry {
    pub(crate) fn new(state: State, part: &str) -> Self {
        Self {
            seq: 0,
            state,
            part: part.to_owned(),
            t: String::new(),
            staging: Vec::new(),
            built: Vec::new(),
            marks: Vec::new(),
            by_hand: Vec::new(),
            with: Vec::new(),
            conflicts: String::new(),
            clean: false,
            folders: BTreeMap::new(),
            given: Vec::new(),
            settled: BTreeMap::new(),
            newest: 0,
        }
    }

    /// The line, numbered and dated.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
    }

    /// Whether a bad line is a good one that lost its line break, and not a torn one.
    fn runs_on(line: &[u8]) -> bool {
        let Some(json) = line.get(9..) else { return false };
        let mut values =
            serde_json::Deserializer::from_slice(json).into_iter::<serde_json::Value>();
        let whole = matches!(values.next(), Some(Ok(_))).then(|| 9 + values.byte_offset());
        whole.is_some_and(|end| end < line.len() && Self::from_line(&line[..end]).is_some())
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let (sum, json) = (line.get(..8)?, line.get(9..)?);
        let expected = format!("{:08x} ", crc32fast::hash(json));
        let whole = defect("no-crc") || sum == &expected.as_bytes()[..8] && line[8] == b' ';
        whole.then(|| serde_json::from_slice(json).ok())?
    }
}

/// The valid lines, and how many bytes they are; the error says what is damaged.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Vec<Entry>, u64), String> {
    let (mut entries, mut good, mut at, mut torn) = (Vec::new(), 0, 0, false);
    while let Some(length) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let entry = Entry::from_line(&bytes[at..at + length]);
        at += length + 1;
        match entry {
            Some(_) if torn => return Err("a line in the middle of its journal".to_owned()),
            Some(entry) if entry.seq as usize != entries.len() => {
                return Err("a line of its journal is missing".to_owned());
            }
            Some(entry) => {
                entries.push(entry);
                good = at as u64;
            }
            None if Entry::runs_on(&bytes[at - length - 1..at]) => {
                return Err("a line of its journal runs on".to_owned());
            }
            None => torn = true,
        }
    }
    if entries.is_empty() {
        return Err("its journal has no valid line".to_owned());
    }
    Ok((entries, good))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Vec<u8> {
        let states = [State::Planned, State::Applying, State::Applied];
        let lines = states.into_iter().zip(0..).map(|(state, seq)| {
            let mut entry = Entry::new(state, "");
            entry.seq = seq;
            entry.to_line()
        });
        lines.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_torn_tail_is_absent_and_damage_is_seen() {
        let whole = journal();
        let last = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
        for cut in last..whole.len() {
            let (entries, good) = parse(&whole[..cut]).unwrap();
            assert_eq!((entries.len(), good), (2, last as u64), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 4;
            match parse(&bad) {
                Ok((entries, _)) => {
                    assert!(at >= last, "byte {at} of an early line");
                    assert_eq!(entries.len(), 2);
                }
                Err(_) => assert!(at < last, "byte {at}"),
            }
        }
        assert!(parse(b"").is_err());
        assert!(parse(&whole[last..]).is_err(), "lines are numbered");
    }
}

//! Whether there is room for a plan, asked before the first byte is written.
//!
//! Invariants: nothing is written here; a file system that does not count its blocks or names
//! has room; what is built anew is taken to be as large as what is there, and a tenth more.

use std::collections::BTreeMap;

use rustix::fs::{OFlags, StatVfs};

use crate::{
    Error, Result, Root,
    change::{
        Artefact, Plan, assemble,
        place::{parents, split},
        store::STATE,
    },
    error::At,
};

/// For the journal, and for what generators put down while they work.
const MARGIN: u64 = 16 << 20;
/// Files and directories of a record besides old and new contents.
const RECORD: u64 = 8;
/// What a file takes up is whole blocks, and a directory entry.
const BLOCK: u64 = 4096;

/// What one file system must take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Need {
    /// A directory in it, for a person.
    dir: String,
    bytes: u64,
    names: u64,
    /// What of the bytes is built anew.
    built: u64,
}

/// Refuses a plan that at least one file system has no room for.
pub(crate) fn check(root: &Root, plan: &Plan, artefacts: &[Artefact]) -> Result<()> {
    for (need, free) in needs(root, plan, artefacts)?.values() {
        room(need, free)?;
    }
    Ok(())
}

/// What each file system must take, and how full it is.
fn needs(
    root: &Root,
    plan: &Plan,
    artefacts: &[Artefact],
) -> Result<BTreeMap<u64, (Need, StatVfs)>> {
    let mut needs = BTreeMap::new();
    let mut state = Need { bytes: MARGIN, names: RECORD, ..Need::default() };
    for change in &plan.changes {
        let (old, new) = (blocks(change.before.size()), blocks(change.after.size()));
        state.bytes += old + if change.after.is_large() { 0 } else { new };
        state.names += 2;
        let target = assemble::target(root, change)?;
        let made = parents(&target).len() as u64;
        let need = Need { bytes: new, names: 1 + made, ..Need::default() };
        add(root, &mut needs, split(&target).0, &need)?;
    }
    add(root, &mut needs, STATE, &state)?;
    for artefact in artefacts {
        let now = root.size(&artefact.path)?.unwrap_or(0);
        let built = blocks(now + now / 10);
        let need = Need { bytes: built, built, names: 1, ..Need::default() };
        add(root, &mut needs, split(&artefact.path).0, &need)?;
    }
    Ok(needs)
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// Adds to what the file system of `dir`, or of the deepest directory above it, must take.
fn add(
    root: &Root,
    needs: &mut BTreeMap<u64, (Need, StatVfs)>,
    dir: &str,
    more: &Need,
) -> Result<()> {
    let above = parents(dir);
    for dir in std::iter::once(dir).chain(above.into_iter().rev()).chain([""]) {
        let Some(fd) = root.open_at(dir, OFlags::PATH | OFlags::DIRECTORY)? else { continue };
        let device = rustix::fs::fstat(&fd).at("inspect", dir)?.st_dev;
        let free = rustix::fs::fstatvfs(&fd).at("inspect", dir)?;
        let first = || (Need { dir: dir.to_owned(), ..Need::default() }, free);
        let (need, _) = needs.entry(device).or_insert_with(first);
        need.bytes += more.bytes;
        need.names += more.names;
        need.built += more.built;
        return Ok(());
    }
    Ok(())
}

/// Whether a file system has room.
fn room(need: &Need, free: &StatVfs) -> Result<()> {
    // Whoever carries the plan out is root, and may use what is reserved.
    let bytes = free.f_bfree.saturating_mul(free.f_frsize);
    let refused = |what: String, because: Vec<String>, help: String| {
        Err(Error::Refused { what, because, help: vec![help] })
    };
    let dir = &need.dir;
    if free.f_blocks > 0 && bytes < need.bytes {
        let (needed, there) = (size(need.bytes), size_down(bytes));
        let built = format!(
            "the new initramfs and boot menu take about {}, until the old ones go",
            size(need.built)
        );
        return refused(
            format!("the file system of /{dir} is too full: {needed} are needed, {there} are free"),
            if need.built > 0 { vec![built] } else { Vec::new() },
            format!("free {} there", size(need.bytes - bytes)),
        );
    }
    if free.f_files > 0 && free.f_ffree < need.names {
        return refused(
            format!(
                "the file system of /{dir} is too full: {} new files are needed, {} are possible",
                need.names, free.f_ffree
            ),
            vec!["it has a fixed number of files (inodes)".to_owned()],
            "remove files there that are no longer needed".to_owned(),
        );
    }
    Ok(())
}

/// What is free, for a person, rounded down.
fn size_down(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// A size for a person, rounded up.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use super::*;
    use crate::{
        Advice, Exit,
        change::{Rebuild, laws},
    };

    fn room_in(blocks: u64, files: u64, need: &Need) -> Result<()> {
        let free = rustix::fs::statvfs("/").unwrap();
        let all = (1 << 40, 1 << 40);
        let (f_blocks, f_files) = all;
        let (f_bfree, f_ffree) = (blocks, files);
        room(need, &StatVfs { f_frsize: 4096, f_blocks, f_bfree, f_files, f_ffree, ..free })
    }

    #[test]
    fn too_little_room_is_refused_with_numbers() {
        let need = Need { dir: "boot".to_owned(), bytes: 100 << 20, names: 3, built: 90 << 20 };
        room_in(25_600, 3, &need).unwrap();
        let error = room_in(25_599, 3, &need).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(
            error.to_string(),
            "the file system of /boot is too full: 100 MiB are needed, 99 MiB are free"
        );
        let error = room_in(10_240, 3, &need).unwrap_err();
        assert!(error.to_string().ends_with("100 MiB are needed, 40 MiB are free"), "{error}");
        assert_eq!(error.help(), ["free 60 MiB there"]);
        assert!(error.because()[0].contains("about 90 MiB"), "{:?}", error.because());
        let error = room_in(25_600, 2, &need).unwrap_err();
        assert!(error.to_string().contains("3 new files are needed, 2 are possible"), "{error}");
    }

    #[test]
    fn a_file_system_that_does_not_count_has_room() {
        let free = rustix::fs::statvfs("/").unwrap();
        let free = StatVfs { f_blocks: 0, f_bfree: 0, f_files: 0, f_ffree: 0, ..free };
        room(&Need { bytes: 1 << 40, names: 1 << 40, ..Need::default() }, &free).unwrap();
    }

    #[test]
    fn what_is_needed_is_the_record_the_files_and_what_is_built() {
        let (dir, root) = laws::machine();
        std::fs::write(dir.path().join("boot/initrd.img-6.1"), vec![0; 1 << 20]).unwrap();
        let artefact = Artefact {
            what: Rebuild::Initramfs,
            path: "boot/initrd.img-6.1".to_owned(),
            staged: "boot/.x".to_owned(),
            listing: None,
            replaces: None,
        };
        let needs = needs(&root, &laws::plan(&root), &[artefact]).unwrap();
        let (need, _) = needs.values().next().unwrap();
        assert_eq!(needs.len(), 1, "a scratch tree is on one file system");
        // Six new files twice, three old ones that are replaced, one that goes away.
        assert_eq!(need.built, blocks((1 << 20) * 11 / 10));
        assert_eq!(need.bytes - MARGIN - need.built, 16 * BLOCK);
    }
}

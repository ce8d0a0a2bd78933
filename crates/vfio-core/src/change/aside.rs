//! The way on when the record of an operation cannot be read: it is set aside, whole.
//!
//! Invariants: only a record that an undo or a recovery would refuse is set aside; that is one
//! rename of its directory, nothing in it is touched, and its number is never used again. Which
//! files it was about is a guess from what can still be read, good enough to tell a person.

use std::collections::BTreeSet;

use crate::{
    Error, Result, Root,
    change::{
        Damage, Settings,
        disk::Disk,
        mounts,
        place::{Folder, join, split, tag},
        store::{self, Store, TX, aside_name, ids, load, tx_path},
    },
};

/// Directories in which an operation leaves names besides those of its files.
const STAGED: [&str; 4] = ["boot", "boot/grub", "boot/grub2", "etc/libvirt/hooks"];

/// What is wrong with the record of operation `id`, and what it may be about.
///
/// # Errors
///
/// There is no such operation, or its record can be read.
pub fn damage(root: &Root, id: u32) -> Result<Damage> {
    let refused = |what: String, because: String, help: &str| {
        Err(Error::Refused { what, because: vec![because], help: vec![help.to_owned()] })
    };
    if !ids(root)?.contains(&id) {
        let what = format!("there is no record of an operation {id}");
        return refused(what, format!("/{TX} holds none"), "`deploy-vfio log` lists them");
    }
    let Some(what) = wrong(root, id)? else {
        return refused(
            format!("the record of operation {id} stays where it is"),
            "it can be read, so it can be recovered and undone".to_owned(),
            "`deploy-vfio recover` finishes what was interrupted, `deploy-vfio undo` takes it back",
        );
    };
    let dir = tx_path(id);
    let plan = root.text(&join(&dir, "plan.json")).ok().flatten().unwrap_or_default();
    let files: BTreeSet<String> = targets(&plan).into_iter().collect();
    let left = left_over(root, id, &files)?;
    let saved = !root.names(&join(&dir, "pre")).unwrap_or_default().is_empty();
    let kept = join(TX, &aside_name(root, id)?);
    Ok(Damage { id, what, files: files.into_iter().collect(), left, saved, kept })
}

/// Renames the damaged record of operation `id`, so that the others can be worked with again.
///
/// # Errors
///
/// As [`damage`]: a record that can be read is never set aside.
pub fn set_aside(root: &Root, id: u32, settings: &Settings<'_>) -> Result<Damage> {
    carry_out(root, &Disk::new(), id, settings)
}

pub(crate) fn carry_out(
    root: &Root,
    disk: &Disk,
    id: u32,
    settings: &Settings<'_>,
) -> Result<Damage> {
    // Where there is no such record, no state directory is made.
    damage(root, id)?;
    let _store = Store::open(root, disk, settings)?;
    let damage = damage(root, id)?;
    let tx = Folder::open(root, TX)?;
    disk.rename((&tx, split(&tx_path(id)).1), (&tx, split(&damage.kept).1))?;
    disk.sync_folder(&tx)?;
    Ok(damage)
}

/// Why an undo or a recovery would refuse the record; `None` when neither would.
fn wrong(root: &Root, id: u32) -> Result<Option<String>> {
    let read = || {
        let last = store::last(root, id)?;
        load(root, id, "")?;
        load(root, id, &last.part)
    };
    match read() {
        Ok(_) => Ok(None),
        Err(Error::Damaged { what, .. }) => Ok(Some(what)),
        Err(error) => Err(error),
    }
}

/// The error that a writing call would end with before it does anything: a damaged record, or an
/// operation that waits for `recover`, or that another run is busy with.
pub fn ready(root: &Root) -> Result<()> {
    mounts::check(root, &[store::STATE])?;
    let mut waiting = None;
    for id in ids(root)? {
        let last = store::last(root, id)?;
        if !last.clean && waiting.is_none() {
            waiting = Some((id, last.part));
        }
    }
    let Some((id, part)) = waiting else { return Ok(()) };
    store::check_free(root)?;
    load(root, id, &part)?;
    Err(Error::NeedsRecovery { id })
}

/// The files that a plan names, as far as its text goes.
fn targets(plan: &str) -> Vec<String> {
    let target = |line: &str| {
        let value = line.trim().strip_prefix("\"target\": ")?.trim_end_matches(',');
        serde_json::from_str::<String>(value).ok()
    };
    plan.lines().filter_map(target).collect()
}

/// The names that the operation left beside its files and staged results.
fn left_over(root: &Root, id: u32, files: &BTreeSet<String>) -> Result<Vec<String>> {
    let mark = format!(".{}.", tag(id));
    let mut dirs: BTreeSet<&str> = files.iter().map(|file| split(file).0).collect();
    dirs.extend(STAGED);
    let mut left = Vec::new();
    for dir in dirs {
        // What a garbled record names may be no path at all.
        let Ok(names) = root.names(dir.trim_start_matches('/')) else { continue };
        left.extend(names.iter().filter(|name| name.contains(&mark)).map(|name| join(dir, name)));
    }
    Ok(left)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;
    use crate::{
        Advice, Exit,
        change::{NoRebuild, OnConflict, apply, history, interrupted, laws, recover, redo, undo},
    };

    fn record(dir: &Path) -> std::path::PathBuf {
        dir.join("var/lib/deploy-vfio/tx/000001")
    }

    /// A tree with one operation, of whose record one file is damaged.
    fn damaged(file: &str, bytes: &[u8]) -> (tempfile::TempDir, Root) {
        let (dir, root) = laws::machine();
        apply(&root, &laws::plan(&root), &laws::settings(&NoRebuild)).unwrap();
        fs::write(record(dir.path()).join(file), bytes).unwrap();
        (dir, root)
    }

    fn all(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true => found.extend(
                    all(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
                ),
                false => drop(found.insert(name, fs::read(&path).unwrap())),
            }
        }
        found
    }

    #[test]
    fn a_damaged_record_is_set_aside_whole_and_work_goes_on() {
        let settings = laws::settings(&NoRebuild);
        for file in ["journal", "plan.json", "pre/0001"] {
            let (dir, root) = damaged(file, b"garbled");
            let tree = laws::tree(dir.path());
            let before = all(&record(dir.path()));
            let done = set_aside(&root, 1, &settings).unwrap();
            assert_eq!(done.kept, "var/lib/deploy-vfio/tx/000001.damaged");
            assert!(done.saved && done.left.is_empty());
            assert_eq!(done.files.len(), if file == "plan.json" { 0 } else { 9 }, "{file}");
            assert_eq!(all(&dir.path().join(&done.kept)), before, "nothing in it is touched");
            assert_eq!(laws::tree(dir.path()), tree, "no file is touched");

            assert_eq!(history(&root).unwrap(), []);
            ready(&root).unwrap();
            assert_eq!(recover(&root, &settings).unwrap(), []);
            assert_eq!(undo(&root, OnConflict::Stop, &settings).unwrap(), None);
            assert_eq!(redo(&root, &settings).unwrap(), None);
            let mut draft = crate::change::Draft::new(&root);
            draft.write("etc/after", "x").unwrap();
            let next = apply(&root, &draft.finish("after").unwrap(), &settings).unwrap();
            assert_eq!(next.id, 2, "a number is used once");
            assert_eq!(set_aside(&root, 1, &settings).unwrap_err().exit(), Exit::Refused);
        }
    }

    #[test]
    fn a_record_that_can_be_read_stays_where_it_is() {
        let (dir, root) = laws::machine();
        let settings = laws::settings(&NoRebuild);
        let none = set_aside(&root, 1, &settings).unwrap_err();
        assert!(none.to_string().contains("no record of an operation 1"), "{none}");
        assert!(!dir.path().join("var").exists(), "nothing is written");
        apply(&root, &laws::plan(&root), &settings).unwrap();
        let stays = set_aside(&root, 1, &settings).unwrap_err();
        assert_eq!(stays.exit(), Exit::Refused);
        assert!(stays.to_string().contains("stays where it is"), "{stays}");
        assert_eq!(history(&root).unwrap().len(), 1);
    }

    #[test]
    fn damage_is_named_before_an_interruption() {
        let (dir, root) = damaged("journal", b"garbled");
        assert!(matches!(ready(&root), Err(Error::Damaged { id: 1, .. })));
        assert_eq!(interrupted(&root).unwrap(), None);
        fs::remove_file(record(dir.path()).join("journal")).unwrap();
        fs::create_dir(record(dir.path()).join("journal")).unwrap();
        assert!(matches!(ready(&root), Err(Error::Damaged { id: 1, .. })), "no file at all");
        assert!(matches!(history(&root).unwrap()[0].state, crate::change::State::Damaged));
        set_aside(&root, 1, &laws::settings(&NoRebuild)).unwrap();
    }

    #[test]
    fn half_a_plan_still_names_its_files() {
        let (dir, root) = damaged("journal", b"");
        let plan = fs::read(record(dir.path()).join("plan.json")).unwrap();
        fs::write(record(dir.path()).join("plan.json"), &plan[..plan.len() / 3]).unwrap();
        fs::write(dir.path().join("etc/default/.grub.dv-000001.swp~"), "old").unwrap();
        let damage = damage(&root, 1).unwrap();
        assert!(damage.files.contains(&"etc/default/grub".to_owned()), "{damage:?}");
        assert_eq!(damage.left, ["etc/default/.grub.dv-000001.swp~"]);
    }

    #[test]
    fn a_power_cut_leaves_the_record_under_one_name() {
        let settings = laws::settings(&NoRebuild);
        for calls in 0.. {
            let (dir, root) = damaged("plan.json", b"garbled");
            let before = all(&record(dir.path()));
            let done = carry_out(&root, &Disk::cut_after(calls), 1, &settings);
            let tx = record(dir.path()).parent().unwrap().to_owned();
            let names: Vec<_> =
                fs::read_dir(&tx).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(names.len(), 1, "{names:?}");
            assert_eq!(all(&names[0]), before);
            if done.is_ok() {
                break;
            }
        }
    }
}

//! One file's way into place, and back.
//!
//! Invariants: a file is complete, synced and named `.swp~` before it is exchanged with the live
//! one; what was displaced is looked at afterwards, and if it is not what it should be, a user
//! edited it and gets it back. [`put_back`] works from what it finds on the disk alone, so it
//! can be interrupted anywhere and started again, and it never removes a user's edit.

use crate::{
    Error, Result, Root,
    change::{
        Image, Meta,
        defect::defect,
        disk::Disk,
        place::{Folder, Place, join},
        record::Step,
    },
};

/// What is found at a name, in the light of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What was there before the step.
    Before,
    /// What the step puts there.
    After,
    /// Nothing, where something was expected.
    Nothing,
    /// What someone else put there.
    Other,
}

/// The next move of a file on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It is back.
    Done,
    /// It is someone's own now and stays.
    Kept,
    /// What is displaced goes back to the live name.
    Return,
    /// What is displaced goes away.
    Drop,
    /// What is displaced is someone's, and so is the live file: a copy is kept in the record.
    Save,
    /// The old content is written anew.
    Rewrite,
}

/// The open directories of a step.
struct Spot {
    place: Place,
    live: Folder,
    stage: Folder,
}

impl Spot {
    fn open(root: &Root, step: &Step, tag: &str) -> Result<Self> {
        let place = Place::new(&step.target, tag);
        Ok(Self {
            live: Folder::open(root, &place.dir)?,
            stage: Folder::open(root, &place.stage)?,
            place,
        })
    }

    fn live(&self) -> (&Folder, &str) {
        (&self.live, &self.place.name)
    }

    fn staged(&self) -> (&Folder, &str) {
        (&self.stage, &self.place.new)
    }

    fn swp(&self) -> (&Folder, &str) {
        (&self.stage, &self.place.swp)
    }

    /// Writes `image` under the name `.swp~`.
    fn write(&self, disk: &Disk, image: &Image) -> Result<()> {
        let (stage, new) = self.staged();
        disk.unlink(stage, new)?;
        match image {
            Image::Absent => return Ok(()),
            Image::File { bytes, meta } => disk.create(stage, new, bytes, meta)?,
            Image::Link(to) => disk.symlink(stage, new, to)?,
            Image::Unkept { .. } => return Err(Error::Changed { path: self.place.swp_path() }),
        }
        match disk.rename_new(self.staged(), self.swp())? {
            true => Ok(()),
            false => Err(Error::Changed { path: self.place.swp_path() }),
        }
    }
}

/// Writes the new content beside its target, complete and synced; the name still needs a sync of
/// the directory.
pub(crate) fn stage(root: &Root, disk: &Disk, step: &Step, tag: &str) -> Result<()> {
    let spot = Spot::open(root, step, tag)?;
    let written = spot.write(disk, &step.after);
    written.inspect_err(|_| drop(disk.unlink(&spot.stage, &spot.place.new)))
}

/// Puts the staged file in place and checks what it displaced.
pub(crate) fn commit(root: &Root, disk: &Disk, step: &Step, tag: &str) -> Result<()> {
    let spot = Spot::open(root, step, tag)?;
    let changed = || Err(Error::Changed { path: step.path.clone() });
    if defect("rename") || defect("in-place") {
        return commit_badly(disk, step, &spot);
    }
    let moved = match (&step.before, &step.after) {
        (Image::Absent, _) => disk.rename_new(spot.swp(), spot.live())?,
        (_, Image::Absent) => match root.stat(&step.target)? {
            None => false,
            Some(_) => disk.rename_new(spot.live(), spot.swp())?,
        },
        _ => return exchange(root, disk, step, &spot),
    };
    // Where there was nothing, nothing is displaced.
    match moved && find(root, &spot.place.swp_path(), step)? == Found::Before {
        true => Ok(()),
        false => changed(),
    }
}

fn exchange(root: &Root, disk: &Disk, step: &Step, spot: &Spot) -> Result<()> {
    let changed = || Err(Error::Changed { path: step.path.clone() });
    if root.stat(&step.target)?.is_none() {
        return changed();
    }
    if disk.exchange(spot.swp(), spot.live())? {
        return match find(root, &spot.place.swp_path(), step)? {
            Found::Before => Ok(()),
            _ => changed(),
        };
    }
    // A file system that cannot exchange: look, then replace. The record has the old bytes.
    match find(root, &step.target, step)? {
        Found::Before => disk.rename(spot.swp(), spot.live()),
        _ => changed(),
    }
}

/// What the fault tests must notice.
fn commit_badly(disk: &Disk, step: &Step, spot: &Spot) -> Result<()> {
    match &step.after {
        Image::Absent => disk.unlink(&spot.live, &spot.place.name),
        Image::File { bytes, meta } if defect("in-place") => {
            disk.unlink(&spot.stage, &spot.place.swp)?;
            disk.overwrite(&spot.live, &spot.place.name, bytes, meta)
        }
        _ => disk.rename(spot.swp(), spot.live()),
    }
}

/// Removes what was displaced; the step is done for good.
pub(crate) fn clean(root: &Root, disk: &Disk, step: &Step, tag: &str) -> Result<()> {
    let place = Place::new(&step.target, tag);
    let Some(stage) = unmoved(root, &place.stage)? else { return Ok(()) };
    for (name, path) in
        [(&place.new, join(&place.stage, &place.new)), (&place.swp, place.swp_path())]
    {
        if root.stat(&path)?.is_some() {
            disk.unlink(&stage, name)?;
        }
    }
    Ok(())
}

/// Brings a file back to what it was before `step`: `false` when someone else's edit stays
/// instead. `save` keeps a displaced edit for which there is no place. With `given`, what a daemon
/// made of the step's content is the step's.
pub(crate) fn put_back(
    (root, disk): (&Root, &Disk),
    step: &Step,
    tag: &str,
    given: bool,
    save: &dyn Fn(&[u8]) -> Result<()>,
) -> Result<bool> {
    let place = Place::new(&step.target, tag);
    if unmoved(root, &place.dir)?.is_none() || unmoved(root, &place.stage)?.is_none() {
        return Ok(step.before == Image::Absent);
    }
    let spot = Spot::open(root, step, tag)?;
    if root.stat(&join(&place.stage, &place.new))?.is_some() {
        disk.unlink(&spot.stage, &place.new)?;
    }
    if given
        && find(root, &step.target, step)? == Found::Other
        && let Ok(Image::File { bytes, .. }) = Image::read(root, &step.target)
    {
        // Nobody can tell the daemon's own words from an edit that came later.
        save(&bytes)?;
    }
    let find = |path: &str| match find(root, path, step)? {
        Found::Other if given => Ok(Found::After),
        found => Ok::<_, Error>(found),
    };
    // A file that someone keeps changing is theirs.
    for _ in 0..16 {
        let live = find(&step.target)?;
        let swp = match root.stat(&place.swp_path())? {
            None => Found::Nothing,
            Some(_) => find(&place.swp_path())?,
        };
        match next(live, swp) {
            Move::Done => return Ok(true),
            Move::Kept => return Ok(false),
            Move::Drop => disk.unlink(&spot.stage, &place.swp)?,
            Move::Save => {
                if let Ok(Image::File { bytes, .. }) = Image::read(root, &place.swp_path()) {
                    save(&bytes)?;
                }
                disk.unlink(&spot.stage, &place.swp)?;
            }
            Move::Return => give_back(root, disk, step, &spot)?,
            Move::Rewrite if step.before == Image::Absent => {
                disk.rename_new(spot.live(), spot.swp())?;
            }
            // Somebody took away what was displaced, and the record has no copy: it stays away.
            Move::Rewrite if matches!(step.before, Image::Unkept { .. }) => return Ok(false),
            Move::Rewrite => spot.write(disk, &step.before)?,
        }
    }
    Err(Error::Changed { path: step.path.clone() })
}

/// A directory that was worked in; `None` when it is gone. Where something else has its name, it is kept
/// somewhere, with what was left in it.
fn unmoved(root: &Root, dir: &str) -> Result<Option<Folder>> {
    let is_link = !dir.is_empty() && root.link(dir)?.is_some();
    match Folder::find(root, dir)?.filter(|_| !is_link) {
        Some(folder) => Ok(Some(folder)),
        None if root.stat(dir)?.is_none() => Ok(None),
        None => Err(Error::Changed { path: dir.to_owned() }),
    }
}

/// What is displaced takes the live name, whether there is something or not.
fn give_back(root: &Root, disk: &Disk, step: &Step, spot: &Spot) -> Result<()> {
    if root.stat(&step.target)?.is_none() {
        return disk.rename_new(spot.swp(), spot.live()).map(drop);
    }
    if !disk.exchange(spot.swp(), spot.live())? {
        disk.rename(spot.swp(), spot.live())?;
    }
    Ok(())
}

/// The move that follows from what is found at the live name and under `.swp~`.
pub(crate) fn next(live: Found, swp: Found) -> Move {
    match (live, swp) {
        (Found::Before, Found::Nothing) => Move::Done,
        (Found::After, Found::Nothing) => Move::Rewrite,
        (Found::Nothing | Found::Other, Found::Nothing) => Move::Kept,
        // The staged file was not exchanged, or was exchanged back.
        (_, Found::After) => Move::Drop,
        (Found::After, Found::Before) => Move::Return,
        // What is displaced is in the record too.
        (_, Found::Before) => Move::Drop,
        // A displaced edit: the live name is ours or free.
        (Found::Before | Found::After | Found::Nothing, Found::Other) => Move::Return,
        (Found::Other, Found::Other) => Move::Save,
    }
}

fn find(root: &Root, path: &str, step: &Step) -> Result<Found> {
    Ok(match Image::read(root, path) {
        Ok(image) if image.is(&step.before) => Found::Before,
        Ok(image) if image.is(&step.after) => Found::After,
        Ok(Image::Absent) => Found::Nothing,
        Ok(_) | Err(Error::Refused { .. } | Error::Changed { .. }) => Found::Other,
        Err(error) => return Err(error),
    })
}

/// Makes a missing directory.
pub(crate) fn make_folder(root: &Root, disk: &Disk, path: &str) -> Result<()> {
    let owner = Meta::new(root, 0)?;
    let (dir, name) = crate::change::place::split(path);
    disk.mkdir(&Folder::open(root, dir)?, name, 0o755, Some((owner.uid, owner.gid))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every start leads to an end, and an edit at either name survives.
    #[test]
    fn the_way_back_ends_and_loses_no_edit() {
        use Found::{After, Before, Nothing, Other};
        for start_live in [Before, After, Nothing, Other] {
            for start_swp in [Before, After, Nothing, Other] {
                let (mut live, mut swp, mut saved) = (start_live, start_swp, 0);
                let edits = |found| usize::from(found == Other);
                for round in 0.. {
                    assert!(round < 8, "{start_live:?} {start_swp:?}");
                    match next(live, swp) {
                        Move::Done | Move::Kept => break,
                        Move::Drop => {
                            assert_ne!(swp, Other);
                            swp = Nothing;
                        }
                        Move::Save => (saved, swp) = (saved + 1, Nothing),
                        Move::Return => std::mem::swap(&mut live, &mut swp),
                        Move::Rewrite => swp = Before,
                    }
                }
                let before = edits(start_live) + edits(start_swp);
                assert_eq!(edits(live) + edits(swp) + saved, before);
                assert_eq!(swp, Nothing, "nothing stays behind");
                if before == 0 && start_live != Nothing {
                    assert_eq!(live, Before, "{start_live:?} {start_swp:?}");
                }
            }
        }
    }
}

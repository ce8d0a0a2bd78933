//! Turns a plan, or an operation to be undone, into the part that carries it out.
//!
//! Invariants: nothing is written here; whatever could not be put back later is refused now;
//! `before` of every step is what the disk holds at this moment, times included.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, Result, Root,
    change::{
        Change, Image, OnConflict, Plan, Standing, edit,
        journal::{Entry, State},
        members,
        place::{
            Folder, Place, check_links, check_path, check_target, check_way, parents, refuse,
            resolve, split, tag,
        },
        record::{Mark, Part, Step},
        store,
    },
};

/// Refuses a plan that cannot be carried out here, before anything is written.
pub(crate) fn check(root: &Root, plan: &Plan) -> Result<()> {
    let mut seen = BTreeSet::new();
    for change in &plan.changes {
        let target = target(root, change)?;
        check_links(root, &change.path)?;
        check_target(root, &target)?;
        change.after.check_size(&target)?;
        if let Some(dir) = parents(&change.path).into_iter().find(|dir| is_file(plan, dir)) {
            return Err(refuse(&change.path, &format!("the plan makes /{dir} a file"), None));
        }
        if !seen.insert(target) {
            return Err(refuse(&change.path, "the plan names it twice, through a link", None));
        }
    }
    Ok(())
}

fn is_file(plan: &Plan, path: &str) -> bool {
    plan.changes.iter().any(|c| c.path == path && matches!(c.after, Image::File { .. }))
}

/// Where a change really happens.
pub(crate) fn target(root: &Root, change: &Change) -> Result<String> {
    check_path(&change.path)?;
    let file = |image: &Image| matches!(image, Image::File { .. });
    // Where a file is edited, a link that leads to it stays.
    resolve(root, &change.path, file(&change.before) && file(&change.after))
}

/// The part that carries out `plan` as operation `id`.
pub(crate) fn apply(root: &Root, plan: &Plan, id: u32) -> Result<Part> {
    check(root, plan)?;
    let mut steps = Vec::new();
    for change in &plan.changes {
        let target = target(root, change)?;
        let before = Image::read(root, &target)?;
        if !before.is(&change.before) {
            return Err(Error::Changed { path: change.path.clone() });
        }
        let (path, after) = (change.path.clone(), change.after.clone());
        steps.push(Step { path, target, before, after });
    }
    part(root, &plan.title, plan.notes.clone(), steps, id)
}

fn part(root: &Root, title: &str, notes: Vec<String>, steps: Vec<Step>, id: u32) -> Result<Part> {
    let (mut make, mut touched) = (BTreeSet::new(), BTreeSet::new());
    for step in &steps {
        check_target(root, &step.target)?;
        let place = Place::new(&step.target, &tag(id));
        touched.extend([place.dir.clone(), place.stage.clone()]);
        for dir in parents(&step.target) {
            if root.stat(dir)?.is_none() {
                make.insert(dir.to_owned());
                touched.insert(split(dir).0.to_owned());
            }
        }
    }
    let mut marks = Vec::new();
    for path in touched {
        marks.extend(Mark::of(root, &path, &tag(id))?);
    }
    let make = make.into_iter().collect();
    Ok(Part { title: title.to_owned(), notes, steps, make, marks, ..Part::default() })
}

/// Has the part remove what it leaves empty of the directories that operations of ours made.
pub(crate) fn sweep(root: &Root, part: &mut Part, id: u32) -> Result<()> {
    let removed = part.steps.iter().filter(|step| step.after == Image::Absent);
    let mut swept: BTreeSet<&str> = removed.flat_map(|step| parents(&step.target)).collect();
    if swept.is_empty() {
        return Ok(());
    }
    let mut made = BTreeSet::new();
    for id in store::ids(root)? {
        // What a damaged record says counts for nothing.
        let applied = store::last(root, id).is_ok_and(|last| last.state == State::Applied);
        made.extend(store::load(root, id, "").ok().filter(|_| applied).unwrap_or_default().make);
    }
    // One with other rights would come back with the usual ones.
    let usual = |dir: &str| Ok(root.stat(dir)?.is_some_and(|stat| stat.st_mode & 0o7777 == 0o755));
    swept.retain(|dir| made.contains(*dir));
    let mut unmake = Vec::new();
    for dir in swept.into_iter().rev() {
        if usual(dir)? {
            unmake.push(dir.to_owned());
            let above = split(dir).0;
            if !part.marks.iter().any(|mark| mark.path == above) {
                part.marks.extend(Mark::of(root, above, &tag(id))?);
            }
        }
    }
    part.unmake = unmake;
    Ok(())
}

/// The files of a tree, as they are or as steps that come first will have left them.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    root: &'a Root,
    later: BTreeMap<String, Image>,
    /// Files that a person brought back already, past several operations at once.
    home: BTreeSet<String>,
}

impl<'a> Seen<'a> {
    /// As they are.
    pub(crate) fn now(root: &'a Root) -> Self {
        Self { root, later: BTreeMap::new(), home: BTreeSet::new() }
    }

    /// As they are, for all of these operations, the newest of which comes first, to be taken back.
    pub(crate) fn before<'p>(root: &'a Root, chain: impl Iterator<Item = &'p Part>) -> Self {
        let mut seen = Self::now(root);
        let (mut oldest, mut again) = (BTreeMap::new(), BTreeSet::new());
        for step in chain.flat_map(|part| &part.steps) {
            if oldest.insert(&step.target, &step.before).is_some() {
                again.insert(&step.target);
            }
        }
        oldest.retain(|target, _| again.contains(target));
        let is = |(target, before): &(&String, &Image)| {
            seen.image(target).is_ok_and(|image| image.is(before))
        };
        seen.home = oldest.into_iter().filter(is).map(|(target, _)| target.clone()).collect();
        seen
    }

    /// As these steps leave them.
    pub(crate) fn after(&mut self, steps: Vec<Step>) {
        self.later.extend(steps.into_iter().map(|step| (step.target, step.after)));
    }

    fn image(&self, target: &str) -> Result<Image> {
        if let Some(seen) = self.later.get(target) {
            return Ok(seen.clone());
        }
        // What stands behind a directory that is a link now is somebody else's.
        check_way(self.root, target)?;
        Image::read(self.root, target)
    }
}

/// How a file stands against a step.
pub(crate) fn standing(seen: &Seen<'_>, step: &Step) -> Result<(Standing, Option<Image>)> {
    Ok(match seen.image(&step.target) {
        Ok(image) if image.is(&step.after) => (Standing::InPlace, Some(image)),
        Ok(image) if image.is(&step.before) => (Standing::TakenBack, Some(image)),
        Ok(image) => (Standing::Edited, Some(image)),
        Err(Error::Refused { .. } | Error::Changed { .. }) => (Standing::Edited, None),
        Err(error) => return Err(error),
    })
}

/// The steps that undo `forward`, and the paths that they leave alone or that are in conflict.
pub(crate) fn undo_steps(
    seen: &Seen<'_>,
    forward: &Part,
    on_conflict: OnConflict,
) -> Result<(Vec<Step>, Vec<String>)> {
    let (mut steps, mut edited) = (Vec::new(), Vec::new());
    for step in &forward.steps {
        let (path, target) = (step.path.clone(), step.target.clone());
        match standing(seen, step)? {
            (Standing::TakenBack, _) => {}
            _ if seen.home.contains(&target) => {}
            (Standing::InPlace, Some(before)) => {
                let goes = step.before == Image::Absent && before.is_large();
                // It is only displaced on its way out, so it can return without a copy.
                let before = if goes { before.unkept() } else { before };
                steps.push(Step { path, target, before, after: step.before.clone() });
            }
            (_, now) => match (now.as_ref().and_then(|now| merged(step, now)), now, on_conflict) {
                (Some(after), Some(before), _) if after == before => {}
                (Some(after), Some(before), _) => {
                    steps.push(Step { path, target, before, after });
                }
                (None, Some(before), OnConflict::Restore) => {
                    steps.push(Step { path, target, before, after: step.before.clone() });
                }
                _ => edited.push(path),
            },
        }
    }
    steps.reverse();
    Ok((steps, edited))
}

/// An operation as it stands: its part, and the line that says so.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) id: u32,
    pub(crate) part: Part,
    pub(crate) end: Entry,
}

/// The part that undoes operations, the newest of which comes first, in one go; and of each the paths that
/// it leaves alone or that are in conflict.
pub(crate) fn undo(
    root: &Root,
    chain: &[Forward],
    on_conflict: OnConflict,
) -> Result<(Part, Vec<Vec<String>>)> {
    let Some(newest) = chain.first() else { return Ok((Part::default(), Vec::new())) };
    let mut seen = Seen::before(root, chain.iter().map(|forward| &forward.part));
    let (mut steps, mut edited) = (Vec::<Step>::new(), Vec::new());
    for forward in chain {
        let (these, left) = undo_steps(&seen, &forward.part, on_conflict)?;
        edited.push(left);
        for step in &these {
            match steps.iter_mut().find(|earlier| earlier.target == step.target) {
                Some(earlier) => earlier.after = step.after.clone(),
                None => steps.push(step.clone()),
            }
        }
        seen.after(these);
    }
    // What one brought and another had taken away is as it was all along.
    steps.retain(|step| step.before != step.after);
    let mut undo = part(root, &newest.part.title, Vec::new(), steps, newest.id)?;
    let made: BTreeSet<&String> = chain.iter().flat_map(|forward| &forward.part.make).collect();
    undo.unmake = made.into_iter().rev().cloned().collect();
    undo.restore = restore(root, chain)?;
    Ok((undo, edited))
}

/// The directories that nobody else touched, as they were before the oldest of these operations.
fn restore(root: &Root, chain: &[Forward]) -> Result<Vec<Mark>> {
    // What each would have when the newer ones are taken back; none where somebody touched it.
    let mut chosen: BTreeMap<&str, Option<&Mark>> = BTreeMap::new();
    for Forward { part: forward, end, .. } in chain {
        for mark in &forward.marks {
            let now = match chosen.get(mark.path.as_str()) {
                Some(None) => continue,
                Some(Some(later)) => Some(later.time),
                None => Folder::find(root, &mark.path)?.map(|folder| folder.time()).transpose()?,
            };
            let untouched = match (now, end.folders.get(&mark.path)) {
                (Some(now), Some(&(seconds, nanoseconds))) => {
                    now == crate::change::Mtime { seconds, nanoseconds }
                }
                (now, _) => now.is_some() || forward.unmake.contains(&mark.path),
            };
            let choice = chosen.entry(&mark.path).or_default();
            if untouched {
                *choice = Some(mark);
            }
        }
    }
    Ok(chosen.into_values().flatten().cloned().collect())
}

/// What was done to the `edited` files since, where both sides can be read.
pub(crate) fn edits(seen: &Seen<'_>, forward: &Part, edited: &[String]) -> Result<Plan> {
    let mut changes = Vec::new();
    for step in forward.steps.iter().filter(|step| edited.contains(&step.path)) {
        if let (_, Some(after)) = standing(seen, step)? {
            changes.push(Change { path: step.path.clone(), before: step.after.clone(), after });
        }
    }
    Ok(Plan { title: forward.title.clone(), changes, ..Plan::default() })
}

/// Why the edited `path` cannot be replaced by what it held before.
pub(crate) fn irreplaceable(root: &Root, path: &str) -> String {
    if let Err(Error::Refused { because, .. }) = check_way(root, path) {
        return because.join(", ");
    }
    let directory = resolve(root, path, false).ok().and_then(|target| root.stat(&target).ok()?);
    let is_dir = |stat: &rustix::fs::Stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
    };
    match (directory.filter(is_dir), Image::read(root, path)) {
        (Some(_), _) => format!("/{path} is a directory now"),
        (None, Err(Error::Refused { because, .. })) => format!("/{path}: {}", because.join(", ")),
        _ => format!("/{path} keeps changing"),
    }
}

/// Whether what the operation put into a file that others own is there, whatever they did around it.
fn is_around(step: &Step, now: &Image) -> bool {
    let Image::File { bytes: now, .. } = now else { return false };
    let (Some(before), Some(after)) = (step.before.bytes(), step.after.bytes()) else {
        return false;
    };
    without_block(before, after, now).is_some()
        || members::moved(&step.path, before, after, now).is_some_and(|text| text == *now)
}

/// What a person is told about how a file stands: edits around what is ours are none of it.
pub(crate) fn shown_standing(root: &Root, step: &Step) -> Result<Standing> {
    Ok(match standing(&Seen::now(root), step)? {
        (Standing::Edited, Some(now)) if is_around(step, &now) => Standing::InPlace,
        (standing, _) => standing,
    })
}

/// What is left of an edited file when only our block, or our members of its lists, go back to
/// what they were.
fn merged(step: &Step, now: &Image) -> Option<Image> {
    let Image::File { bytes: now, meta } = now else { return None };
    let (before, after) = (step.before.bytes()?, step.after.bytes()?);
    let bytes = without_block(before, after, now)
        .or_else(|| members::moved(&step.path, after, before, now))?;
    let meta = crate::change::Meta { mtime: None, ..meta.clone() };
    Some(Image::File { bytes, meta })
}

fn without_block(before: &[u8], after: &[u8], now: &[u8]) -> Option<Vec<u8>> {
    let ours = edit::block(after)?;
    // Nothing but the block may be ours, and the block must be as we left it.
    if edit::remove_block(before) != edit::remove_block(after) || edit::block(now)? != ours {
        return None;
    }
    match edit::block(before) {
        None => Some(edit::remove_block(now)),
        Some(old) => edit::set_block(now, &String::from_utf8(old).ok()?).ok(),
    }
}

/// The part that does an undone operation again.
pub(crate) fn redo(root: &Root, id: u32, forward: &Part) -> Result<Part> {
    let (mut steps, mut edited) = (Vec::new(), Vec::new());
    for step in &forward.steps {
        let (path, target) = (step.path.clone(), step.target.clone());
        match standing(&Seen::now(root), step)? {
            (Standing::InPlace, _) => {}
            (Standing::TakenBack, _) if matches!(step.after, Image::Unkept { .. }) => {
                return Err(unkept(id, forward, &path));
            }
            (Standing::TakenBack, Some(before)) => {
                steps.push(Step { path, target, before, after: step.after.clone() });
            }
            _ => edited.push(path),
        }
    }
    if !edited.is_empty() {
        return Err(Error::RedoConflict { id, paths: edited });
    }
    part(root, &forward.title, forward.notes.clone(), steps, id)
}

/// A redo of what only the command itself can do again.
fn unkept(id: u32, forward: &Part, path: &str) -> Error {
    Error::Refused {
        what: format!("operation {id} cannot be done again"),
        because: vec![format!("/{path} is large, so the journal keeps no copy of it")],
        help: vec![format!("`deploy-vfio {}` once more", forward.title)],
    }
}

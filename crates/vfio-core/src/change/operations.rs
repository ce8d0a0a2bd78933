//! What the journal says of operations: which are in place, which can be done again, and what they left.
//!
//! Invariant: nothing is written here, and no lock taken.

use std::collections::BTreeSet;

use crate::{
    Error, Result, Root,
    change::{
        Mtime, Operation, Plan, Rebuild, Standing,
        assemble::{self, Forward},
        defect::defect,
        generators,
        journal::{Entry, State},
        mounts,
        place::join,
        record::Part,
        store::{self, ids, last, load},
    },
};

/// What undone operations left to be rebuilt.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// The newest of them.
    pub(crate) by: Option<u32>,
    pub(crate) what: BTreeSet<Rebuild>,
}

/// An operation that is in place.
pub(crate) fn forward(root: &Root, id: u32) -> Result<Forward> {
    let end = last(root, id)?;
    // A redo that found some files in place already did not touch them.
    let whole = load(root, id, "")?;
    let done = if end.part.is_empty() { whole.clone() } else { load(root, id, &end.part)? };
    let make = if done.make.is_empty() { whole.make.clone() } else { done.make };
    let part = Part { make, marks: done.marks, ..settled(whole, id, &end)? };
    Ok(Forward { id, part, end })
}

/// The part with what daemons made of the files that they were given.
fn settled(mut part: Part, id: u32, end: &Entry) -> Result<Part> {
    for step in &mut part.steps {
        if let Some(side) = end.settled.get(&step.path) {
            let image = side.clone().without_bytes();
            step.after = image.map_err(|what| Error::Damaged { id, what })?;
        }
    }
    Ok(part)
}

/// So many of the operations that are in place, the newest first.
pub(crate) fn applied(root: &Root, most: usize) -> Result<Vec<u32>> {
    let mut applied = Vec::new();
    for id in ids(root)? {
        if last(root, id)?.state == State::Applied {
            applied.push(id);
        }
    }
    if !defect("oldest-first") {
        applied.reverse();
    }
    applied.truncate(most);
    Ok(applied)
}

pub(crate) fn owed(root: &Root) -> Result<Owed> {
    let mut owed = Owed::default();
    for id in ids(root)? {
        let last = last(root, id)?;
        if last.state == State::Undone && !last.by_hand.is_empty() {
            owed.by = Some(id);
            owed.what.extend(left(root, id, &last)?);
        }
    }
    Ok(owed)
}

/// What earlier undos left to be rebuilt; nothing where only root may know.
pub fn left_to_rebuild(root: &Root) -> Result<BTreeSet<Rebuild>> {
    match owed(root) {
        Err(error) if error.is_denied() => Ok(BTreeSet::new()),
        owed => Ok(owed?.what),
    }
}

/// What follows from the files of operation `id`, and of those taken back with it.
pub(crate) fn left(root: &Root, id: u32, last: &Entry) -> Result<BTreeSet<Rebuild>> {
    let mut left = BTreeSet::new();
    for &id in std::iter::once(&id).chain(&last.with) {
        left.extend(load(root, id, "")?.plan().rebuilds());
    }
    Ok(left)
}

/// What was undone last, unless something was applied since.
pub(crate) fn redoable(root: &Root) -> Result<Option<u32>> {
    let mut reached = Vec::new();
    for id in ids(root)? {
        let entry = last(root, id)?;
        if matches!(entry.state, State::Applied | State::Undone) {
            reached.push((id, entry));
        }
    }
    let in_place = |entry: &Entry| entry.state == State::Applied;
    let first = reached.iter().rposition(|(_, entry)| in_place(entry)).map_or(0, |at| at + 1);
    let aside = store::aside(root)?.unwrap_or(0);
    let youngest = reached.last().map_or(0, |(id, _)| *id).max(aside);
    // An operation younger than the undo was applied after it, whatever became of that.
    let fresh = |(_, entry): &&(u32, Entry)| entry.newest >= youngest;
    Ok(reached[first..].iter().find(fresh).map(|(id, _)| *id))
}

/// Every recorded operation, the oldest first.
pub fn history(root: &Root) -> Result<Vec<Operation>> {
    mounts::check(root, &[store::STATE])?;
    ids(root)?.into_iter().map(|id| operation(root, id)).collect()
}

pub(crate) fn operation(root: &Root, id: u32) -> Result<Operation> {
    let read = || Ok((last(root, id)?, load(root, id, "")?));
    match read() {
        Ok((entry, part)) => {
            let plan = part.plan();
            let (title, rebuilds) = (part.title.clone(), plan.rebuilds());
            // Where nobody can say what they are for, all of them are told.
            let still = still_by_hand(root, id, &entry);
            let (state, time, by_hand) = (entry.state, entry.t, still.unwrap_or(entry.by_hand));
            Ok(Operation { id, title, state, damage: None, time, plan, rebuilds, by_hand })
        }
        Err(Error::Damaged { what, .. }) => Ok(Operation {
            id,
            title: String::new(),
            state: State::Damaged,
            damage: Some(what),
            time: String::new(),
            plan: Plan::default(),
            rebuilds: BTreeSet::new(),
            by_hand: Vec::new(),
        }),
        Err(error) => Err(error),
    }
}

/// The commands that were left to a person, but for those whose results are younger than the operation.
fn still_by_hand(root: &Root, id: u32, end: &Entry) -> Result<Vec<String>> {
    let mut commands = end.by_hand.clone();
    if commands.is_empty() {
        return Ok(commands);
    }
    let journal = time(root, &join(&store::tx_path(id), "journal"))?;
    for what in left(root, id, end)? {
        let calls = generators::calls(root, what, "look").unwrap_or_default();
        let built: Vec<_> = calls.into_iter().filter_map(|call| call.writes).collect();
        let times =
            built.iter().map(|built| time(root, &built.path)).collect::<Result<Vec<_>>>()?;
        if !times.is_empty() && times.iter().all(|time| *time > journal) {
            let done = generators::by_hand(root, what);
            commands.retain(|command| !done.contains(command));
        }
    }
    Ok(commands)
}

/// When a file was written; `None` when there is none.
fn time(root: &Root, path: &str) -> Result<Option<Mtime>> {
    Ok(root.stat(path)?.map(|stat| Mtime::of(&stat)))
}

/// How each file of an operation stands now.
pub fn standing(root: &Root, operation: &Operation) -> Result<Vec<(String, Standing)>> {
    if operation.state == State::Damaged {
        return Ok(Vec::new());
    }
    let part = load(root, operation.id, "")?;
    let steps = settled(part, operation.id, &last(root, operation.id)?)?.steps.into_iter();
    steps.map(|step| Ok((step.path.clone(), assemble::shown_standing(root, &step)?))).collect()
}

/// An operation that waits for [`recover`](crate::change::recover).
pub fn interrupted(root: &Root) -> Result<Option<u32>> {
    for id in ids(root)? {
        match last(root, id) {
            Ok(entry) if !entry.clean => return Ok(Some(id)),
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

//! What an undo or a redo would change, before anybody is asked.
//!
//! Invariant: nothing is written here. Several operations that are taken back one after another are looked
//! at in that order: each finds the files as the one before it will have left them.

use crate::{
    Error, Result, Root,
    change::{
        OnConflict, Operation, Plan, UndoPreview,
        assemble::{self, Seen},
        engine::conflict,
        operations::{Owed, applied, forward, operation, owed, redoable},
        record::plan,
        stamp::faster,
        store::load,
    },
};

/// What an undo would change now, or what it would stop at; `None` when there is nothing to undo. Where
/// nothing is but what earlier undos left to be rebuilt, that is what it would do.
pub fn preview_undo(root: &Root, on_conflict: OnConflict) -> Result<Option<UndoPreview>> {
    Ok(previews(root, applied(root, 1)?, on_conflict)?.pop())
}

/// The same of every operation, in the order in which they would be taken back.
pub fn preview_undo_all(root: &Root, on_conflict: OnConflict) -> Result<Vec<UndoPreview>> {
    previews(root, applied(root, usize::MAX)?, on_conflict)
}

/// Refuses to take back by now what is not what `shown` told.
pub(crate) fn still(root: &Root, shown: &[UndoPreview], on_conflict: OnConflict) -> Result<()> {
    let now = previews(root, applied(root, shown.len())?, on_conflict)?;
    let ids = |previews: &[UndoPreview]| -> Vec<u32> {
        previews.iter().map(|preview| preview.operation.id).collect()
    };
    same_operations(ids(shown) == ids(&now))?;
    let mut both = shown.iter().zip(&now);
    both.try_for_each(|(one, other)| {
        same_files(&one.plan, &other.plan)?;
        same_files(&one.edits, &other.edits)
    })
}

/// Refuses to do again by now what is not what `shown` told.
pub(crate) fn still_redoes(root: &Root, (operation, plan): &(Operation, Plan)) -> Result<()> {
    let now = preview_redo(root)?;
    same_operations(now.as_ref().is_some_and(|(now, _)| now.id == operation.id))?;
    now.map_or(Ok(()), |(_, now)| same_files(plan, &now))
}

fn same_operations(same: bool) -> Result<()> {
    if same { Ok(()) } else { Err(faster()) }
}

fn same_files(shown: &Plan, now: &Plan) -> Result<()> {
    let differs = |one: &Plan, other: &Plan| {
        let changed = one.changes.iter().find(|change| !other.changes.contains(change));
        changed.map(|change| change.path.clone())
    };
    let path = differs(shown, now).or_else(|| differs(now, shown));
    path.map_or(Ok(()), |path| Err(Error::Changed { path }))
}

/// What is left to be rebuilt, as the undo of the operation that left it last.
fn rest(root: &Root, owed: Owed) -> Result<Vec<UndoPreview>> {
    let Some(id) = owed.by else { return Ok(Vec::new()) };
    let operation = operation(root, id)?;
    let plan = Plan { title: operation.title.clone(), owed: owed.what, ..Plan::default() };
    Ok(vec![UndoPreview { operation, plan, edits: Plan::default(), conflict: None }])
}

fn previews(root: &Root, ids: Vec<u32>, on_conflict: OnConflict) -> Result<Vec<UndoPreview>> {
    let owed = owed(root)?;
    if ids.is_empty() {
        return rest(root, owed);
    }
    let forwards: Vec<_> = ids.iter().map(|&id| forward(root, id)).collect::<Result<_>>()?;
    let mut seen = Seen::before(root, forwards.iter().map(|forward| &forward.part));
    let mut previews = Vec::new();
    for (id, forward) in forwards.into_iter().map(|forward| (forward.id, forward.part)) {
        let (_, edited) = assemble::undo_steps(&seen, &forward, OnConflict::Stop)?;
        let (steps, stays) = assemble::undo_steps(&seen, &forward, on_conflict)?;
        let edits = assemble::edits(&seen, &forward, &edited)?;
        let fate = |path| match on_conflict {
            OnConflict::Keep => " and stays as it is",
            OnConflict::Restore if !stays.contains(path) => "; this discards that edit",
            OnConflict::Stop | OnConflict::Restore => "",
        };
        let mut plan = plan(&forward.title, &steps);
        plan.owed = forward.plan().rebuilds().union(&owed.what).copied().collect();
        plan.notes
            .extend(edited.iter().map(|path| format!("/{path} was edited since{}", fate(path))));
        let conflict = conflict(root, id, on_conflict, &stays).err();
        seen.after(steps);
        previews.push(UndoPreview { operation: operation(root, id)?, plan, edits, conflict });
    }
    Ok(previews)
}

/// What a redo would change now; `None` when there is nothing to redo.
pub fn preview_redo(root: &Root) -> Result<Option<(Operation, Plan)>> {
    let Some(id) = redoable(root)? else { return Ok(None) };
    let part = assemble::redo(root, id, &load(root, id, "")?)?;
    Ok(Some((operation(root, id)?, part.plan())))
}

//! What an undo or a redo would change, before anybody is asked.
//!
//! Invariant: nothing is written here. Several operations that are taken back one after another are looked
//! at in that order: each finds the files as the one before it will have left them.

use std::collections::BTreeSet;

use crate::{
    Result, Root,
    change::{
        OnConflict, Operation, Plan, UndoPreview,
        assemble::{self, Seen},
        engine::{applied, conflict, forward, operation, owed, redoable},
        record::plan,
        store::load,
    },
};

/// What an undo would change now, or what it would stop at; `None` when there is nothing to undo.
pub fn preview_undo(root: &Root, on_conflict: OnConflict) -> Result<Option<UndoPreview>> {
    Ok(previews(root, applied(root, 1)?, on_conflict)?.pop())
}

/// The same of every operation, in the order in which they would be taken back.
pub fn preview_undo_all(root: &Root, on_conflict: OnConflict) -> Result<Vec<UndoPreview>> {
    previews(root, applied(root, usize::MAX)?, on_conflict)
}

fn previews(root: &Root, ids: Vec<u32>, on_conflict: OnConflict) -> Result<Vec<UndoPreview>> {
    let mut seen = Seen::now(root);
    let mut previews = Vec::new();
    let owed: BTreeSet<_> = match ids.is_empty() {
        true => BTreeSet::new(),
        false => owed(root)?.into_values().flatten().collect(),
    };
    for id in ids {
        let forward = forward(root, id)?.part;
        let (_, edited) = assemble::undo_steps(&seen, &forward, OnConflict::Stop)?;
        let (steps, stays) = assemble::undo_steps(&seen, &forward, on_conflict)?;
        let edits = assemble::edits(&seen, &forward, &edited)?;
        let fate = |path| match on_conflict {
            OnConflict::Keep => " and stays as it is",
            OnConflict::Restore if !stays.contains(path) => "; this discards that edit",
            OnConflict::Stop | OnConflict::Restore => "",
        };
        let mut plan = plan(&forward.title, &steps);
        plan.owed = forward.plan().rebuilds().union(&owed).copied().collect();
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

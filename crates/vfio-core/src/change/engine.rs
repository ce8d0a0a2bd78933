//! The engine's doors: apply, undo, redo, recover.
//!
//! Invariants: every writing call takes the locks and recovers first, and ends with the files
//! as before or as wanted; the checks take no lock and write nothing.

use std::collections::BTreeSet;

use crate::{
    Error, Result, Root,
    change::{
        Applied, Artefact, OnConflict, Operation, Plan, Rebuild, Rebuilder, Recovered, Settings,
        UndoPreview, Undone,
        assemble::{self, Forward},
        disk::Disk,
        journal::{Entry, State},
        mounts,
        operations::{Owed, applied, forward, left, owed, redoable},
        packages, place, preview,
        record::Part,
        run::{Done, Run},
        space,
        store::{self, Store, ids, last, load},
    },
};

/// What every writing call works with.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    root: &'a Root,
    disk: &'a Disk,
    settings: &'a Settings<'a>,
}

/// Refuses what [`apply`] would refuse before it writes anything, for a dry run. What this user
/// may not look at is left to `apply`, which needs more privileges anyway.
pub fn check(root: &Root, plan: &Plan, rebuilder: &dyn Rebuilder) -> Result<()> {
    seen(fits(root, plan, rebuilder))
}

/// Refuses what cannot be carried out here.
fn fits(root: &Root, plan: &Plan, rebuilder: &dyn Rebuilder) -> Result<()> {
    assemble::check(root, plan)?;
    store::check(root)?;
    space::check(root, plan, &outputs(root, &plan.rebuilds(), rebuilder)?)
}

/// Passes over what this user may not look at.
fn seen<T>(checked: Result<T>) -> Result<()> {
    match checked {
        Err(error) if !error.is_denied() => Err(error),
        _ => Ok(()),
    }
}

/// Refuses what [`undo`] or [`undo_all`] would refuse of `plan`, which a preview found, for a dry run. Room
/// on the disk is not asked for: taking back is always tried.
pub fn check_undo(root: &Root, plan: &Plan, rebuilder: &dyn Rebuilder) -> Result<()> {
    let mut targets = plan.changes.iter().map(|change| assemble::target(root, change));
    let checked = store::check(root)
        .and_then(|()| targets.try_for_each(|target| place::check_target(root, &target?)))
        .and_then(|()| outputs(root, &plan.rebuilds(), rebuilder));
    seen(checked)
}

/// The files that will be built anew.
fn outputs(
    root: &Root,
    wanted: &BTreeSet<Rebuild>,
    rebuilder: &dyn Rebuilder,
) -> Result<Vec<Artefact>> {
    let mut artefacts = Vec::new();
    for &what in wanted.iter().filter(|_| rebuilder.rebuilds()) {
        if matches!(what, Rebuild::Initramfs | Rebuild::BootMenu) {
            mounts::check(root, &["boot/grub"])?;
        }
        artefacts.extend(rebuilder.outputs(root, what, "preflight")?);
    }
    artefacts.iter().try_for_each(|artefact| place::check_built(root, &artefact.path))?;
    Ok(artefacts)
}

/// Carries out `plan`, which changes something: all of it, or none of it.
///
/// # Errors
///
/// [`Error::Busy`] where another run came in between since the plan was begun, [`Error::Changed`] where somebody
/// changed a file; whatever cannot be carried out here.
pub fn apply(root: &Root, plan: &Plan, settings: &Settings<'_>) -> Result<Applied> {
    Work::new(root, &Disk::new(), settings).apply(plan)
}

/// Takes back the newest operation that is not yet undone; `None` when there is none.
pub fn undo(
    root: &Root,
    on_conflict: OnConflict,
    settings: &Settings<'_>,
) -> Result<Option<Undone>> {
    Ok(Work::new(root, &Disk::new(), settings).undo(on_conflict, 1)?.pop())
}

/// Takes back every operation that is not yet undone: all of them, or none. The newest comes first; what
/// was rebuilt is told with the last.
pub fn undo_all(
    root: &Root,
    on_conflict: OnConflict,
    settings: &Settings<'_>,
) -> Result<Vec<Undone>> {
    Work::new(root, &Disk::new(), settings).undo(on_conflict, usize::MAX)
}

/// Takes back what a preview `shown` to somebody told, with what it said about edited files, and nothing
/// else: all of it, or nothing.
///
/// # Errors
///
/// [`Error::Busy`] where another run came in between, [`Error::Changed`] where somebody changed a file.
pub fn undo_shown(
    root: &Root,
    shown: &[UndoPreview],
    on_conflict: OnConflict,
    settings: &Settings<'_>,
) -> Result<Vec<Undone>> {
    let still = |root: &Root| preview::still(root, shown, on_conflict);
    Work::new(root, &Disk::new(), settings).undo_if(on_conflict, shown.len(), &still)
}

/// Does again what a preview `shown` to somebody told, and nothing else.
///
/// # Errors
///
/// As [`undo_shown`].
pub fn redo_shown(
    root: &Root,
    shown: &(Operation, Plan),
    settings: &Settings<'_>,
) -> Result<Option<Undone>> {
    let still = |root: &Root| preview::still_redoes(root, shown);
    Work::new(root, &Disk::new(), settings).redo(&still)
}

/// Does again what was undone last, if nothing was applied since; `None` when there is nothing.
pub fn redo(root: &Root, settings: &Settings<'_>) -> Result<Option<Undone>> {
    Work::new(root, &Disk::new(), settings).redo(&|_| Ok(()))
}

/// Finishes what a crash interrupted: an apply is rolled back, an undo is completed.
pub fn recover(root: &Root, settings: &Settings<'_>) -> Result<Vec<Recovered>> {
    Work::new(root, &Disk::new(), settings).recover()
}

impl<'a> Work<'a> {
    pub(crate) fn new(root: &'a Root, disk: &'a Disk, settings: &'a Settings<'a>) -> Self {
        Self { root, disk, settings }
    }

    fn open(&self) -> Result<(Store<'a>, packages::Held)> {
        let store = Store::open(self.root, self.disk, self.settings)?;
        let packages = packages::lock(self.root, self.settings)?;
        Ok((store, packages))
    }

    fn run(&self, store: &'a Store<'a>, id: u32, name: &str, part: Part) -> Run<'a> {
        Run::new((self.root, self.disk, self.settings), store, id, name, part)
    }

    pub(crate) fn apply(self, plan: &Plan) -> Result<Applied> {
        debug_assert!(!plan.is_empty(), "callers say `Nothing to do.` themselves");
        fits(self.root, plan, self.settings.rebuilder)?;
        self.may_stage(&plan.rebuilds())?;
        let (store, _packages) = self.open()?;
        plan.begun.still(self.root)?;
        self.recover_all(&store)?;
        let id = store.next()?;
        let mut part = assemble::apply(self.root, plan, id)?;
        assemble::sweep(self.root, &mut part, id)?;
        self.settings.interrupt.check()?;
        store.publish(id, &part, &planned())?;
        let mut run = self.run(&store, id, "", part);
        run.wanted = plan.rebuilds();
        let done = run.carry_out()?;
        self.settle(&store, &done.rebuilt);
        Ok(Applied { id, rebuilt: done.rebuilt, by_hand: done.by_hand })
    }

    /// What will be rebuilt must be possible, before anything is written.
    fn preflight(&self, wanted: &BTreeSet<Rebuild>) -> Result<()> {
        self.may_stage(wanted)?;
        outputs(self.root, wanted, self.settings.rebuilder).map(drop)
    }

    fn may_stage(&self, wanted: &BTreeSet<Rebuild>) -> Result<()> {
        let rebuilder = self.settings.rebuilder;
        let mut wanted = wanted.iter().filter(|_| rebuilder.rebuilds());
        wanted.try_for_each(|&what| rebuilder.may_stage(self.root, what))
    }

    /// Takes back so many of the operations that are in place, or all there are; where there are none, what
    /// is left to be rebuilt is.
    pub(crate) fn undo(self, on_conflict: OnConflict, most: usize) -> Result<Vec<Undone>> {
        self.undo_if(on_conflict, most, &|_| Ok(()))
    }

    /// The same, unless `still` objects once nobody else can change anything.
    fn undo_if(
        self,
        on_conflict: OnConflict,
        most: usize,
        still: &dyn Fn(&Root) -> Result<()>,
    ) -> Result<Vec<Undone>> {
        if ids(self.root)?.is_empty() {
            return Ok(Vec::new());
        }
        let (store, _packages) = self.open()?;
        self.recover_all(&store)?;
        still(self.root)?;
        match applied(self.root, most)?.as_slice() {
            [] => Ok(self.rebuild_owed(&store)?.into_iter().collect()),
            ids => self.take_back(&store, ids, on_conflict),
        }
    }

    /// Rebuilds what undone operations left, as one more undo, without files, of the last that did.
    fn rebuild_owed(&self, store: &Store<'_>) -> Result<Option<Undone>> {
        let Owed { by, what: wanted } = owed(self.root)?;
        let by = by.filter(|_| self.settings.rebuilder.rebuilds());
        let Some(id) = by else { return Ok(None) };
        self.preflight(&wanted)?;
        let title = load(self.root, id, "")?.title;
        let (name, before) = (next_part(self.root, id, "undo")?, last(self.root, id)?);
        let part = Part { title: title.clone(), ..Part::default() };
        store.publish_part(id, &name, &part)?;
        let mut run = self.run(store, id, &name, part);
        (run.wanted, run.with, run.newest) = (wanted, before.with, Some(before.newest));
        let Done { rebuilt, by_hand } = run.carry_out()?;
        self.settle(store, &rebuilt);
        Ok(Some(Undone { id, title, rebuilt, by_hand, kept: Vec::new() }))
    }

    /// Notes of operations that what they left to be rebuilt is rebuilt now. What was done is done: where that
    /// cannot be noted, `status` goes on to tell of it.
    fn settle(&self, store: &Store<'_>, rebuilt: &BTreeSet<Rebuild>) {
        for id in ids(self.root).unwrap_or_default() {
            let Ok(last) = last(self.root, id) else { continue };
            let seen_to = |left: BTreeSet<_>| left.is_subset(rebuilt);
            if !last.by_hand.is_empty() && left(self.root, id, &last).is_ok_and(seen_to) {
                let _ = store.log(id, Entry { by_hand: Vec::new(), ..last });
            }
        }
    }

    /// Undoes operations, the newest first, as one part of the newest's; what was owed is rebuilt too.
    fn take_back(
        &self,
        store: &Store<'_>,
        ids: &[u32],
        on_conflict: OnConflict,
    ) -> Result<Vec<Undone>> {
        let Some((&id, with)) = ids.split_first() else { return Ok(Vec::new()) };
        let chain: Vec<_> = ids.iter().map(|&id| forward(self.root, id)).collect::<Result<_>>()?;
        let (part, kept) = assemble::undo(self.root, &chain, on_conflict)?;
        for (forward, kept) in chain.iter().zip(&kept) {
            conflict(self.root, forward.id, on_conflict, kept)?;
        }
        let mut wanted = owed(self.root)?.what;
        wanted.extend(chain.iter().flat_map(|forward| forward.part.plan().rebuilds()));
        self.preflight(&wanted)?;
        let name = next_part(self.root, id, "undo")?;
        store.publish_part(id, &name, &part)?;
        let mut run = self.run(store, id, &name, part);
        (run.wanted, run.with) = (wanted, with.to_vec());
        run.conflicts = match on_conflict {
            OnConflict::Restore => "restore".to_owned(),
            OnConflict::Stop | OnConflict::Keep => "keep".to_owned(),
        };
        let done = run.carry_out()?;
        self.settle(store, &done.rebuilt);
        let undone = |(forward, kept): (Forward, _)| {
            let (id, title) = (forward.id, forward.part.title);
            Undone { id, title, rebuilt: BTreeSet::new(), by_hand: Vec::new(), kept }
        };
        let mut undone: Vec<_> = chain.into_iter().zip(kept).map(undone).collect();
        if let Some(oldest) = undone.last_mut() {
            (oldest.rebuilt, oldest.by_hand) = (done.rebuilt, done.by_hand);
        }
        Ok(undone)
    }

    /// Unless `still` objects once nobody else can change anything.
    fn redo(self, still: &dyn Fn(&Root) -> Result<()>) -> Result<Option<Undone>> {
        if ids(self.root)?.is_empty() {
            return Ok(None);
        }
        let (store, _packages) = self.open()?;
        self.recover_all(&store)?;
        still(self.root)?;
        let Some(id) = redoable(self.root)? else { return Ok(None) };
        let forward = load(self.root, id, "")?;
        let mut part = assemble::redo(self.root, id, &forward)?;
        assemble::sweep(self.root, &mut part, id)?;
        self.preflight(&part.plan().rebuilds())?;
        let name = next_part(self.root, id, "redo")?;
        store.publish_part(id, &name, &part)?;
        let Done { rebuilt, by_hand } = self.run(&store, id, &name, part).carry_out()?;
        self.settle(&store, &rebuilt);
        Ok(Some(Undone { id, title: forward.title, rebuilt, by_hand, kept: Vec::new() }))
    }

    pub(crate) fn recover(self) -> Result<Vec<Recovered>> {
        if !self.root.exists(store::STATE)? {
            return Ok(Vec::new());
        }
        let (store, _packages) = self.open()?;
        self.recover_all(&store)
    }

    fn recover_all(&self, store: &Store<'_>) -> Result<Vec<Recovered>> {
        let mut recovered = Vec::new();
        let ids = ids(self.root)?;
        // A damaged record is found before anything is touched.
        for &id in &ids {
            store::entries(self.root, id)?;
        }
        for id in ids {
            let last = last(self.root, id)?;
            if last.clean {
                continue;
            }
            let part = load(self.root, id, &last.part)?;
            let run = Run::new((self.root, self.disk, self.settings), store, id, &last.part, part);
            let with = last.with.clone();
            let (outcome, kept) = match last.state {
                State::Undoing => self.finish_undo(store, &run, &last)?,
                state if state.is_under_way() => ("rolled back", run.back()?),
                _ => {
                    run.clean(last)?;
                    ("cleaned up", Vec::new())
                }
            };
            recovered.push(Recovered { id, outcome, kept });
            let too = |id| Recovered { id, outcome, kept: Vec::new() };
            recovered.extend(with.into_iter().map(too));
        }
        Ok(recovered)
    }

    /// An undo that was interrupted is taken back, and done again from what the disk holds now.
    fn finish_undo(
        &self,
        store: &Store<'_>,
        run: &Run<'_>,
        last: &Entry,
    ) -> Result<(&'static str, Vec<String>)> {
        run.back()?;
        if store::last(self.root, run.id)?.state == State::Undone {
            // It was taken back already; what it left was being rebuilt.
            self.rebuild_owed(store)?;
            return Ok(("undone", Vec::new()));
        }
        let on_conflict = match last.conflicts.as_str() {
            "restore" => OnConflict::Restore,
            _ => OnConflict::Keep,
        };
        let ids: Vec<_> = std::iter::once(run.id).chain(last.with.iter().copied()).collect();
        let undone = match self.take_back(store, &ids, on_conflict) {
            // Something else stands there since: it stays, and the rest is undone as was asked.
            Err(Error::NotRestorable { .. }) => self.take_back(store, &ids, OnConflict::Keep),
            other => other,
        };
        Ok(("undone", undone?.into_iter().flat_map(|undone| undone.kept).collect()))
    }
}

fn planned() -> Entry {
    Entry { t: store::now(), ..Entry::new(State::Planned, "") }
}

/// The name of the next part of its kind.
fn next_part(root: &Root, id: u32, kind: &str) -> Result<String> {
    let names = root.names(&store::tx_path(id))?;
    let number = |name: &String| name.split_once('-').and_then(|(_, n)| n.parse::<u32>().ok());
    Ok(format!("{kind}-{:04}", names.iter().filter_map(number).max().unwrap_or(0) + 1))
}

/// The error over files that an undo leaves as they are, unless that is what the user asked for.
pub(crate) fn conflict(
    root: &Root,
    id: u32,
    on_conflict: OnConflict,
    edited: &[String],
) -> Result<()> {
    match on_conflict {
        _ if edited.is_empty() => Ok(()),
        OnConflict::Keep => Ok(()),
        OnConflict::Stop => Err(Error::Conflict { id, paths: edited.to_vec() }),
        OnConflict::Restore => {
            let because = edited.iter().map(|path| assemble::irreplaceable(root, path));
            Err(Error::NotRestorable { id, because: because.collect() })
        }
    }
}

//! The engine's doors: apply, undo, redo, recover, and what they did.
//!
//! Invariants: every writing call takes the locks and recovers first, and ends with the files
//! as before or as wanted; the reading calls take no lock and write nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, Result, Root,
    change::{
        Applied, Artefact, OnConflict, Operation, Plan, Rebuild, Rebuilder, Recovered, Settings,
        Standing, Undone,
        assemble::{self, Forward},
        defect::defect,
        disk::Disk,
        journal::{Entry, State},
        mounts, packages, place,
        record::Part,
        run::Run,
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
    place::check_built(root, store::LOCK)?;
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
    let checked = targets
        .try_for_each(|target| place::check_target(root, &target?))
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

/// Does again what was undone last, if nothing was applied since; `None` when there is nothing.
pub fn redo(root: &Root, settings: &Settings<'_>) -> Result<Option<Undone>> {
    Work::new(root, &Disk::new(), settings).redo()
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
        self.recover_all(&store)?;
        let id = store.next()?;
        let mut part = assemble::apply(self.root, plan, id)?;
        assemble::sweep(self.root, &mut part, id)?;
        self.settings.interrupt.check()?;
        store.publish(id, &part, &planned())?;
        let done = self.run(&store, id, "", part).carry_out()?;
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

    /// Takes back so many of the operations that are in place, or all there are.
    pub(crate) fn undo(self, on_conflict: OnConflict, most: usize) -> Result<Vec<Undone>> {
        if ids(self.root)?.is_empty() {
            return Ok(Vec::new());
        }
        let (store, _packages) = self.open()?;
        self.recover_all(&store)?;
        self.take_back(&store, &applied(self.root, most)?, on_conflict)
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
        let owed = owed(self.root)?;
        let mut wanted: BTreeSet<_> = owed.values().flatten().copied().collect();
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
        if self.settings.rebuilder.rebuilds() {
            for &id in owed.keys() {
                store.log(id, Entry { by_hand: Vec::new(), ..last(self.root, id)? })?;
            }
        }
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

    pub(crate) fn redo(self) -> Result<Option<Undone>> {
        if ids(self.root)?.is_empty() {
            return Ok(None);
        }
        let (store, _packages) = self.open()?;
        self.recover_all(&store)?;
        let Some(id) = redoable(self.root)? else { return Ok(None) };
        let forward = load(self.root, id, "")?;
        let mut part = assemble::redo(self.root, id, &forward)?;
        assemble::sweep(self.root, &mut part, id)?;
        self.preflight(&part.plan().rebuilds())?;
        let name = next_part(self.root, id, "redo")?;
        store.publish_part(id, &name, &part)?;
        let done = self.run(&store, id, &name, part).carry_out()?;
        let (rebuilt, by_hand) = (done.rebuilt, done.by_hand);
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

/// What undone operations left to be rebuilt, by the operation that left it.
pub(crate) fn owed(root: &Root) -> Result<BTreeMap<u32, BTreeSet<Rebuild>>> {
    let mut owed = BTreeMap::new();
    for id in ids(root)? {
        let last = last(root, id)?;
        if last.state == State::Undone && !last.by_hand.is_empty() {
            let mut left = BTreeSet::new();
            for &id in std::iter::once(&id).chain(&last.with) {
                left.extend(load(root, id, "")?.plan().rebuilds());
            }
            owed.insert(id, left);
        }
    }
    Ok(owed)
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
            let (state, time, by_hand) = (entry.state, entry.t, entry.by_hand);
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

/// How each file of an operation stands now.
pub fn standing(root: &Root, operation: &Operation) -> Result<Vec<(String, Standing)>> {
    if operation.state == State::Damaged {
        return Ok(Vec::new());
    }
    let part = load(root, operation.id, "")?;
    let steps = settled(part, operation.id, &last(root, operation.id)?)?.steps.into_iter();
    steps.map(|step| Ok((step.path.clone(), assemble::shown_standing(root, &step)?))).collect()
}

/// An operation that waits for [`recover`].
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

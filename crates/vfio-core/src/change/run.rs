//! Carries out one part of an operation, forwards or back.
//!
//! Invariants: everything new is complete beside its target before the first target is touched;
//! a part either reaches its end, which is one line in the journal, or every file goes back, the
//! generated ones as bytes; what a crash leaves is brought back by the same [`Run::back`].

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Error, Result, Root,
    change::{
        Artefact, Image, Rebuild, Settings, boot,
        defect::defect,
        disk::Disk,
        files,
        journal::{Built, Entry, State},
        place::{Folder, Place, split, tag},
        rebuilder::Job,
        record::{Mark, MarkLine, Part, Side, Step, names_hash},
        store::{self, Store},
    },
};

/// Rebuilds whose result is a file in the order of building; the others take effect at once.
const BUILT: [Rebuild; 3] = [Rebuild::Initramfs, Rebuild::BootMenu, Rebuild::Trial];
const LIVE: [Rebuild; 4] = [Rebuild::Units, Rebuild::AppArmor, Rebuild::Hooks, Rebuild::Guests];

/// A part of an operation on its way.
pub(crate) struct Run<'a> {
    pub(crate) root: &'a Root,
    pub(crate) disk: &'a Disk,
    pub(crate) settings: &'a Settings<'a>,
    pub(crate) store: &'a Store<'a>,
    pub(crate) id: u32,
    /// Empty for the apply, else `undo-0001`, `redo-0002`...
    pub(crate) name: String,
    pub(crate) part: Part,
    /// What an undo does with edited files, for a recovery that finishes it.
    pub(crate) conflicts: String,
    /// What is rebuilt: what follows from the part's files, if nothing else is said.
    pub(crate) wanted: BTreeSet<Rebuild>,
    /// Older operations that an undo takes back with this one.
    pub(crate) with: Vec<u32>,
    /// The newest number at the time that the end speaks of; `None` is now.
    pub(crate) newest: Option<u32>,
    programs: Cell<usize>,
}

/// What a part reached.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) rebuilt: BTreeSet<Rebuild>,
    pub(crate) by_hand: Vec<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        (root, disk, settings): (&'a Root, &'a Disk, &'a Settings<'a>),
        store: &'a Store<'a>,
        id: u32,
        name: &str,
        part: Part,
    ) -> Self {
        let (name, conflicts, programs) = (name.to_owned(), String::new(), Cell::new(0));
        let (wanted, with, newest) = (part.plan().rebuilds(), Vec::new(), None);
        Self {
            root,
            disk,
            settings,
            store,
            id,
            name,
            part,
            conflicts,
            wanted,
            with,
            newest,
            programs,
        }
    }

    /// All of it, or none of it.
    pub(crate) fn carry_out(&self) -> Result<Done> {
        let started = match self.name.is_empty() {
            // A published apply is `planned` already.
            true => Ok(()),
            false => self.log(self.entry(self.work(State::Applying))),
        };
        match started.and_then(|()| self.forward()) {
            Ok((done, end)) => {
                // The operation is durable; what is left beside the files is only tidied up.
                let tidy = self.clean(end.clone()).or_else(|_| self.clean(end));
                tidy.map_err(|_| Error::NeedsRecovery { id: self.id })?;
                Ok(done)
            }
            Err(error) => match self.back().or_else(|_| self.back()) {
                Ok(_) => Err(error),
                Err(_) => Err(Error::NeedsRecovery { id: self.id }),
            },
        }
    }

    fn tag(&self) -> String {
        tag(self.id)
    }

    fn is_undo(&self) -> bool {
        self.name.starts_with("undo")
    }

    /// The state while the part is at work.
    fn work(&self, apply: State) -> State {
        match self.name.get(..4) {
            Some("undo") => State::Undoing,
            Some("redo") => State::Redoing,
            _ => apply,
        }
    }

    /// A line about this part.
    pub(crate) fn entry(&self, state: State) -> Entry {
        let mut entry = Entry::new(state, &self.name);
        entry.conflicts.clone_from(&self.conflicts);
        entry.with.clone_from(&self.with);
        entry
    }

    fn log(&self, entry: Entry) -> Result<()> {
        self.store.log(self.id, entry)
    }

    /// Where a signal is heard.
    fn pause(&self) -> Result<()> {
        self.settings.interrupt.check()
    }

    fn forward(&self) -> Result<(Done, Entry)> {
        let (root, disk, tag) = (self.root, self.disk, self.tag());
        for dir in &self.part.make {
            self.pause()?;
            files::make_folder(root, disk, dir)?;
        }
        for step in &self.part.steps {
            self.pause()?;
            files::stage(root, disk, step, &tag)?;
        }
        self.sync_folders()?;
        self.log(self.entry(self.work(State::Applying)))?;
        for step in &self.part.steps {
            self.pause()?;
            files::commit(root, disk, step, &tag)?;
        }
        if !defect("no-sync-at-end") {
            self.sync_folders()?;
        }
        self.pause()?;
        let done = self.rebuild()?;
        self.read_again()?;
        if !defect("no-sync-at-end") {
            self.sync_all()?;
        }
        let given = self.give(&done.rebuilt)?;
        self.reload(&done.rebuilt, &given)?;
        self.pause()?;
        let mut end = self.entry(if self.is_undo() { State::Undone } else { State::Applied });
        end.settled = self.settled(&given)?;
        end.by_hand.clone_from(&done.by_hand);
        end.newest = self.newest.map_or_else(|| store::newest(root), Ok)?;
        self.log(end.clone())?;
        Ok((done, end))
    }

    /// Builds what derives from the files, checks it and puts it in place.
    fn rebuild(&self) -> Result<Done> {
        let (wanted, rebuilder) = (&self.wanted, self.settings.rebuilder);
        if !rebuilder.rebuilds() {
            let by_hand =
                wanted.iter().flat_map(|&what| rebuilder.by_hand(self.root, self.now(what)));
            let done = Done { rebuilt: BTreeSet::new(), by_hand: by_hand.collect() };
            self.log(self.entry(self.work(State::Verifying)))?;
            return Ok(done);
        }
        let mut entry = self.entry(self.work(State::Generating));
        for what in BUILT.into_iter().filter(|what| wanted.contains(what)) {
            for output in rebuilder.outputs(self.root, self.now(what), &self.tag())? {
                let dir = split(&output.path).0;
                if !entry.marks.iter().any(|mark| mark.path == dir) {
                    let mark = Mark::of(self.root, dir, &self.tag())?;
                    entry.marks.extend(mark.as_ref().map(MarkLine::of));
                }
                entry.staging.push(output.staged);
            }
        }
        self.log(entry)?;
        let mut artefacts = Vec::new();
        for what in BUILT.into_iter().filter(|what| wanted.contains(what)) {
            artefacts.extend(self.stage(what, &[])?);
        }
        self.commit_built(&artefacts)?;
        self.log(self.entry(self.work(State::Verifying)))?;
        Ok(Done { rebuilt: wanted.clone(), by_hand: Vec::new() })
    }

    /// What a rebuild is in this part: only who plans a trial has GRUB try it.
    fn now(&self, what: Rebuild) -> Rebuild {
        match what {
            Rebuild::Trial if !self.name.is_empty() => Rebuild::NoTrial,
            what => what,
        }
    }

    fn stage(&self, what: Rebuild, given: &[String]) -> Result<Vec<Artefact>> {
        self.pause()?;
        let output = |bytes: &[u8]| {
            self.programs.set(self.programs.get() + 1);
            let _ = self.store.output(self.id, self.programs.get(), bytes);
        };
        let job = Job {
            tag: &self.tag(),
            progress: self.settings.progress,
            interrupt: self.settings.interrupt,
            lock: Some(self.store.lock()),
            output: &output,
            given,
            looks_inside: self.settings.verify.is_some(),
        };
        self.settings.rebuilder.stage(self.root, self.now(what), &job)
    }

    fn commit_built(&self, artefacts: &[Artefact]) -> Result<()> {
        if artefacts.is_empty() {
            return Ok(());
        }
        let mut entry = self.entry(self.work(State::Generating));
        entry.staging = artefacts.iter().map(|artefact| artefact.staged.clone()).collect();
        self.log(entry.clone())?;
        if let Some(verify) = self.settings.verify.filter(|_| !defect("no-check")) {
            (self.settings.progress)("checking what was built");
            verify(self.root, artefacts)?;
        }
        for artefact in artefacts {
            self.pause()?;
            entry.built.push(boot::describe(self.root, self.disk, artefact)?);
        }
        let built = entry.built.clone();
        self.log(entry)?;
        for built in &built {
            self.pause()?;
            boot::commit(self.root, self.disk, built, &self.tag())?;
        }
        Ok(())
    }

    /// Whether every file is what it should be.
    fn read_again(&self) -> Result<()> {
        for step in self.part.steps.iter().filter(|_| !defect("no-check")) {
            if !Image::read(self.root, &step.target)?.is(&step.after) {
                return Err(Error::Changed { path: step.path.clone() });
            }
        }
        Ok(())
    }

    /// What takes effect at once comes last.
    fn reload(&self, rebuilt: &BTreeSet<Rebuild>, given: &[String]) -> Result<()> {
        for what in LIVE.into_iter().filter(|what| rebuilt.contains(what)) {
            self.stage(what, if what == Rebuild::Guests { given } else { &[] })?;
        }
        Ok(())
    }

    /// The files that a daemon is to accept, which the journal knows from now on. What an undo
    /// brings back it has accepted before.
    fn give(&self, rebuilt: &BTreeSet<Rebuild>) -> Result<Vec<String>> {
        if self.is_undo() || !rebuilt.contains(&Rebuild::Guests) {
            return Ok(Vec::new());
        }
        let is_given = |step: &&Step| Rebuild::after(&step.path) == Some(Rebuild::Guests);
        let there = |step: &&Step| step.after != Image::Absent;
        let steps = self.part.steps.iter().filter(is_given).filter(there);
        let mut entry = self.entry(self.work(State::Verifying));
        entry.given = steps.map(|step| step.path.clone()).collect();
        self.log(entry.clone())?;
        Ok(entry.given)
    }

    /// What became of the files that a daemon was given.
    fn settled(&self, given: &[String]) -> Result<BTreeMap<String, Side>> {
        let mut settled = BTreeMap::new();
        for step in self.part.steps.iter().filter(|step| given.contains(&step.path)) {
            let image = Image::read(self.root, &step.target)?;
            if !image.is(&step.after) {
                settled.insert(step.path.clone(), Side::unkept(&image));
            }
        }
        Ok(settled)
    }

    /// The directories that steps touch.
    fn folders(&self) -> BTreeSet<String> {
        let places = self.part.steps.iter().map(|step| Place::new(&step.target, &self.tag()));
        places.flat_map(|place| [place.dir, place.stage]).collect()
    }

    fn sync_folders(&self) -> Result<()> {
        for path in self.folders() {
            if let Some(folder) = Folder::find(self.root, &path)? {
                self.disk.sync_folder(&folder)?;
            }
        }
        Ok(())
    }

    /// Flushes each file system that was written to.
    fn sync_all(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for path in self.folders() {
            let Some(folder) = Folder::find(self.root, &path)? else { continue };
            let device = self.root.stat(&path)?.map(|stat| stat.st_dev);
            if seen.insert(device) {
                self.disk.sync_all(&folder)?;
            }
        }
        Ok(())
    }

    /// Brings everything back to before this part; names the files that stay because someone
    /// else edited them. Can be interrupted and repeated.
    pub(crate) fn back(&self) -> Result<Vec<String>> {
        let entries = store::entries(self.root, self.id)?.0;
        let _ = self.log(self.entry(State::RollingBack));
        let (mut kept, mut failed) = (Vec::new(), None);
        let (built, staging) = generated(&entries, &self.name);
        let of_part = entries.iter().filter(|entry| entry.part == self.name);
        let given: Vec<&String> = of_part.flat_map(|entry| &entry.given).collect();
        for built in built.iter().rev() {
            match boot::put_back(self.root, self.disk, built, &self.tag()) {
                Ok(true) => {}
                Ok(false) => kept.push(built.path.clone()),
                Err(error) => failed = Some(error),
            }
        }
        for staged in &staging {
            failed = boot::sweep(self.root, self.disk, staged).err().or(failed);
        }
        for (number, step) in self.part.steps.iter().enumerate().rev() {
            let save = |bytes: &[u8]| self.store.keep(self.id, &format!("{number:04}"), bytes);
            let given = given.contains(&&step.path);
            match files::put_back((self.root, self.disk), step, &self.tag(), given, &save) {
                Ok(true) => {}
                Ok(false) => kept.push(step.path.clone()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)?;
        self.sync_folders()?;
        let made: Vec<String> = self.part.make.iter().rev().cloned().collect();
        let of_part = entries.iter().filter(|entry| entry.part == self.name);
        let boot = of_part.flat_map(|entry| entry.marks.iter().cloned().map(MarkLine::mark));
        let marks: Vec<Mark> = self.part.marks.iter().cloned().chain(boot).collect();
        self.restore_folders(&made, &marks)?;
        self.log(self.end_of_back(&entries))?;
        self.reload_back(&entries);
        Ok(kept)
    }

    /// The state before this part.
    fn end_of_back(&self, entries: &[Entry]) -> Entry {
        let ends = |entry: &&Entry| {
            entry.part != self.name && matches!(entry.state, State::Applied | State::Undone)
        };
        let last = entries.iter().rev().find(ends).cloned();
        Entry { clean: true, ..last.unwrap_or_else(|| self.entry(State::RolledBack)) }
    }

    /// What took effect at once is told about the old files; they are in place either way.
    fn reload_back(&self, entries: &[Entry]) {
        let reached = entries.iter().any(|e| e.part == self.name && e.state != State::Planned);
        if reached && self.settings.rebuilder.rebuilds() {
            for what in LIVE.into_iter().filter(|what| self.wanted.contains(what)) {
                let _ = self.stage(what, &[]);
            }
        }
    }

    /// Removes what the finished part left beside the files, and notes that in the journal.
    pub(crate) fn clean(&self, mut end: Entry) -> Result<()> {
        let entries = store::entries(self.root, self.id)?.0;
        for step in &self.part.steps {
            files::clean(self.root, self.disk, step, &self.tag())?;
        }
        for built in generated(&entries, &self.name).0 {
            boot::clean(self.root, self.disk, &built, &self.tag())?;
        }
        self.sync_folders()?;
        self.restore_folders(&self.part.unmake, &self.part.restore)?;
        let marked = self.part.marks.iter().map(|mark| mark.path.clone());
        for path in self.folders().into_iter().chain(marked) {
            if let Some(folder) = Folder::find(self.root, &path)? {
                let time = folder.time()?;
                end.folders.insert(path, (time.seconds, time.nanoseconds));
            }
        }
        self.end_others(&end)?;
        end.clean = true;
        self.log(end)
    }

    /// Notes in the journals of those that an undo takes back with this one that they are undone.
    fn end_others(&self, end: &Entry) -> Result<()> {
        for &id in end.with.iter().filter(|_| end.state == State::Undone) {
            if store::last(self.root, id)?.state != State::Undone {
                let entry = Entry::new(State::Undone, "");
                self.store.log(id, Entry { clean: true, newest: end.newest, ..entry })?;
            }
        }
        Ok(())
    }

    /// Removes directories that are empty, and gives those back their time in which nothing
    /// else changed.
    fn restore_folders(&self, unmake: &[String], marks: &[Mark]) -> Result<()> {
        for path in unmake {
            let (dir, name) = split(path);
            if let Some(folder) = Folder::find(self.root, dir)?
                && self.disk.rmdir(&folder, name)?
            {
                self.disk.sync_folder(&folder)?;
            }
        }
        for mark in marks {
            let Some(folder) = Folder::find(self.root, &mark.path)? else { continue };
            let same = names_hash(self.root, &mark.path, &self.tag())? == mark.names;
            if same && folder.time()? != mark.time {
                self.disk.set_folder_time(&folder, mark.time)?;
                self.disk.sync_folder(&folder)?;
            }
        }
        Ok(())
    }
}

/// What the journal says a part generated, and the names that generators may have left.
fn generated(entries: &[Entry], part: &str) -> (Vec<Built>, BTreeSet<String>) {
    let of_part = || entries.iter().filter(|entry| entry.part == part);
    let built = of_part().rev().find(|entry| !entry.built.is_empty());
    let staging = of_part().flat_map(|entry| entry.staging.iter().cloned());
    (built.map(|entry| entry.built.clone()).unwrap_or_default(), staging.collect())
}

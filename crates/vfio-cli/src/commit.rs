//! The way from a draft to the disk: show, stop at a dry run, ask, carry out, say what is next.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use vfio_core::{
    Error,
    change::{
        self, Damage, Draft, OnConflict, Plan, Rebuild, Recovered, State, UndoPreview, Undone,
        Verify,
    },
};

use crate::{Context, Failure, Usage, json, listing, output};

/// What a dry run says to somebody who may not read the journal.
const UNSEEN: &str = "not root: whether an earlier operation is unfinished was not looked at";

/// What happened, for the closing lines and for `--json`.
struct Done {
    id: u32,
    rebuilt: BTreeSet<Rebuild>,
    by_hand: Vec<String>,
}

impl Context {
    /// Shows what `draft` changes and, unless this is a dry run, does it as one operation.
    ///
    /// `verify` checks what generators made before it is put in place.
    ///
    /// # Errors
    ///
    /// Whatever the engine refuses; a missing privilege; a question nobody is there to answer.
    pub fn commit(&self, draft: Draft<'_>, verify: Option<&Verify<'_>>) -> Result<(), Failure> {
        self.commit_with(draft, verify, &Map::new())
    }

    /// The same with `data` in what `--json` prints.
    pub fn commit_with(
        &self,
        draft: Draft<'_>,
        verify: Option<&Verify<'_>>,
        data: &Map<String, Value>,
    ) -> Result<(), Failure> {
        let mut plan = draft.finish(self.title.as_str())?;
        let unseen = self.report_interrupted()?;
        plan.notes.extend(unseen.map(str::to_owned));
        if plan.is_empty() {
            unseen.iter().for_each(|note| self.say(note));
            return self.nothing_to_do(&plan, data);
        }
        if self.rebuilder().rebuilds() {
            plan.owed = change::left_to_rebuild(self.root())?;
        }
        // A dry run, and the diff above the question, promise only what can be done here.
        if !self.is_described() {
            change::check(self.root(), &plan, self.rebuilder())?;
        }
        self.carry_out(&plan, "Apply these changes?", data, |cx| {
            let applied =
                cx.engine(verify, |settings| change::apply(cx.root(), &plan, settings))?;
            let closing =
                format!("Done: operation {}. `deploy-vfio undo` takes it back.", applied.id);
            cx.say(closing);
            Ok(Done { id: applied.id, rebuilt: applied.rebuilt, by_hand: applied.by_hand })
        })
    }

    /// Takes back the newest operation that is not taken back yet.
    pub fn undo(&self, on_conflict: OnConflict) -> Result<(), Failure> {
        self.take_back(false, on_conflict)
    }

    /// Takes back every operation, as one change that is shown and asked for once.
    pub fn undo_all(&self, on_conflict: OnConflict) -> Result<(), Failure> {
        self.take_back(true, on_conflict)
    }

    fn take_back(&self, all: bool, on_conflict: OnConflict) -> Result<(), Failure> {
        if self.make_whole()? && !all {
            return self.ended(
                "Nothing else is taken back: once more takes back the operation before.",
                true,
            );
        }
        self.report_interrupted()?;
        let root = self.root();
        let mut previews = match all {
            true => change::preview_undo_all(root, on_conflict)?,
            false => change::preview_undo(root, on_conflict)?.into_iter().collect(),
        };
        let rest = previews.first().is_some_and(|first| first.operation.state == State::Undone);
        if previews.is_empty() || rest && !self.rebuilder().rebuilds() {
            return self.ended("There is nothing to undo.", false);
        }
        let plan = self.show_undo(&mut previews, on_conflict)?;
        let question = match (rest, all) {
            (true, _) => "Rebuild this?",
            (false, true) => "Take all of this back?",
            (false, false) => "Take these changes back?",
        };
        self.carry_out(&plan, question, &Map::new(), |cx| {
            let undone = cx.engine(None, |settings| {
                change::undo_shown(root, &previews, on_conflict, settings)
            })?;
            let how = if rest { "taken back, what it left is rebuilt" } else { "taken back" };
            cx.say_undone(undone, how)
        })
    }

    /// Tells what is taken back and what was edited since; the whole as one plan, or the conflict that
    /// it would end with.
    fn show_undo(
        &self,
        previews: &mut [UndoPreview],
        on_conflict: OnConflict,
    ) -> Result<Plan, Failure> {
        let (mut whole, mut edited) = (Plan::default(), false);
        for UndoPreview { operation, plan, edits, .. } in &*previews {
            self.say(match operation.state {
                State::Undone => "What was taken back left this to be rebuilt:".to_owned(),
                _ => format!("Undoing operation {}: {}", operation.id, operation.title),
            });
            if on_conflict != OnConflict::Keep && !edits.is_empty() && !self.global.json {
                self.say("What was edited since:");
                output::diff(&change::diff(edits), true);
                edited = true;
            }
            whole = whole.then(plan.clone());
        }
        if edited && !whole.is_empty() {
            self.say("What undo changes:");
        }
        match previews.iter_mut().find_map(|preview| preview.conflict.take()) {
            Some(conflict) => {
                if !self.global.json {
                    self.show(&whole);
                }
                Err(conflict.into())
            }
            None => {
                if !self.is_described() {
                    change::check_undo(self.root(), &whole, self.rebuilder())?;
                }
                Ok(whole)
            }
        }
    }

    /// Recovers first where an operation was interrupted: who undoes wants that taken back too. Tells
    /// whether it is, as one is not that was in place already.
    fn make_whole(&self) -> Result<bool, Failure> {
        let Err(Error::NeedsRecovery { id }) = change::ready(self.root()) else {
            return Ok(false);
        };
        if self.dry_run() {
            return Ok(false);
        }
        self.say(format!("Operation {id} was interrupted, and is recovered first."));
        let all = self.engine(None, |settings| change::recover(self.root(), settings))?;
        for recovered in &all {
            self.say(format!("Operation {}: {}.", recovered.id, recovered.outcome));
            for path in &recovered.kept {
                self.say(format!("Kept as you edited it: /{path}"));
            }
        }
        let mut in_place = change::history(self.root())?;
        in_place.retain(|operation| operation.state == State::Applied);
        let is_back = |recovered: &Recovered| in_place.iter().all(|one| one.id != recovered.id);
        Ok(all.iter().any(is_back))
    }

    /// Does the newest undone operation again.
    pub fn redo(&self) -> Result<(), Failure> {
        self.report_interrupted()?;
        let Some(shown) = change::preview_redo(self.root())? else {
            return self.ended("There is nothing to redo.", false);
        };
        let (operation, plan) = &shown;
        self.say(format!("Redoing operation {}: {}", operation.id, operation.title));
        if plan.rebuilds().contains(&Rebuild::Trial) {
            let again = "no redo puts an entry on trial: `deploy-vfio trial off`, then the command itself does";
            self.say(format!("note: {again}"));
        }
        self.carry_out(plan, "Make these changes again?", &Map::new(), |cx| {
            let redone = cx.engine(None, |s| change::redo_shown(cx.root(), &shown, s))?;
            let done = cx.say_undone(redone, "in place again")?;
            if done.rebuilt.contains(&Rebuild::BootMenu) {
                cx.say("`deploy-vfio verify` looks whether the menu boots what was planned.");
            }
            Ok(done)
        })
    }

    /// Keeps the damaged record of operation `id` under another name, so that work can go on.
    ///
    /// # Errors
    ///
    /// A record that can be read; a missing privilege; a question nobody is there to answer.
    pub fn set_aside(&self, id: u32) -> Result<(), Failure> {
        let damage = change::damage(self.root(), id)?;
        if !self.global.json {
            self.show_damage(&damage);
        }
        if self.dry_run() {
            self.tell_aside(&damage);
            return if self.global.exit_code { Err(Usage::found().into()) } else { Ok(()) };
        }
        self.confirm("Set this record aside?")?;
        let damage = self.engine(None, |s| change::set_aside(self.root(), id, s))?;
        self.say(format!(
            "Done: the record of operation {id} is set aside; other commands work again."
        ));
        self.tell_aside(&damage);
        Ok(())
    }

    /// What happens to a damaged record, and what a person should look at.
    fn show_damage(&self, damage: &Damage) {
        let Damage { id, what, files, left, saved, kept } = damage;
        let list = |heading: &str, paths: &[String]| {
            if !paths.is_empty() {
                output::data(heading);
            }
            for path in paths {
                output::data(&format!("  /{}", path.escape_debug()));
            }
        };
        output::data(&format!("The record of operation {id} cannot be read: {what}."));
        output::data(&format!("rename from /var/lib/deploy-vfio/tx/{id:06}\nrename to /{kept}"));
        match files.is_empty() {
            true => output::data("Which files it is about cannot be read; they stay as they are."),
            false => list("It may be about these files, which stay as they are:", files),
        }
        list("These were left beside files, and stay too:", left);
        if *saved {
            output::data(&format!("What files held before it is below /{kept}/pre."));
        }
        output::data(&format!("Operation {id} can then no longer be taken back with `undo`."));
    }

    fn tell_aside(&self, damage: &Damage) {
        if self.global.json {
            let paths = |paths: &[String]| -> Vec<String> {
                paths.iter().map(|path| format!("/{path}")).collect()
            };
            json::print(serde_json::json!({
                "changed": true,
                "dry_run": self.dry_run(),
                "set_aside": damage.id,
                "damage": damage.what,
                "files": paths(&damage.files),
                "left": paths(&damage.left),
                "kept": format!("/{}", damage.kept),
            }));
        }
    }

    fn say_undone(
        &self,
        undone: impl IntoIterator<Item = Undone>,
        how: &str,
    ) -> Result<Done, Failure> {
        let mut done = None;
        for Undone { id, kept, rebuilt, by_hand, .. } in undone {
            for path in kept {
                self.say(format!("Kept as you edited it: /{path}"));
            }
            self.say(format!("Done: operation {id} is {how}."));
            done = Some(Done { id, rebuilt, by_hand });
        }
        done.ok_or_else(|| {
            let late = Usage::refused("another run was faster", &["`deploy-vfio log` tells"]);
            late.exiting(vfio_core::Exit::Busy).into()
        })
    }

    fn carry_out(
        &self,
        plan: &Plan,
        question: &str,
        data: &Map<String, Value>,
        work: impl FnOnce(&Self) -> Result<Done, Failure>,
    ) -> Result<(), Failure> {
        if !self.global.json {
            self.show(plan);
        }
        if self.dry_run() {
            self.outcome(plan, None, data);
            let pending = self.global.exit_code && !plan.is_empty();
            return if pending { Err(Usage::found().into()) } else { Ok(()) };
        }
        if !output::is_whole() {
            let what = "the plan cannot be written to standard output, so nothing is done";
            return Err(Usage::refused(what, &[]).exiting(vfio_core::Exit::Failed).into());
        }
        self.confirm(question)?;
        let done = work(self)?;
        if !done.by_hand.is_empty() {
            self.say(format!("Still to do by hand: {}", done.by_hand.join("; ")));
        } else if done.rebuilt.contains(&Rebuild::BootMenu) {
            self.say("It takes effect at the next boot.");
        }
        self.outcome(plan, Some(&done), data);
        Ok(())
    }

    /// The diff, what is rebuilt, what the user should know, and what may go wrong.
    fn show(&self, plan: &Plan) {
        match self.global.verbose {
            true => output::diff(&change::diff(plan), true),
            false => {
                let (shown, listed) = listing::split(plan);
                output::diff(&change::diff(&shown), false);
                listed.iter().for_each(|table| output::data(table));
            }
        }
        self.tell(plan);
    }

    /// What there is to know beside a plan: what is rebuilt, notes, and warnings.
    pub fn tell(&self, plan: &Plan) {
        if !self.global.quiet {
            for rebuild in plan.rebuilds() {
                output::talk(&format!("then rebuild {rebuild}"));
            }
            for note in &plan.notes {
                output::talk(&format!("note: {note}"));
            }
        }
        for warning in &plan.warnings {
            output::warning(&warning.what);
            warning.help.iter().for_each(|line| output::detail("help:", line));
        }
    }

    fn outcome(&self, plan: &Plan, done: Option<&Done>, data: &Map<String, Value>) {
        if !self.global.json {
            return;
        }
        let rebuilds = plan.rebuilds();
        let boots = rebuilds.contains(&Rebuild::BootMenu) || rebuilds.contains(&Rebuild::Initramfs);
        json::Outcome {
            changed: !plan.is_empty(),
            dry_run: self.dry_run(),
            operation: done.map(|done| done.id),
            reboot_required: boots,
            files: json::files(plan),
            rebuilds: rebuilds.iter().map(ToString::to_string).collect(),
            by_hand: done.map_or(&[], |done| done.by_hand.as_slice()),
            notes: &plan.notes,
            warnings: json::warnings(plan),
        }
        .print(data);
    }

    fn nothing_to_do(&self, plan: &Plan, data: &Map<String, Value>) -> Result<(), Failure> {
        if !self.global.json {
            return self.ended("Nothing to do.", false);
        }
        self.outcome(plan, None, data);
        Ok(())
    }

    fn ended(&self, text: &str, changed: bool) -> Result<(), Failure> {
        if self.global.json {
            json::print(serde_json::json!({ "changed": changed, "message": text }));
        } else {
            output::data(text);
        }
        Ok(())
    }

    /// A plan made over half-done files would be wrong: recover first, or say that it is needed.
    ///
    /// The journal is for root alone; what a dry run of somebody else did not look at is the answer.
    fn report_interrupted(&self) -> Result<Option<&'static str>, Failure> {
        match change::ready(self.root()) {
            Ok(()) => Ok(None),
            Err(error) if error.is_denied() && self.dry_run() => Ok(Some(UNSEEN)),
            Err(error) => {
                if error.is_denied() {
                    self.privileged()?;
                }
                Err(error.into())
            }
        }
    }
}

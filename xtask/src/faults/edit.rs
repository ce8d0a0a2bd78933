//! C10: a user edits a file in the middle of the operation, at each change in turn.
//!
//! A case `17/2/replace` gives the third target new text by a rename before change 17;
//! `17/2/append/21` appends in place, and all processes die before change 21. Afterwards the
//! user's bytes are in the file, and all other files are old or new together.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::calls::Call;
use super::harness::{Dice, Scope, Verdict, number};
use super::lab::{Bench, Desk, Stage, append, done, sane};
use super::scenario::Verb;
use super::tracer::{Action, Exit};
use super::tree;

/// What the user writes.
const EDIT: &[u8] = b"EDITED BY THE USER\n";

/// Every change with every target both ways; some with a death after.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let mut dice = Dice(scope.seed ^ stage.calls.len() as u64);
    let mut cases = Vec::new();
    for n in 1..=stage.calls.len() {
        for target in 0..targets(stage).len() {
            for (k, how) in ["replace", "append"].into_iter().enumerate() {
                if scope.quick && (n + target + k) % 3 != 0 {
                    continue;
                }
                cases.push(format!("{n}/{target}/{how}"));
                if n < stage.calls.len() && (!scope.quick || dice.below(3) == 0) {
                    let m = n + 1 + dice.below(stage.calls.len() - n);
                    cases.push(format!("{n}/{target}/{how}/{m}"));
                }
            }
        }
    }
    cases
}

/// Files of the user's own realm.
fn targets(stage: &Stage) -> Vec<PathBuf> {
    let mut targets = stage.ends.targets();
    targets.retain(|path| !path.starts_with("boot"));
    targets
}

/// Runs one case; an edit that is impossible at that moment counts as nothing.
pub fn run(lab: (&Bench, &Stage, &Desk), name: &str, verdict: &mut Verdict) {
    match one(lab, name) {
        Ok(false) => {}
        Ok(true) => verdict.add(name, Ok(())),
        Err(error) => verdict.add(name, Err(error)),
    }
}

fn one((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str) -> Result<bool> {
    let parts: Vec<_> = name.split('/').collect();
    let (n, target) = (number(parts.first())?, number(parts.get(1))?);
    let targets = targets(stage);
    let path = targets.get(target).context("no such target")?;
    let how = *parts.get(2).context("no way to edit")?;
    let death = parts.get(3).map(|_| number(parts.get(3))).transpose()?;
    bench.set(stage, desk)?;
    let mut edited = Ok(false);
    let mut watch = |at: usize, _: &Call| {
        if at == n {
            edited = edit(&desk.root.join(path), how);
        }
        if Some(at) == death { Action::Kill } else { Action::Go }
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    if !edited? {
        return Ok(false);
    }
    if ran.exit != Exit::Killed {
        sane(&ran)?;
    }
    let said = format!("{:?}: {}", ran.exit, ran.output.trim());
    // Until a recovery, an edit that met a death may lie beside the file.
    if !matches!(ran.exit, Exit::Killed | Exit::Code(3)) {
        survived(desk, path, how).with_context(|| said.clone())?;
    }
    let recovered = bench.run(stage.scenario, Verb::Recover, desk)?;
    done(&recovered, 0).with_context(|| said.clone())?;
    let told = || format!("{said}; then {}", recovered.output.trim());
    survived(desk, path, how).with_context(told)?;
    others(stage, desk, path).with_context(told)?;
    Ok(true)
}

/// Edits as a user would; `false` where there is no directory to do it in.
fn edit(path: &Path, how: &str) -> Result<bool> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(false);
    }
    match how {
        "append" => append(path, EDIT)?,
        "replace" => {
            let beside = path.with_extension("user");
            fs::write(&beside, EDIT)?;
            fs::rename(beside, path)?;
        }
        _ => bail!("no such way to edit"),
    }
    Ok(true)
}

/// The edit is in the file.
fn survived(desk: &Desk, path: &Path, how: &str) -> Result<()> {
    let bytes = fs::read(desk.root.join(path)).unwrap_or_default();
    let found = match how {
        "replace" => bytes == EDIT,
        _ => bytes.windows(EDIT.len()).any(|window| window == EDIT),
    };
    ensure!(found, "the user's edit of /{} is lost: {:?}", path.display(), show(&bytes));
    Ok(())
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

/// All files but the edited one, and the directories that hold it, went one way.
fn others(stage: &Stage, desk: &Desk, path: &Path) -> Result<()> {
    let but: Vec<&Path> = path.ancestors().collect();
    let now = tree::read(&desk.root, false)?;
    if stage.code == 0 && stage.scenario.verb.is_fresh() {
        stage.ends.end_but(&now, &but)?;
    }
    stage.ends.whole_but(&now, &but)
}

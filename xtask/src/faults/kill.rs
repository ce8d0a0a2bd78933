//! C1: every process dies at a change, at each change in turn; and again during the recovery.
//!
//! A case `17` dies before change 17; `17/4` dies again before the fourth change of the recovery, and
//! `17/4/9` once more before the ninth change of the next one, if it has so many; in `17/orphan` the
//! program dies and a generator that it started goes on to its end.
//! Before recovery every file is old or new. After it all is old or all is new, nothing is left
//! over, a second recovery finds nothing to do, and the operation can be carried out.

use anyhow::{Result, bail, ensure};

use super::calls::Call;
use super::harness::{Dice, Scope, Verdict, number};
use super::judge::{self, Found};
use super::lab::{Bench, Desk, Stage, done};
use super::scenario::Verb;
use super::tracer::{Action, Exit};
use super::tree;

/// How many times a scenario dies three times in a row.
const TRIPLES: usize = 150;
/// About as many changes a recovery makes.
const RECOVERY: usize = 50;

/// One job for each change; every so often one that sweeps the recovery too.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let sweep_every = match () {
        () if stage.scenario.is_command() => usize::MAX,
        () if scope.quick => 9,
        () => 3,
    };
    let mut jobs = Vec::new();
    for n in 1..=stage.calls.len() {
        jobs.push(n.to_string());
        if stage.scenario.rebuilds() && (!scope.quick || n % 4 == 0) {
            jobs.push(format!("{n}/orphan"));
        }
        if n % sweep_every == 0 {
            jobs.push(format!("{n}/*"));
        }
    }
    // What is refused changes nothing, and has nowhere to die.
    if !scope.quick && !stage.scenario.is_command() && !stage.calls.is_empty() {
        let mut dice = Dice(scope.seed ^ (stage.calls.len() as u64) << 16);
        jobs.extend((0..TRIPLES).map(|_| {
            let [n, m, k] =
                [stage.calls.len(), RECOVERY, RECOVERY].map(|most| 1 + dice.below(most));
            format!("{n}/{m}/{k}")
        }));
    }
    jobs
}

/// Runs one case, or with `*` one for each change of the recovery.
pub fn run(lab: (&Bench, &Stage, &Desk), name: &str, verdict: &mut Verdict) {
    let parts: Vec<_> = name.split('/').collect();
    match (number(parts.first()), parts.get(1)) {
        (Err(error), _) => verdict.add(name, Err(error)),
        (Ok(n), None) => verdict.add(name, once(lab, n, Action::Kill)),
        (Ok(n), Some(&"orphan")) => verdict.add(name, once(lab, n, Action::Orphan)),
        (Ok(n), Some(&"*")) => match count(lab, n) {
            Ok(calls) => {
                for m in 1..=calls {
                    verdict.add(&format!("{n}/{m}"), twice(lab, n, m, true));
                }
            }
            Err(error) => verdict.add(name, Err(error)),
        },
        (Ok(n), Some(_)) if parts.len() == 3 => verdict.add(name, thrice(lab, n, &parts[1..])),
        (Ok(n), Some(_)) => {
            let result = number(parts.get(1)).and_then(|m| twice(lab, n, m, false));
            verdict.add(name, result);
        }
    }
}

/// Dies at `n`, at a change of the recovery, and at one of the recovery after that.
fn thrice(lab: (&Bench, &Stage, &Desk), n: usize, deaths: &[&str]) -> Result<()> {
    let (bench, stage, desk) = lab;
    cut(lab, n)?;
    for death in deaths {
        let m = number(Some(death))?;
        let mut watch = |at: usize, _: &Call| if at == m { Action::Kill } else { Action::Go };
        let ran = bench.trace(stage.scenario, Verb::Recover, desk, &mut watch)?;
        if ran.exit != Exit::Killed {
            done(&ran, 0)?;
        }
        stage.ends.whole(&tree::read(&desk.root, false)?)?;
    }
    recovered(lab)
}

/// Dies at `n` in the way of `how`, recovers, and is judged.
pub fn once(lab: (&Bench, &Stage, &Desk), n: usize, how: Action) -> Result<()> {
    lab.0.set(lab.1, lab.2)?;
    kill_at(lab, lab.1.scenario.verb, n, how)?;
    recovered(lab)
}

/// How many changes the recovery from dying at `n` makes; the tree it starts from stays on the
/// desk's other place.
fn count((bench, stage, desk): (&Bench, &Stage, &Desk), n: usize) -> Result<usize> {
    cut((bench, stage, desk), n)?;
    tree::copy(&desk.root, &desk.spare)?;
    let ran =
        bench.trace(stage.scenario, Verb::Recover, desk, &mut |_: usize, _: &Call| Action::Go)?;
    done(&ran, 0)?;
    Ok(ran.calls)
}

/// Dies at `n`, then at change `m` of the recovery; `kept`: the first death is on the desk.
fn twice(lab: (&Bench, &Stage, &Desk), n: usize, m: usize, kept: bool) -> Result<()> {
    match kept {
        true => tree::copy(&lab.2.spare, &lab.2.root)?,
        false => cut(lab, n)?,
    }
    kill_at(lab, Verb::Recover, m, Action::Kill)?;
    recovered(lab)
}

fn cut((bench, stage, desk): (&Bench, &Stage, &Desk), n: usize) -> Result<()> {
    bench.set(stage, desk)?;
    kill_at((bench, stage, desk), stage.scenario.verb, n, Action::Kill)
}

/// Runs `verb` until it dies, and looks at what a boot loader would find.
fn kill_at(
    (bench, stage, desk): (&Bench, &Stage, &Desk),
    verb: Verb,
    n: usize,
    how: Action,
) -> Result<()> {
    let mut watch = |at: usize, _: &Call| if at == n { how } else { Action::Go };
    let ran = bench.trace(stage.scenario, verb, desk, &mut watch)?;
    if ran.exit != Exit::Killed {
        bail!("{verb:?} had no change {n}: {:?}: {}", ran.exit, ran.output.trim());
    }
    stage.ends.whole(&tree::read(&desk.root, false)?)
}

/// Recovers and judges; then carries the operation out after all.
fn recovered((bench, stage, desk): (&Bench, &Stage, &Desk)) -> Result<()> {
    let found = recover((bench, stage, desk))?;
    let again = bench.run(stage.scenario, Verb::Recover, desk)?;
    done(&again, 0)?;
    ensure!(again.output.contains("Nothing to do."), "recovered twice: {}", again.output.trim());
    stage.ends.end(&tree::read(&desk.root, false)?)?;
    // An undo or redo that is done would take the next operation.
    if stage.scenario.verb.repeats() || !found.new {
        done(&bench.run(stage.scenario, stage.scenario.verb, desk)?, stage.code)?;
        let after = stage.ends.end(&tree::read(&desk.root, false)?)?;
        ensure!(after.new, "done again, the tree is as before");
        judge::no_unfinished_record(&desk.root)?;
    }
    Ok(())
}

/// Recovers; the tree is then the one before or the one after.
pub fn recover((bench, stage, desk): (&Bench, &Stage, &Desk)) -> Result<Found> {
    done(&bench.run(stage.scenario, Verb::Recover, desk)?, 0)?;
    stage.ends.end(&tree::read(&desk.root, false)?)
}

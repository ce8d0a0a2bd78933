//! C6: the power is cut between any two steps, and file systems lose what they may lose.
//!
//! The operation is recorded once; for each cut the model says which trees could be found
//! afterwards. Each different one is laid out and recovered. A case `weak/17/4` is the fifth tree
//! after step 17 by the weak temper. Before recovery every file is old or new; after it all is old or
//! all is new; once the operation had ended with success, all is new.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::harness::{Dice, Scope, number};
use super::kill;
use super::lab::{Bench, Desk, Stage};
use super::model::{Model, Pick, Temper};
use super::record::{Op, Recorder};
use super::scenario::Scenario;
use super::tracer::Exit;
use super::tree::{self, Tree};

const TEMPERS: [(&str, Temper); 2] = [("weak", Temper::Weak), ("ordered", Temper::Ordered)];

/// Random answers for each cut that has too many to try all.
const SAMPLES: usize = 256;

/// What an operation did to which tree.
#[derive(Debug)]
pub struct Record {
    base: Tree,
    ops: Vec<Op>,
}

/// Records the operation of a scenario.
pub fn record(bench: &Bench, scenario: &Scenario, template: &Path, code: i32) -> Result<Record> {
    let desk = Desk::new(bench, "record")?;
    tree::copy(template, &desk.root)?;
    let base = tree::read(&desk.root, true)?;
    let mut recorder = Recorder::new(&desk.root);
    let ran = bench.trace(scenario, scenario.verb, &desk, &mut recorder)?;
    ensure!(ran.exit == Exit::Code(code), "{:?}: {}", ran.exit, ran.output);
    Ok(Record { base, ops: recorder.ops })
}

/// Every case that leaves a tree of its own.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let record = &stage.record;
    let (mut seen, mut cases) = (HashSet::new(), Vec::new());
    for (name, temper) in TEMPERS {
        let mut model = Model::new(&record.base);
        for at in 0..=record.ops.len() {
            if at > 0 {
                model.step(&record.ops[at - 1]);
            }
            let acknowledged = at == record.ops.len();
            for (k, pick) in picks(&model, at, scope.seed).iter().enumerate() {
                if scope.quick && k >= 24 && k % 16 != 0 {
                    continue;
                }
                let tree = model.cut(pick, temper);
                if seen.insert((tree::fingerprint(&tree), acknowledged)) {
                    cases.push(format!("{name}/{at}/{k}"));
                }
            }
        }
    }
    cases
}

fn picks(model: &Model, at: usize, seed: u64) -> Vec<Pick> {
    model.picks(SAMPLES, &mut Dice(seed ^ (at as u64) << 32))
}

/// Runs one case.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str, seed: u64) -> Result<()> {
    let parts: Vec<_> = name.split('/').collect();
    let temper = TEMPERS.iter().find(|(name, _)| parts.first() == Some(name));
    let Some(&(_, temper)) = temper else { bail!("no such temper") };
    let (at, k) = (number(parts.get(1))?, number(parts.get(2))?);
    let record = &stage.record;
    ensure!(at <= record.ops.len(), "there are {} steps", record.ops.len());
    let mut model = Model::new(&record.base);
    record.ops[..at].iter().for_each(|op| model.step(op));
    let picks = picks(&model, at, seed);
    let pick = picks.get(k).context("no such tree")?;
    tree::remove(&desk.root)?;
    tree::write(&desk.root, &model.cut(pick, temper))?;
    tree::link_programs(&stage.template, &desk.root)?;
    let last = at.checked_sub(1).map_or_else(String::new, |last| record.ops[last].show());
    let told = || format!("cut after step {at} of {}, {last}", record.ops.len());
    stage.ends.whole(&tree::read(&desk.root, false)?).with_context(told)?;
    let found = kill::recover((bench, stage, desk)).with_context(told)?;
    let acknowledged = at == record.ops.len() && stage.code == 0;
    ensure!(!acknowledged || found.new, "it was acknowledged, and is lost");
    Ok(())
}

//! A directory turns into a link that leads out of the tree, at each change in turn.
//!
//! In a case `17` the directory of two targets is renamed before change 17 and a link to a place outside
//! takes its name, as somebody who may write there could do. Nothing outside is touched, whatever comes of
//! the operation; and once the directory is back, a recovery makes everything old or new.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::calls::Call;
use super::harness::{Scope, number};
use super::lab::{Bench, Desk, Stage, done, sane};
use super::scenario::Verb;
use super::tracer::Action;
use super::tree;

/// The directory, its name meanwhile, and a file in it that the operation replaces.
const DIR: &str = "etc/modprobe.d";
const MOVED: &str = "etc/moved";
const FILE: &str = "thing.conf";

/// Every change of what has a target there; a few in a quick run. Who keeps what was edited keeps what is
/// in a directory that went, too.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let there = stage.ends.targets().iter().any(|path| path.starts_with(DIR));
    let step = if scope.quick { 8 } else { 1 };
    let tried = there && !stage.scenario.is_command() && stage.scenario.verb != Verb::UndoKeep;
    let last = if tried { stage.calls.len() } else { 0 };
    (1..=last).step_by(step).map(|n| n.to_string()).collect()
}

/// Runs one case.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str) -> Result<()> {
    let n = number(Some(&name))?;
    bench.set(stage, desk)?;
    let outside = desk.root.with_file_name("outside");
    tree::remove(&outside)?;
    fs::create_dir(&outside)?;
    fs::write(outside.join(FILE), "outside\n")?;
    let before = tree::read(&outside, false)?;
    let (dir, moved) = (desk.root.join(DIR), desk.root.join(MOVED));
    let mut turned = Ok(());
    let mut watch = |at: usize, _: &Call| {
        if at == n {
            turned = turn(&dir, &moved, &outside);
        }
        Action::Go
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    turned.context("the directory did not turn")?;
    sane(&ran)?;
    let told = || format!("{:?}: {}", ran.exit, ran.output.trim());
    ensure!(tree::read(&outside, false)? == before, "something outside was touched: {}", told());
    fs::remove_file(&dir).with_context(told)?;
    fs::rename(&moved, &dir)?;
    done(&bench.run(stage.scenario, Verb::Recover, desk)?, 0).with_context(told)?;
    stage.ends.end(&tree::read(&desk.root, false)?).with_context(told)?;
    Ok(())
}

fn turn(dir: &Path, moved: &Path, outside: &Path) -> Result<()> {
    fs::rename(dir, moved)?;
    Ok(symlink(outside, dir)?)
}

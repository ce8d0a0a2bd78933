//! C12: several runs on one tree at once, some of them killed at any moment.
//!
//! A case is a round; its number decides who takes part. Everybody ends within half a minute, with a
//! documented exit code; a recovery afterwards finds everything done or nothing, and a run after that
//! has the tree to itself.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::harness::{Dice, Scope, number};
use super::lab::{Bench, Desk, Stage, done};
use super::scenario::Verb;
use super::tree;

/// The scenario whose operation some of them want.
const SCENARIO: &str = "mixed-apply";
/// Nobody may take longer, whoever holds the lock.
const LONGEST: Duration = Duration::from_secs(30);

/// The rounds.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let rounds = match stage.scenario.name {
        SCENARIO if scope.quick => 40,
        SCENARIO => 1000,
        _ => 0,
    };
    (0..rounds).map(|round: u32| round.to_string()).collect()
}

/// Runs one round.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str, seed: u64) -> Result<()> {
    let mut dice = Dice(seed ^ ((number(Some(&name))? as u64) << 16));
    bench.set(stage, desk)?;
    let mut crowd = Vec::new();
    for at in 0..2 + dice.below(7) {
        let verb = match dice.below(4) {
            0 | 1 => stage.scenario.verb,
            2 => Verb::Undo,
            _ => Verb::Recover,
        };
        let end = (dice.below(3) == 0).then(|| Duration::from_millis(dice.below(80) as u64));
        let log = desk.log.with_file_name(format!("crowd-{at}"));
        let output = File::create(&log)?;
        let mut command = bench.command(stage.scenario, verb, &desk.root);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        crowd.push(Member { child: command.spawn()?, end, log });
        sleep(Duration::from_millis(dice.below(8) as u64));
    }
    wait(&mut crowd)?;
    done(&bench.run(stage.scenario, Verb::Recover, desk)?, 0)?;
    stage.ends.end(&tree::read(&desk.root, false)?)?;
    done(&bench.run(stage.scenario, stage.scenario.verb, desk)?, 0)?;
    let found = stage.ends.end(&tree::read(&desk.root, false)?)?;
    ensure!(found.new, "a run on its own did not do it");
    Ok(())
}

/// One of them.
struct Member {
    child: Child,
    /// When it is killed.
    end: Option<Duration>,
    log: std::path::PathBuf,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for all, and looks at how each ended.
fn wait(crowd: &mut [Member]) -> Result<()> {
    let start = Instant::now();
    let mut left = crowd.len();
    while left > 0 {
        ensure!(start.elapsed() < LONGEST, "{left} of {} wait for ever", crowd.len());
        left = 0;
        for member in crowd.iter_mut() {
            if member.child.try_wait()?.is_none() {
                left += 1;
                if member.end.is_some_and(|end| start.elapsed() > end) {
                    member.child.kill()?;
                }
            }
        }
        sleep(Duration::from_millis(2));
    }
    for member in crowd {
        let status = member.child.wait()?;
        let said = fs::read_to_string(&member.log).context("what it printed")?;
        match (status.code(), status.signal()) {
            _ if said.contains("panicked at") => bail!("panic: {said}"),
            (Some(0 | 1 | 3..=7), _) => {}
            (None, Some(9)) if member.end.is_some() => {}
            other => bail!("{other:?}: {said}"),
        }
    }
    Ok(())
}

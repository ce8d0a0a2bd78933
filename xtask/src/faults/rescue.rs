//! C16: an operation is taken back from outside, as from a live system.
//!
//! A case names who does it: `program` is `undo --all --root`, the others are the script of the state
//! directory in that shell. Each leaves the tree as it was before anything was deployed; busybox knows
//! whole seconds only.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::lab::{Bench, Desk, Stage, done};
use super::scenario::Verb;
use super::special::same;
use super::tree::{self, Node, Tree};

/// Who can take back, and what starts the script.
const WAYS: [(&str, &[&str]); 4] = [
    ("program", &[]),
    ("dash", &["dash"]),
    ("bash", &["bash", "--posix"]),
    ("busybox", &["busybox", "sh"]),
];

/// Every way, where the operation deploys something on a tree that has nothing.
pub fn list(stage: &Stage) -> Vec<String> {
    let first = stage.scenario.before.is_empty() && stage.scenario.verb.repeats();
    // The script has a chroot build menus anew, with the time and the words of that build.
    let ways = WAYS.iter().filter(|_| first && !stage.scenario.rebuilds());
    ways.map(|(way, _)| (*way).to_owned()).collect()
}

/// Runs one case.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), way: &str) -> Result<()> {
    let Some((_, shell)) = WAYS.iter().find(|(name, _)| *name == way) else { bail!("no such way") };
    bench.set(stage, desk)?;
    done(&bench.run(stage.scenario, stage.scenario.verb, desk)?, stage.code)?;
    let found = stage.ends.end(&tree::read(&desk.root, false)?)?;
    ensure!(found.new && !found.old, "nothing was deployed");
    match shell.split_first() {
        None => done(&bench.run(stage.scenario, Verb::UndoAll, desk)?, 0)?,
        Some((program, words)) => {
            let mut command = Command::new(program);
            command.args(words).arg(desk.root.join(tree::STATE).join("rescue.sh")).arg(&desk.root);
            let output = command.arg("--no-rebuild").current_dir("/").output();
            let output = output.with_context(|| format!("cannot start {program}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{}: {}", output.status, said.trim());
        }
    }
    let now = tree::read(&desk.root, false)?;
    if way == "busybox" {
        return same(&in_seconds(&stage.ends.old), &in_seconds(&now));
    }
    ensure!(stage.ends.end(&now)?.old, "the tree is not as before");
    Ok(())
}

fn in_seconds(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    for node in tree.values_mut() {
        if let Node::File(file) = node {
            file.mtime.1 = 0;
        }
    }
    tree
}

//! Signals, and other programs at work on the same tree, at each change in turn.
//!
//! In a case `17/int` the program gets SIGINT before change 17; `17/int/20` a second one before
//! change 20. It ends by itself, with everything done or nothing: there is nothing to recover.
//! In `17/rival` another run wants the same meanwhile, and in `17/menu` a package manager puts a
//! menu of its own in place. The other run waits, gives up or does it; the menu is one of the two, and
//! theirs only if it came later or the operation did not end well.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::calls::Call;
use super::harness::{Dice, Scope, number};
use super::lab::{Bench, Desk, Stage, done};
use super::scenario::Verb;
use super::tracer::{Action, Exit};
use super::tree;

/// Names of signals in cases.
const SIGNALS: [(&str, Signal); 5] = [
    ("int", Signal::SIGINT),
    ("term", Signal::SIGTERM),
    ("hup", Signal::SIGHUP),
    ("quit", Signal::SIGQUIT),
    // Nobody reads what it prints, and that must not matter.
    ("pipe", Signal::SIGPIPE),
];
/// What who comes after the end of an apply, an undo or a redo prints.
const FOUND_DONE: [&str; 3] =
    ["Nothing to do.", "There is nothing to undo.", "There is nothing to redo."];
/// Where the menu is, and another one.
const MENU: &str = "boot/grub/grub.cfg";
const ANOTHER: &str = "menuentry 'Debian, later' --id 'later' {\n\tlinux /vmlinuz-6.1\n}\n";

/// Every signal at every change; a second one, another run and another menu at some.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let mut dice = Dice(scope.seed ^ (stage.calls.len() as u64) << 8);
    let mut cases = Vec::new();
    let last = stage.calls.len();
    for n in 1..=last {
        for (k, (signal, _)) in SIGNALS.into_iter().enumerate() {
            if scope.quick && (n + k) % SIGNALS.len() != 0 {
                continue;
            }
            cases.push(format!("{n}/{signal}"));
            if n < last && (!scope.quick || n % 4 == 0) {
                cases.push(format!("{n}/{signal}/{}", n + 1 + dice.below(last - n)));
            }
        }
        // An undo after this one would take back what was done before.
        let once = !matches!(stage.scenario.verb, Verb::Undo | Verb::UndoKeep);
        if once && (!scope.quick || n % 12 == 0) {
            cases.push(format!("{n}/rival"));
        }
        if stage.scenario.rebuilds() {
            cases.push(format!("{n}/menu"));
        }
    }
    cases
}

/// Runs one case.
pub fn run(lab: (&Bench, &Stage, &Desk), name: &str) -> Result<()> {
    let parts: Vec<_> = name.split('/').collect();
    let n = number(parts.first())?;
    lab.0.set(lab.1, lab.2)?;
    match *parts.get(1).unwrap_or(&"") {
        "rival" => rival(lab, n),
        "menu" => menu(lab, n),
        how => match SIGNALS.iter().find(|(name, _)| *name == how) {
            Some(&(_, signal)) => {
                let second = parts.get(2).map(|_| number(parts.get(2))).transpose()?;
                signalled(lab, signal, n, second.unwrap_or(n))
            }
            None => bail!("no such disturbance"),
        },
    }
}

fn signalled(
    (bench, stage, desk): (&Bench, &Stage, &Desk),
    signal: Signal,
    n: usize,
    second: usize,
) -> Result<()> {
    let mut watch = |at: usize, _: &Call| match at == n || at == second {
        true => Action::Signal(signal),
        false => Action::Go,
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    let code = match ran.exit {
        Exit::Code(code) => code,
        exit => bail!("{exit:?}: {}", ran.output.trim()),
    };
    let found = stage.ends.end(&tree::read(&desk.root, false)?)?;
    let told = || format!("exit {code}: {}", ran.output.trim());
    match code {
        _ if code == stage.code => ensure!(found.new, "done, and yet not: {}", told()),
        130 | 143 | 1 => ensure!(found.old, "ended, and yet done: {}", told()),
        _ => bail!("{}", told()),
    }
    ensure!(!ran.output.contains("panicked at"), "{}", told());
    nothing_to_recover((bench, stage, desk))
}

fn rival((bench, stage, desk): (&Bench, &Stage, &Desk), n: usize) -> Result<()> {
    let mut other = None;
    let mut watch = |at: usize, _: &Call| {
        if at == n {
            other = Some(bench.run_briefly(stage.scenario, stage.scenario.verb, &desk.root));
        }
        Action::Go
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    let Some(other) = other.transpose()? else { bail!("no change {n}: {}", ran.output.trim()) };
    let codes = (ran.exit, other.exit);
    let told = || format!("{codes:?}: {}; the other: {}", ran.output.trim(), other.output.trim());
    let is_lock = |call: &&String| call.starts_with("flock ");
    let first = stage.calls.iter().position(|call| is_lock(&call));
    let last = stage.calls.iter().rposition(|call| is_lock(&call));
    // Stopped between taking the lock and giving it back, it keeps everybody else out.
    let held = first.is_some_and(|at| n > at + 1) && last.is_some_and(|at| n <= at + 1);
    // Once the journal has its last line, whoever comes finds it done and needs no lock to say so.
    let is_line = |call: &String| call.starts_with("write ") && call.ends_with("/journal");
    let noted = stage.calls.iter().rposition(is_line).is_some_and(|at| n > at + 1);
    let found_it_done = noted && other.output.lines().any(|line| FOUND_DONE.contains(&line));
    let did_it = other.exit == Exit::Code(stage.code) && !found_it_done;
    ensure!(!held || !did_it, "two at once: {}", told());
    let found = stage.ends.end(&tree::read(&desk.root, false)?)?;
    let one_did = [ran.exit, other.exit].contains(&Exit::Code(stage.code));
    ensure!(found.new == one_did || found.old, "{}", told());
    ensure!(one_did, "neither did it: {}", told());
    nothing_to_recover((bench, stage, desk))
}

fn menu((bench, stage, desk): (&Bench, &Stage, &Desk), n: usize) -> Result<()> {
    let path = desk.root.join(MENU);
    let is_ours =
        |menu: &[u8]| stage.ends.new.get(Path::new(MENU)).is_some_and(|node| node.bytes() == menu);
    // What comes after ours is in place was made from the new settings, and counts.
    let (mut put, mut later) = (Ok(()), false);
    let mut watch = |at: usize, _: &Call| {
        if at == n {
            later = fs::read(&path).is_ok_and(|menu| is_ours(&menu));
            let beside = path.with_extension("cfg.new");
            put = fs::write(&beside, ANOTHER).and_then(|()| fs::rename(&beside, &path));
        }
        Action::Go
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    put?;
    let told = || format!("{:?}: {}", ran.exit, ran.output.trim());
    let now = tree::read(&desk.root, false)?;
    let but: Vec<&Path> = Path::new(MENU).ancestors().collect();
    stage.ends.end_but(&now, &but).map_err(|error| error.context(told()))?;
    let menu = fs::read(&path)?;
    let ours = is_ours(&menu);
    ensure!(ours || menu == ANOTHER.as_bytes(), "a third menu: {}", told());
    ensure!(ran.exit != Exit::Code(0) || ours || later, "done, without the menu: {}", told());
    nothing_to_recover((bench, stage, desk))
}

fn nothing_to_recover((bench, stage, desk): (&Bench, &Stage, &Desk)) -> Result<()> {
    let again = bench.run(stage.scenario, Verb::Recover, desk)?;
    done(&again, 0)?;
    ensure!(again.output.contains("Nothing to do."), "left behind: {}", again.output.trim());
    Ok(())
}

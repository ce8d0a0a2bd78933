//! C4: a change fails, at each change in turn, once or from then on.
//!
//! A case `17/ENOSPC/once` lets change 17 fail; `17/EIO/on` every change from 17 on;
//! `17/ENOSPC/same` every call of that name from 17 on, as a full disk does. `17/EINTR/once` is a signal
//! that nobody waits for, and nothing may come of it.

use anyhow::{Result, bail, ensure};
use nix::errno::Errno;

use super::calls::Call;
use super::harness::{Scope, number};
use super::kill;
use super::lab::{Bench, Desk, Stage, sane};
use super::tracer::{Action, Exit};
use super::tree;

/// What a change can fail with; a quick run and commands take the first three.
const ERRORS: [(&str, Errno); 10] = [
    ("ENOSPC", Errno::ENOSPC),
    ("EIO", Errno::EIO),
    ("EROFS", Errno::EROFS),
    ("EACCES", Errno::EACCES),
    ("EMFILE", Errno::EMFILE),
    ("EDQUOT", Errno::EDQUOT),
    ("ENOMEM", Errno::ENOMEM),
    ("EBUSY", Errno::EBUSY),
    ("ELOOP", Errno::ELOOP),
    ("ESTALE", Errno::ESTALE),
];

/// Calls that a signal can interrupt.
const INTERRUPTED: [&str; 6] = ["flock", "fsync", "ftruncate", "openat", "syncfs", "write"];
const EINTR: &str = "EINTR";

/// Every change with every error, for each length of time.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let mut cases = Vec::new();
    for n in 1..=stage.calls.len() {
        let most = if scope.quick { 3 } else { ERRORS.len() };
        for (k, (error, _)) in ERRORS[..most].iter().enumerate() {
            for (l, length) in ["once", "on", "same"].into_iter().enumerate() {
                if !scope.quick || (n + k + l) % 3 == 0 {
                    cases.push(format!("{n}/{error}/{length}"));
                }
            }
        }
        let name = stage.calls[n - 1].split(' ').next().unwrap_or_default();
        // Programs of the distribution are what they are.
        let ours = !stage.scenario.rebuilds() && INTERRUPTED.contains(&name);
        if ours && (!scope.quick || n % 3 == 0) {
            cases.push(format!("{n}/{EINTR}/once"));
        }
    }
    cases
}

/// Runs one case.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str) -> Result<()> {
    let parts: Vec<_> = name.split('/').collect();
    let n = number(parts.first())?;
    let errors = ERRORS.iter().chain(&[(EINTR, Errno::EINTR)]);
    let error = errors.copied().find(|(error, _)| parts.get(1) == Some(error));
    let Some((_, errno)) = error else { bail!("no such error") };
    let length = parts.get(2).copied().unwrap_or("once");
    bench.set(stage, desk)?;
    let mut hit = "";
    let mut watch = |at: usize, call: &Call| {
        if at == n {
            hit = call.name;
        }
        let fails = match length {
            "on" => at >= n,
            "same" => at >= n && call.name == hit,
            _ => at == n,
        };
        if fails { Action::Fail(errno) } else { Action::Go }
    };
    let ran = bench.trace(stage.scenario, stage.scenario.verb, desk, &mut watch)?;
    sane(&ran)?;
    let now = tree::read(&desk.root, false)?;
    stage.ends.whole(&now)?;
    let said = ran.output.trim();
    if errno == Errno::EINTR {
        ensure!(ran.exit == Exit::Code(stage.code), "{:?} after {hit} at {n}: {said}", ran.exit);
    }
    match ran.exit {
        Exit::Code(0) => {
            let found = stage.ends.end(&now)?;
            ensure!(found.new, "exit 0, but the tree is as before: {said}");
        }
        Exit::Code(3) => {}
        Exit::Code(4) if stage.code == 4 => drop(stage.ends.end(&now)?),
        Exit::Code(code) => {
            let found = stage.ends.end(&now).map_err(|error| {
                error.context(format!("exit {code} after {hit} at {n}: {said}"))
            })?;
            ensure!(found.old, "exit {code}, but the tree is changed: {said}");
        }
        exit => bail!("{exit:?}"),
    }
    let found = kill::recover((bench, stage, desk))
        .map_err(|error| error.context(format!("after {:?}: {said}", ran.exit)))?;
    ensure!(ran.exit != Exit::Code(0) || found.new, "exit 0, but recovery took it back: {said}");
    Ok(())
}

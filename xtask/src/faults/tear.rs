//! C2: everything dies in the middle of a write, at each write in turn.
//!
//! In a case `17/50` half of what change 17 writes is there. What must hold is what [`super::kill`] asks.

use anyhow::Result;

use super::harness::number;
use super::kill;
use super::lab::{Bench, Desk, Stage};
use super::tracer::Action;

/// How much of a write is there, in percent.
const PARTS: [u64; 3] = [0, 50, 99];

/// Every write, torn at each of the parts.
pub fn list(stage: &Stage) -> Vec<String> {
    let torn = |call: &String| call.starts_with("write ") || call.starts_with("pwrite64 ");
    let writes = stage.calls.iter().enumerate().filter(|(_, call)| torn(call));
    writes.flat_map(|(at, _)| PARTS.map(|part| format!("{}/{part}", at + 1))).collect()
}

/// Runs one case.
pub fn run(lab: (&Bench, &Stage, &Desk), name: &str) -> Result<()> {
    let parts: Vec<_> = name.split('/').collect();
    let (n, percent) = (number(parts.first())?, number(parts.get(1))?);
    kill::once(lab, n, Action::Tear(percent as u64))
}

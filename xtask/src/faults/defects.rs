//! The harnesses' teeth: defects that are planted in the engine, each of which must be noticed.
//!
//! The programs are built once more with the feature `defects`, in a directory of their own; what
//! is wrong with them is chosen by `DEPLOY_VFIO_DEFECT`. Each harness runs its quick cases until the
//! first failure; in a quick run the first harness that notices is enough.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::harness::{self, Kind, Scope, Verdict};
use super::lab::Bench;
use super::{blocks, programs, scenario};

/// What can be planted.
const DEFECTS: [&str; 6] =
    ["no-file-fsync", "no-dir-fsync", "rename", "in-place", "no-journal-fsync", NO_FLUSH];

/// Only a boot loader's own reader can notice this one.
const NO_FLUSH: &str = "no-flush";

/// Where they are looked for.
const SCENARIOS: [&str; 2] = ["mixed-apply", "mixed-undo"];
const BOOT: &str = "boot-apply";

/// Plants each defect and says who noticed.
pub fn report(bench: &Bench, scope: Scope, built: Option<&Path>) -> Result<Verdict> {
    let start = Instant::now();
    let built = built.map_or_else(programs::build_with_defects, |dir| Ok(dir.canonicalize()?))?;
    let mut verdict = Verdict::default();
    for defect in DEFECTS {
        let bench =
            Bench { programs: built.clone(), scratch: bench.scratch.clone(), defect: Some(defect) };
        let caught = caught(&bench, scope)?;
        println!(
            "faults: defect {defect}: {}",
            match caught.is_empty() {
                true => "NOT NOTICED".into(),
                false => format!("noticed by {}", caught.join(", ")),
            }
        );
        let name = format!("defects/{defect}");
        match caught.is_empty() {
            true => verdict.failed.push((name, anyhow::anyhow!("nobody noticed"))),
            false => verdict.passed += 1,
        }
    }
    println!(
        "faults: defects: {} passed, {} failed, {:.0} s",
        verdict.passed,
        verdict.failed.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(verdict)
}

/// The harnesses that fail with these programs, each with its first failure.
fn caught(bench: &Bench, scope: Scope) -> Result<Vec<String>> {
    let mut caught = Vec::new();
    if bench.defect == Some(NO_FLUSH) {
        let boot = scenario::ALL.iter().find(|scenario| scenario.name == BOOT);
        let stage = bench.stage(boot.context("the scenario is gone")?)?;
        let noticed = blocks::noticed(bench, &stage, Scope { quick: true, ..scope })?;
        return Ok(noticed
            .map(|(case, error)| format!("c7/{BOOT}/{case} ({error:#})"))
            .into_iter()
            .collect());
    }
    for name in SCENARIOS {
        let Some(scenario) = scenario::ALL.iter().find(|scenario| scenario.name == name) else {
            continue;
        };
        let stage = match bench.stage(scenario) {
            Ok(stage) => [stage],
            Err(error) => return Ok(vec![format!("everybody ({error:#})")]),
        };
        for kind in [Kind::C6, Kind::C10, Kind::C1] {
            let verdict = harness::all(kind, bench, &stage, Scope { quick: true, ..scope }, true)?;
            if let Some((case, error)) = verdict.failed.first() {
                let line = format!("{error:#}").replace('\n', " ");
                let line = line.chars().take(110).collect::<String>();
                caught.push(format!("{case} ({} cases before; {line})", verdict.passed));
                if scope.quick {
                    return Ok(caught);
                }
            }
        }
        if !caught.is_empty() {
            break;
        }
    }
    Ok(caught)
}

//! The harnesses' teeth: defects that are planted in the engine, each of which must be noticed.
//!
//! The programs are built once more with the feature `defects`, in a directory of their own; what
//! is wrong with them is chosen by `DEPLOY_VFIO_DEFECT`. Each harness runs its quick cases until the
//! first failure; a quick run asks only the one that is known to notice.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::blocks::{self, disk::FileSystem};
use super::harness::{self, Kind, Scope, Verdict};
use super::lab::Bench;
use super::programs;
use super::scenario::Scenario;

/// Who looks for a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// A harness, on one of its scenarios.
    Harness(Kind, &'static str),
    /// A boot loader's own reader, on a disk that lost power.
    Boot(FileSystem),
    /// The engine's own tests.
    Laws,
}

use Watch::{Boot, Harness, Laws};

const APPLY: &str = "mixed-apply";

/// What can be planted, and who is known to notice it; a full run asks the others too.
const DEFECTS: [(&str, Watch); 16] = [
    ("no-file-fsync", Harness(Kind::C6, APPLY)),
    ("no-dir-fsync", Harness(Kind::C6, APPLY)),
    ("no-sync-at-end", Harness(Kind::C6, APPLY)),
    ("no-journal-fsync", Harness(Kind::C6, APPLY)),
    ("metadata-after-fsync", Harness(Kind::C6, APPLY)),
    ("no-built-fsync", Boot(FileSystem::Ext4)),
    ("no-flush", Boot(FileSystem::Xfs)),
    ("early-free", Boot(FileSystem::Ext4)),
    ("rename", Harness(Kind::C10, APPLY)),
    ("in-place", Harness(Kind::C1, APPLY)),
    ("one-name", Harness(Kind::C1, APPLY)),
    ("new-lock", Harness(Kind::Disturb, APPLY)),
    ("no-retry", Harness(Kind::C4, APPLY)),
    ("no-crc", Laws),
    ("oldest-first", Laws),
    ("no-check", Laws),
];

/// Where the boot loader's reader looks.
const BOOT: &str = "boot-apply";

/// The defect of this name.
pub fn find(name: &str) -> Result<&'static str> {
    let found = DEFECTS.iter().find(|(defect, _)| *defect == name);
    found.map(|(defect, _)| *defect).with_context(|| format!("there is no defect `{name}`"))
}

/// Plants each defect and says who noticed.
pub fn report(bench: &Bench, scope: Scope, built: Option<&Path>) -> Result<Verdict> {
    let start = Instant::now();
    let built = built.map_or_else(programs::build_with_defects, |dir| Ok(dir.canonicalize()?))?;
    let mut verdict = Verdict::default();
    let none = Bench { programs: built.clone(), scratch: bench.scratch.clone(), defect: None };
    if let Some(failed) = laws(&none)? {
        bail!("{failed} fails without a defect");
    }
    for (defect, watch) in DEFECTS {
        let bench =
            Bench { programs: built.clone(), scratch: bench.scratch.clone(), defect: Some(defect) };
        let caught = caught(&bench, watch, scope)?;
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

/// Those that notice, each with its first failure; in a quick run only who is known to.
fn caught(bench: &Bench, known: Watch, scope: Scope) -> Result<Vec<String>> {
    let others = [Kind::C6, Kind::C10, Kind::C1].map(|kind| Harness(kind, APPLY));
    let others = others.into_iter().chain([Harness(Kind::C1, "mixed-undo"), Laws]);
    let more = others.filter(|watch| !scope.quick && *watch != known);
    let mut caught = Vec::new();
    for watch in std::iter::once(known).chain(more) {
        let noticed = match watch {
            Harness(kind, name) => harness(bench, kind, name, scope)?,
            Boot(fs) => boot(bench, fs, scope)?,
            Laws => laws(bench)?,
        };
        caught.extend(noticed);
    }
    Ok(caught)
}

fn harness(bench: &Bench, kind: Kind, name: &str, scope: Scope) -> Result<Option<String>> {
    let stage = match bench.stage(scenario(name)?) {
        Ok(stage) => [stage],
        Err(error) => return Ok(Some(format!("everybody ({error:#})"))),
    };
    let verdict = harness::all(kind, bench, &stage, Scope { quick: true, ..scope }, true)?;
    Ok(verdict.failed.first().map(|(case, error)| {
        let line = format!("{error:#}").replace('\n', " ");
        let line = line.chars().take(110).collect::<String>();
        format!("{case} ({} cases before; {line})", verdict.passed)
    }))
}

fn boot(bench: &Bench, fs: FileSystem, scope: Scope) -> Result<Option<String>> {
    let stage = bench.stage(scenario(BOOT)?)?;
    let noticed = blocks::noticed(bench, &stage, fs, Scope { quick: true, ..scope })?;
    Ok(noticed.map(|(case, error)| format!("c7/{BOOT}/{case} ({error:#})")))
}

/// The engine's tests with the defect: one of them must fail.
fn laws(bench: &Bench) -> Result<Option<String>> {
    let output = programs::engine_tests(bench.defect.unwrap_or_default())?;
    let failed = output.lines().find_map(|line| line.strip_suffix(" ... FAILED"));
    Ok(failed.map(|test| format!("the engine's {test}")))
}

fn scenario(name: &str) -> Result<&'static Scenario> {
    Scenario::all().find(|scenario| scenario.name == name).context("the scenario is gone")
}

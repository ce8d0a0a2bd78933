//! What all harnesses have in common: jobs made of cases, run by a few threads, counted.
//!
//! A case has a name that says all about it, such as `c1/mixed-apply/17`; `--replay` takes it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Error, Result, bail};

use super::lab::{Bench, Desk, Stage};
use super::{
    blocks, crowd, disturb, edit, errno, kill, links, power, rescue, special, tear, tools,
};

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Killed at every change, and again during the recovery.
    C1,
    /// A write is torn: some of it is there when everything dies.
    C2,
    /// Every change fails, once or from then on.
    C4,
    /// Power cuts that lose what was not synced.
    C6,
    /// Power cuts of a real file system, write by write, and what GRUB reads then.
    C7,
    /// A user edits files in the middle of it.
    C10,
    /// Several runs at once, some of them killed.
    C12,
    /// Taken back from outside: by the program and by the script in three shells.
    C16,
    /// Special files, on five kinds of file systems.
    C17,
    /// Generators that do what no generator should.
    C18,
    /// Signals, another run and a package manager in the middle of it.
    Disturb,
    /// A directory becomes a link that leads out of the tree.
    Links,
    /// Defects that the others must notice.
    Defects,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::C1,
        Self::C2,
        Self::C4,
        Self::C6,
        Self::C7,
        Self::C10,
        Self::C12,
        Self::C16,
        Self::C17,
        Self::C18,
        Self::Disturb,
        Self::Links,
        Self::Defects,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::C1 => "c1",
            Self::C2 => "c2",
            Self::C4 => "c4",
            Self::C6 => "c6",
            Self::C7 => "c7",
            Self::C10 => "c10",
            Self::C12 => "c12",
            Self::C16 => "c16",
            Self::C17 => "c17",
            Self::C18 => "c18",
            Self::Disturb => "disturb",
            Self::Links => "links",
            Self::Defects => "defects",
        }
    }
}

/// How thorough, and where chance begins.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub quick: bool,
    pub seed: u64,
    pub threads: usize,
}

/// Every case of `kind` on one stage; the part of its name after the stage's.
pub fn list(kind: Kind, stage: &Stage, scope: Scope) -> Vec<String> {
    // What a command has the engine do is tried in full on the small trees.
    let command = stage.scenario.is_command();
    let scope = Scope { quick: scope.quick || command, ..scope };
    match kind {
        Kind::C6 | Kind::C12 | Kind::C17 | Kind::C18 if command => Vec::new(),
        Kind::C1 => kill::list(stage, scope),
        Kind::C2 => tear::list(stage),
        Kind::C4 => errno::list(stage, scope),
        Kind::C6 => power::list(stage, scope),
        Kind::C10 => edit::list(stage, scope),
        Kind::C12 => crowd::list(stage, scope),
        Kind::C16 => rescue::list(stage),
        Kind::C17 => special::list(stage, scope),
        Kind::C18 => tools::list(stage),
        Kind::Disturb => disturb::list(stage, scope),
        Kind::Links => links::list(stage, scope),
        Kind::C7 | Kind::Defects => Vec::new(),
    }
}

/// What the cases of one job came to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub passed: usize,
    /// Name after the stage's, and what was wrong.
    pub failed: Vec<(String, Error)>,
}

impl Verdict {
    pub fn add(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.failed.push((name.to_owned(), error)),
        }
    }
}

/// Runs one job.
pub fn run(kind: Kind, lab: (&Bench, &Stage, &Desk), name: &str, seed: u64) -> Verdict {
    let mut verdict = Verdict::default();
    match kind {
        Kind::C1 => kill::run(lab, name, &mut verdict),
        Kind::C2 => verdict.add(name, tear::run(lab, name)),
        Kind::C4 => verdict.add(name, errno::run(lab, name)),
        Kind::C6 => verdict.add(name, power::run(lab, name, seed)),
        Kind::C7 => verdict.add(name, blocks::run(lab, name, seed)),
        Kind::C10 => edit::run(lab, name, &mut verdict),
        Kind::C12 => verdict.add(name, crowd::run(lab, name, seed)),
        Kind::C16 => verdict.add(name, rescue::run(lab, name)),
        Kind::C17 => verdict.add(name, special::run_case(lab, name)),
        Kind::C18 => verdict.add(name, tools::run(lab, name)),
        Kind::Disturb => verdict.add(name, disturb::run(lab, name)),
        Kind::Links => verdict.add(name, links::run(lab, name)),
        Kind::Defects => {}
    }
    verdict
}

/// All jobs of one harness on all stages; with `first`, only until something fails.
pub fn all(
    kind: Kind,
    bench: &Bench,
    stages: &[Stage],
    scope: Scope,
    first: bool,
) -> Result<Verdict> {
    let mut jobs = Vec::new();
    for stage in stages {
        let names = list(kind, stage, scope);
        jobs.extend(names.into_iter().map(|name| (stage, name)));
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let total = Mutex::new(Verdict::default());
    let work = |desk: &Desk| {
        while let Some((stage, name)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = run(kind, (bench, stage, desk), name, scope.seed);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            stop.fetch_or(first && !verdict.failed.is_empty(), Ordering::Relaxed);
            if let Ok(mut total) = total.lock() {
                total.passed += verdict.passed;
                let full = |name: String| format!("{}/{}/{name}", kind.name(), stage.scenario.name);
                total.failed.extend(verdict.failed.into_iter().map(|(n, e)| (full(n), e)));
            }
        }
    };
    let desk = |n: usize| Desk::new(bench, &format!("desk-{n}"));
    let desks: Vec<_> = (0..scope.threads).map(desk).collect::<Result<_>>()?;
    thread::scope(|threads| {
        for desk in &desks {
            threads.spawn(|| work(desk));
        }
    });
    total.into_inner().map_err(|_| anyhow::anyhow!("a thread panicked"))
}

/// Runs one harness and says what came of it.
pub fn report(kind: Kind, bench: &Bench, stages: &[Stage], scope: Scope) -> Result<Verdict> {
    /// More of the same tells nobody anything.
    const SHOWN: usize = 12;
    let start = Instant::now();
    let mut verdict = all(kind, bench, stages, scope, false)?;
    verdict.failed.sort_by(|(one, _), (two, _)| one.cmp(two));
    for (name, error) in verdict.failed.iter().take(SHOWN) {
        println!("faults: {name}: FAILED: {error:#}");
        println!("faults:   cargo xtask faults --seed {} --replay {name}", scope.seed);
    }
    if verdict.failed.len() > SHOWN {
        let mut kinds = BTreeMap::new();
        for (name, _) in &verdict.failed {
            let stage = name.split('/').take(2).collect::<Vec<_>>().join("/");
            *kinds.entry(stage).or_insert(0) += 1;
        }
        println!("faults: failures by scenario: {kinds:?}");
    }
    println!(
        "faults: {}: {} passed, {} failed, {:.0} s",
        kind.name(),
        verdict.passed,
        verdict.failed.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(verdict)
}

/// A part of a case's name that is a number.
pub fn number(part: Option<&&str>) -> Result<usize> {
    match part.and_then(|part| part.parse().ok()) {
        Some(number) => Ok(number),
        None => bail!("a number is missing in the case's name"),
    }
}

/// A generator of numbers that look random and are the same every time.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// `SplitMix64`.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.roll() % limit).unwrap_or(0)
    }
}

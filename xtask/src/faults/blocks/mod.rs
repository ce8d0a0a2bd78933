//! C7: the power is cut between any two writes of a real file system to its disk.
//!
//! The operation runs once on a disk that keeps every write. Then the disk is made anew as it was
//! after each write, and with some writes lost that no flush had confirmed. On each, a boot loader
//! must find the menu and the initial RAM file system old or new, by its own reader (`grub-fstest`),
//! which knows no journal; and the kernel, after the recovery, the whole tree old or new. Once the
//! operation had ended with success, both find it new.
//!
//! A case `xfs/17` is the disk after 17 writes, `xfs/17/2` the same with the third choice of lost ones.
//! It needs root, loop devices and the file systems; a case runs on a recording of its own.

pub mod disk;
pub mod writes;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context, Error, Result, bail, ensure};

use super::harness::{Dice, Scope, Verdict, number};
use super::lab::{Bench, Desk, Stage, done};
use super::scenario::Verb;
use super::tree;
use disk::{FileSystem, Mounted, Recorder};
use writes::Writes;

/// What a boot loader reads, and who makes it.
const READ: [&str; 2] = ["boot/grub/grub.cfg", "boot/initrd.img-6.1.0-1-amd64"];

/// How the disk of a case came to be.
#[derive(Clone, Copy, Debug)]
struct Case {
    fs: FileSystem,
    /// So many writes of the operation reached the disk.
    writes: usize,
    /// Which choice of lost ones, if any.
    lost: Option<usize>,
    /// Whether the kernel looks at it too, and recovers.
    mounted: bool,
}

impl Case {
    fn name(&self) -> String {
        let lost = self.lost.map_or_else(String::new, |lost| format!("/{lost}"));
        format!("{}/{}{lost}", self.fs.name(), self.writes)
    }
}

/// An operation as the disk saw it.
struct Recording {
    fs: FileSystem,
    /// The disk before the operation.
    before: PathBuf,
    writes: Writes,
    /// After so many writes the program had said that it is done.
    acknowledged: usize,
}

/// Runs every case of every file system and says what came of it.
pub fn report(bench: &Bench, stages: &[Stage], scope: Scope) -> Result<Verdict> {
    let mut total = Verdict::default();
    for stage in stages.iter().filter(|stage| stage.scenario.rebuilds()) {
        for fs in FileSystem::ALL {
            let start = Instant::now();
            let recording = record(bench, stage, fs)?;
            let cases = cases(&recording, scope);
            let verdict = run_all(bench, stage, &recording, &cases, scope)?;
            let (name, writes) = (stage.scenario.name, recording.writes.len());
            println!(
                "faults: c7: {name} on {}: {writes} writes, {} passed, {} failed, {:.0} s",
                fs.name(),
                verdict.passed,
                verdict.failed.len(),
                start.elapsed().as_secs_f64()
            );
            for (case, error) in verdict.failed.iter().take(6) {
                println!("faults: c7/{name}/{case}: FAILED: {error:#}");
            }
            total.passed += verdict.passed;
            total.failed.extend(verdict.failed);
        }
    }
    Ok(total)
}

/// The first case that fails on this file system.
pub fn noticed(
    bench: &Bench,
    stage: &Stage,
    fs: FileSystem,
    scope: Scope,
) -> Result<Option<(String, Error)>> {
    let recording = record(bench, stage, fs)?;
    let mut cases = cases(&recording, scope);
    cases.iter_mut().for_each(|case| case.mounted = false);
    Ok(run_all(bench, stage, &recording, &cases, scope)?.failed.into_iter().next())
}

/// Runs one case, as a failure named it.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str, seed: u64) -> Result<()> {
    let parts: Vec<_> = name.split('/').collect();
    let named = |fs: &FileSystem| parts.first() == Some(&fs.name());
    let Some(fs) = FileSystem::ALL.into_iter().find(named) else { bail!("no such file system") };
    let lost = parts.get(2).map(|_| number(parts.get(2))).transpose()?;
    let case = Case { fs, writes: number(parts.get(1))?, lost, mounted: true };
    let recording = record(bench, stage, fs)?;
    ensure!(case.writes <= recording.writes.len(), "there are {} writes", recording.writes.len());
    one((bench, stage, &recording), &case, &desk.root.with_file_name("disk"), seed)
}

fn record(bench: &Bench, stage: &Stage, fs: FileSystem) -> Result<Recording> {
    let dir = bench.scratch.join(format!("disk-{}-{}", stage.scenario.name, fs.name()));
    let what = || format!("{} on {}", stage.scenario.name, fs.name());
    let recorder = Recorder::start(&dir, fs).with_context(what)?;
    recorder.on_mounted(|root| tree::copy(&stage.template, root))?;
    let before = recorder.copy()?;
    let first = recorder.writes()?.len();
    let mut acknowledged = 0;
    recorder.on_mounted(|root| {
        done(&bench.run_in(stage.scenario, stage.scenario.verb, root)?, stage.code)?;
        acknowledged = recorder.writes()?.len() - first;
        Ok(())
    })?;
    let writes = recorder.stop()?.since(first);
    Ok(Recording { fs, before, writes, acknowledged })
}

/// Every disk there could have been; `quick` has the kernel look at fewer of them.
fn cases(recording: &Recording, scope: Scope) -> Vec<Case> {
    let mut cases = Vec::new();
    let choices = if scope.quick { 1 } else { 6 };
    for writes in 0..=recording.writes.len() {
        let mounted = !scope.quick || writes % 4 == 0;
        let case = Case { fs: recording.fs, writes, lost: None, mounted };
        cases.push(case);
        let unconfirmed = recording.writes.unconfirmed(writes).count();
        for lost in 0..if unconfirmed > 1 { choices } else { 0 } {
            cases.push(Case { lost: Some(lost), ..case });
        }
    }
    cases
}

fn run_all(
    bench: &Bench,
    stage: &Stage,
    recording: &Recording,
    cases: &[Case],
    scope: Scope,
) -> Result<Verdict> {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Verdict::default()));
    let work = |number: usize| {
        let place = bench.scratch.join(format!("disk-{number}"));
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = one((bench, stage, recording), case, &place, scope.seed);
            if let Ok(mut total) = total.lock() {
                total.add(&case.name(), result);
            }
        }
    };
    thread::scope(|threads| {
        for number in 0..scope.threads {
            threads.spawn(move || work(number));
        }
    });
    total.into_inner().map_err(|_| anyhow::anyhow!("a thread panicked"))
}

fn one(
    (bench, stage, recording): (&Bench, &Stage, &Recording),
    case: &Case,
    place: &Path,
    seed: u64,
) -> Result<()> {
    fs::create_dir_all(place)?;
    // Never the same file twice: a mount may outlive its end in somebody's namespace.
    let image = place.join(case.name().replace('/', "-"));
    disk::copy(&recording.before, &image)?;
    let _gone = disk::Gone(&image);
    let mut lost = Vec::new();
    if let Some(choice) = case.lost {
        let mut dice = Dice(seed ^ ((case.writes as u64) << 32) ^ choice as u64);
        lost.extend(recording.writes.unconfirmed(case.writes).filter(|_| dice.below(2) == 0));
    }
    recording.writes.replay(case.writes, &lost, &image)?;
    let confirmed = lost.is_empty() && case.writes >= recording.acknowledged;
    for path in READ {
        loader_reads(stage, &image, path, confirmed)?;
    }
    if case.mounted {
        recovers((bench, stage), &image, place, confirmed)?;
    }
    Ok(())
}

/// A file as GRUB reads it; nothing where it finds none.
pub fn read(image: &Path, path: &str) -> Result<Vec<u8>> {
    let mut reader = Command::new("grub-fstest");
    reader.arg(image).arg("cat").arg(format!("(loop0)/{path}"));
    Ok(reader.output().context("apt-get install grub-common")?.stdout)
}

/// What GRUB makes of a file on this disk.
fn loader_reads(stage: &Stage, image: &Path, path: &str, confirmed: bool) -> Result<()> {
    let read = read(image, &format!("root/{path}"))?;
    let bytes = |tree: &tree::Tree| tree.get(Path::new(path)).map(|node| node.bytes().to_vec());
    let is = |tree| bytes(tree).is_some_and(|bytes| bytes == read);
    let (old, new) = (is(&stage.ends.old), is(&stage.ends.new));
    let seen = String::from_utf8_lossy(&read);
    let seen: String = seen.chars().take(60).collect();
    ensure!(old || new, "GRUB reads neither the old nor the new /{path}: {seen:?}");
    ensure!(new || !confirmed, "done, and GRUB still reads the old /{path}");
    Ok(())
}

/// One mount at a time: the disks of all cases have the same UUID.
static MOUNTED: Mutex<()> = Mutex::new(());

/// The kernel replays its journal; the tree is whole, and one of the two after the recovery.
fn recovers(
    (bench, stage): (&Bench, &Stage),
    image: &Path,
    place: &Path,
    confirmed: bool,
) -> Result<()> {
    let _alone = MOUNTED.lock();
    let mounted = Mounted::new(image, &place.join("mnt"))?;
    let root = mounted.root();
    stage.ends.whole(&tree::read(&root, false)?)?;
    done(&bench.run_in(stage.scenario, Verb::Recover, &root)?, 0)?;
    let found = stage.ends.end(&tree::read(&root, false)?)?;
    ensure!(found.new || !confirmed, "it was acknowledged, and is lost");
    mounted.end()
}

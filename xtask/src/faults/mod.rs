//! Fault harnesses: the release programs are killed, denied, unplugged and interfered with at
//! every step, and must keep their promises: all or nothing, no edit lost, nothing left over.
//!
//! A *scenario* is a tree and an operation on it; a *stage* is a scenario made ready. A harness
//! makes *cases* of a stage: one fault at one place. A *tracer* stops the programs at every change of
//! their tree, and a *judge* says whether a tree is the one before or the one after.
//!
//! `--quick` takes four scenarios and fewer cases of each, and is meant for every push.

pub(crate) mod blocks;
mod calls;
mod commands;
mod crowd;
mod defects;
mod disturb;
mod edit;
mod errno;
pub(crate) mod harness;
mod judge;
mod kill;
mod lab;
mod links;
mod model;
mod power;
mod programs;
mod record;
mod rescue;
mod scenario;
mod special;
mod tear;
mod tools;
mod tracer;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, process};

use anyhow::{Context, Result, bail};

use harness::{Kind, Scope};
use lab::{Bench, Desk, Stage};
use scenario::Scenario;

/// What to try.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Fewer scenarios, and fewer cases of each: some four minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// One harness only.
    #[arg(long)]
    only: Option<Kind>,
    /// One scenario only.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Run one case, as a failure named it, and keep its tree.
    #[arg(long, value_name = "CASE", conflicts_with_all = ["quick", "only", "scenario"])]
    replay: Option<String>,
    /// Print the changes that each scenario makes.
    #[arg(long)]
    list: bool,
    /// Where chance begins.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Cases to run at the same time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
    /// Plant this defect, in programs that were built with `--features vfio-core/defects`.
    #[arg(long, value_name = "NAME", requires = "programs")]
    defect: Option<String>,
    /// Use the programs in DIR instead of building them.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The same for the programs with defects.
    #[arg(long, value_name = "DIR")]
    defective: Option<PathBuf>,
}

/// Runs `cargo xtask faults`; the last line printed is `N passed, N failed`.
pub fn main(options: &Options) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("run as root: the trees have files of several owners");
    }
    let programs = match &options.programs {
        Some(programs) => programs.canonicalize()?,
        None => programs::build()?,
    };
    let scratch = scratch()?;
    let defect = options.defect.as_deref().map(defects::find).transpose()?;
    let bench = Bench { programs, scratch: scratch.clone(), defect };
    let result = match &options.replay {
        Some(case) => return replay(&bench, options, case),
        None => run(&bench, options),
    };
    tree::remove(&scratch)?;
    result
}

fn run(bench: &Bench, options: &Options) -> Result<ExitCode> {
    let stages = stages(bench, options)?;
    if options.list {
        list(&stages);
        return Ok(ExitCode::SUCCESS);
    }
    let threads = options.jobs.max(1);
    let scope = Scope { quick: options.quick, seed: options.seed, threads };
    println!("faults: seed {}, trees in {}", scope.seed, bench.scratch.display());
    let (mut passed, mut failed) = (0, 0);
    for kind in Kind::ALL.into_iter().filter(|kind| options.only.is_none_or(|only| only == *kind)) {
        let verdict = match kind {
            Kind::C7 => blocks::report(bench, &stages, scope)?,
            Kind::Defects => defects::report(bench, scope, options.defective.as_deref())?,
            kind => harness::report(kind, bench, &stages, scope)?,
        };
        passed += verdict.passed;
        failed += verdict.failed.len();
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stages(bench: &Bench, options: &Options) -> Result<Vec<Stage>> {
    let wanted = |scenario: &&'static Scenario| match &options.scenario {
        Some(name) => scenario.name == name,
        None => scenario.quick || !options.quick,
    };
    let stages: Vec<_> =
        Scenario::all().filter(wanted).map(|s| bench.stage(s)).collect::<Result<_>>()?;
    if stages.is_empty() {
        let names: Vec<_> = Scenario::all().map(|scenario| scenario.name).collect();
        bail!("no such scenario; there are {}", names.join(", "));
    }
    Ok(stages)
}

fn list(stages: &[Stage]) {
    for stage in stages {
        println!("{}:", stage.scenario.name);
        for (at, call) in stage.calls.iter().enumerate() {
            println!("{:5} {call}", at + 1);
        }
    }
}

/// Runs one case again and leaves its tree.
fn replay(bench: &Bench, options: &Options, case: &str) -> Result<ExitCode> {
    let mut parts = case.splitn(3, '/');
    let (kind, name, rest) = (parts.next(), parts.next(), parts.next());
    let kind = Kind::ALL.into_iter().find(|one| Some(one.name()) == kind);
    let scenario = Scenario::all().find(|one| Some(one.name) == name);
    let (Some(kind), Some(scenario), Some(rest)) = (kind, scenario, rest) else {
        bail!("a case is HARNESS/SCENARIO/CASE, as a failure prints it");
    };
    let stage = bench.stage(scenario)?;
    let desk = Desk::new(bench, "replay")?;
    let verdict = harness::run(kind, (bench, &stage, &desk), rest, options.seed);
    for (name, error) in &verdict.failed {
        println!("faults: {name}: FAILED: {error:?}");
    }
    println!("faults: the tree is {}", desk.root.display());
    println!("{} passed, {} failed", verdict.passed, verdict.failed.len());
    Ok(if verdict.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A place for trees: in memory where that can hold them, else below target/.
///
/// In memory a case takes a third of the time, since syncing costs nothing; what syncing is worth
/// is judged by the model and not by the disk.
fn scratch() -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let name = format!("deploy-vfio-faults-{}", process::id());
    let place = if holds_trees(memory) { memory.to_path_buf() } else { programs::target() };
    let scratch = place.join(name);
    fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    Ok(scratch.canonicalize()?)
}

/// Whether files here can have attributes of a user's, and programs run from here.
fn holds_trees(place: &Path) -> bool {
    let probe = place.join(format!(".deploy-vfio-probe-{}", process::id()));
    let works = fs::copy("/bin/true", &probe).is_ok()
        && xattr::set(&probe, "user.probe", b"1").is_ok()
        && process::Command::new(&probe).status().is_ok_and(|status| status.success());
    let _ = fs::remove_file(&probe);
    works
}

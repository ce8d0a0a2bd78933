//! Runs the programs of `fuzz/`: libFuzzer, built by the stable compiler with the coverage that
//! cargo-fuzz asks for, and without a sanitizer, as there is next to no unsafe code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// What libFuzzer needs to see where an input leads.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing";
/// In seconds, MiB and bytes: what one input may take, and how long it may be.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192"];

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Targets; all when none is named.
    targets: Vec<String>,
    /// Seconds for all of them together.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 7)]
    seed: u32,
}

/// Runs `cargo xtask fuzz`; the last line printed is `N passed, N failed`.
pub fn main(options: &Options) -> Result<ExitCode> {
    let home = crate::vm::host::workspace().join("fuzz");
    let all = targets(&home)?;
    let chosen = match options.targets.is_empty() {
        true => all,
        false => options.targets.clone(),
    };
    let programs = build(&home)?;
    let each = (options.seconds * 2 / chosen.len().max(1) as u64).max(1);
    let (mut passed, mut failed, mut sum) = (0, 0, 0);
    // Two at a time, as many as the smallest machine has processors.
    for pair in chosen.chunks(2) {
        let mut runs = Vec::new();
        for target in pair {
            let run = Run::start(&home, &programs, target, each, options.seed)?;
            runs.push((target, run));
        }
        for (target, run) in runs {
            match run.end(&home, target)? {
                Some(executions) => {
                    passed += 1;
                    sum += executions;
                    println!("fuzz: {target}: {executions} executions");
                }
                None => failed += 1,
            }
        }
    }
    println!("fuzz: {sum} executions, seed {}", options.seed);
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn targets(home: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(home.join("fuzz_targets"))? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

/// Builds them; where they are.
fn build(home: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--bins", "--target", TRIPLE]).current_dir(home);
    cargo.env("RUSTFLAGS", COVERAGE).env("CARGO_INCREMENTAL", "0");
    // Its own, so that nothing else is built anew.
    cargo.env("CARGO_TARGET_DIR", home.join("target"));
    ensure!(cargo.status().context("cannot start cargo")?.success(), "the targets do not build");
    Ok(home.join("target").join(TRIPLE).join("release"))
}

/// One target at work.
struct Run {
    child: std::process::Child,
    log: PathBuf,
}

impl Run {
    fn start(home: &Path, programs: &Path, target: &str, seconds: u64, seed: u32) -> Result<Self> {
        let (seeds, work) = (home.join("corpus").join(target), home.join("work").join(target));
        let artifacts = home.join("artifacts").join(target);
        if !seeds.is_dir() {
            bail!("there is no target `{target}`, or it has no seeds in {}", seeds.display());
        }
        for dir in [&work, &artifacts] {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        let log = home.join("work").join(format!("{target}.log"));
        let file = fs::File::create(&log)?;
        let mut command = Command::new(programs.join(target));
        // What is new goes to the first directory.
        command.arg(&work).arg(&seeds).args(LIMITS).args([
            format!("-max_total_time={seconds}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
            "-verbosity=0".to_owned(),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {target}"))?;
        Ok(Self { child, log })
    }

    /// How many inputs it took; `None` where one broke it, which is told.
    fn end(mut self, home: &Path, target: &str) -> Result<Option<u64>> {
        let status = self.child.wait()?;
        let text = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        let count =
            text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        if status.success()
            && let Some(count) = count
        {
            return Ok(Some(count.trim().parse()?));
        }
        let told: Vec<&str> = text.lines().filter(|line| !line.starts_with("stat::")).collect();
        for line in &told[..told.len().min(30)] {
            println!("fuzz: {target}: {line}");
        }
        println!(
            "fuzz: {target}: FAILED; the input is in {}",
            home.join("artifacts").join(target).display()
        );
        Ok(None)
    }
}

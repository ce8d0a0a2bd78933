//! What `deploy-vfio groups` costs: against `lspci -nnk` on the same tree, in system calls, and how
//! the cost grows with the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vfio_testkit::{Description, synthetic};

/// How often each program is run for a time.
const RUNS: usize = 41;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Described machines besides the invented ones of 49 and 483 devices.
    machines: Vec<PathBuf>,
}

/// Runs `cargo xtask bench`; needs lspci, strace and valgrind.
pub fn main(options: &Options) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--bins"]).status()?;
    ensure!(built.success(), "the release build failed");
    let programs = Path::new("target/release").canonicalize()?;
    let groups = programs.join("deploy-vfio-groups");
    let mut machines =
        vec![("49 devices".to_owned(), synthetic(49)), ("483 devices".to_owned(), synthetic(483))];
    for path in &options.machines {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        machines.push((name, Description::read(path)?));
    }
    println!(
        "{:<28} {:>8} {:>14} {:>15} {:>10} {:>10} {:>7}",
        "machine", "devices", "calls/device", "instr./device", "groups ms", "lspci ms", "ratio"
    );
    for (name, machine) in &machines {
        let dir = std::env::temp_dir().join(format!("deploy-vfio-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        machine.lay_out(&dir)?;
        let line = measure(&groups, &dir, machine.devices.len());
        fs::remove_dir_all(&dir)?;
        println!("{name:<28} {}", line?);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(groups: &Path, root: &Path, devices: usize) -> Result<String> {
    let ours = || {
        let mut command = Command::new(groups);
        command.arg("--root").arg(root);
        command
    };
    let theirs = || {
        let mut command = Command::new("lspci");
        let bus = format!("sysfs.path={}", root.join("sys/bus/pci").display());
        command.args(["-A", "linux-sysfs", "-O", &bus, "-nnk"]);
        command
    };
    // In turn, so that both see the same machine when others are busy on it.
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        a.push(time(ours())?);
        b.push(time(theirs())?);
    }
    let (a, b) = (median(a), median(b));
    let calls = calls(groups, root)? / devices as f64;
    let instructions = instructions(groups, root)? / devices as f64;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(format!(
        "{devices:>8} {calls:>14.1} {instructions:>15.0} {:>10.2} {:>10.2} {:>7.1}",
        ms(a),
        ms(b),
        ms(b) / ms(a)
    ))
}

fn time(mut command: Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let ended = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(ended.success(), "{command:?} ended with {ended}");
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// All system calls of one run, start and end of the process included.
fn calls(groups: &Path, root: &Path) -> Result<f64> {
    let mut strace = Command::new("strace");
    let output = strace.args(["-f", "-c"]).arg(groups).arg("--root").arg(root).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"));
    let count = total.and_then(|line| line.split_whitespace().nth(3)).and_then(|n| n.parse().ok());
    count.with_context(|| format!("strace did not count:\n{text}"))
}

/// Instructions in user space; valgrind has no openat2, so paths are walked the slower way.
fn instructions(groups: &Path, root: &Path) -> Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(groups);
    let output = valgrind.arg("--root").arg(root).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let count =
        text.lines().find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    count.with_context(|| format!("valgrind did not count:\n{text}"))
}

//! What `deploy-vfio groups` costs: against `lspci -nnk` on the same tree, in system calls, and how
//! the cost grows with the machine; as its own program and as the user types it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vfio_testkit::{Description, synthetic};

/// How often each program is run for a time.
const RUNS: usize = 41;
/// How many times faster than lspci both ways of calling it are to be, on described machines. The
/// invented ones have a card, a disk and a network card in turn, of which lspci reads less.
const FASTER: f64 = 5.0;

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
    let mut machines =
        vec![("49 devices".to_owned(), synthetic(49)), ("483 devices".to_owned(), synthetic(483))];
    for path in &options.machines {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        machines.push((name, Description::read(path)?));
    }
    println!(
        "{:<20} {:>7} {:>12} {:>13} {:>8} {:>9} {:>14} {:>6} {:>14}",
        "machine",
        "devices",
        "calls/device",
        "instr./device",
        "lspci ms",
        "groups ms",
        "dispatched ms",
        "ratio",
        "dispatched"
    );
    let mut slow = Vec::new();
    for (name, machine) in &machines {
        let dir = std::env::temp_dir().join(format!("deploy-vfio-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        machine.lay_out(&dir)?;
        let devices = machine.devices.len();
        let cost = measure(&programs, &dir, devices);
        fs::remove_dir_all(&dir)?;
        let cost = cost?;
        println!("{name:<20} {devices:>7} {}", cost.line());
        let forms = [("deploy-vfio-groups", cost.groups), ("deploy-vfio groups", cost.dispatched)];
        let counts = !machine.name.starts_with("synthetic-");
        let below = forms.into_iter().filter(|(_, time)| counts && cost.ratio(*time) < FASTER);
        slow.extend(below.map(|(form, time)| format!("{form}, {name}: {:.1}", cost.ratio(time))));
    }
    if options.machines.is_empty() {
        println!("at least {FASTER} times faster than lspci: name a described machine to know");
    } else if slow.is_empty() {
        println!("at least {FASTER} times faster than lspci: yes");
    } else {
        println!("at least {FASTER} times faster than lspci: NO\n  {}", slow.join("\n  "));
    }
    Ok(ExitCode::SUCCESS)
}

/// What one machine costs.
struct Cost {
    calls: f64,
    instructions: f64,
    lspci: Duration,
    groups: Duration,
    dispatched: Duration,
}

impl Cost {
    fn ratio(&self, ours: Duration) -> f64 {
        self.lspci.as_secs_f64() / ours.as_secs_f64()
    }

    fn line(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        format!(
            "{:>12.1} {:>13.0} {:>8.2} {:>9.2} {:>14.2} {:>6.1} {:>14.1}",
            self.calls,
            self.instructions,
            ms(self.lspci),
            ms(self.groups),
            ms(self.dispatched),
            self.ratio(self.groups),
            self.ratio(self.dispatched)
        )
    }
}

fn measure(programs: &Path, root: &Path, devices: usize) -> Result<Cost> {
    let groups = &programs.join("deploy-vfio-groups");
    let ours = || {
        let mut command = Command::new(groups);
        command.arg("--root").arg(root);
        command
    };
    let typed = || {
        let mut command = Command::new(programs.join("deploy-vfio"));
        command.arg("groups").arg("--root").arg(root);
        command
    };
    let theirs = || {
        let mut command = Command::new("lspci");
        let bus = format!("sysfs.path={}", root.join("sys/bus/pci").display());
        command.args(["-A", "linux-sysfs", "-O", &bus, "-nnk"]);
        command
    };
    let [lspci, alone, dispatched] = medians([&theirs, &ours, &typed])?;
    Ok(Cost {
        calls: calls(groups, root)? / devices as f64,
        instructions: instructions(groups, root)? / devices as f64,
        lspci,
        groups: alone,
        dispatched,
    })
}

/// In turn, so that all see the same machine when others are busy on it; there and back, so that
/// none always finds the caches as the same other one left them.
fn medians<const N: usize>(commands: [&dyn Fn() -> Command; N]) -> Result<[Duration; N]> {
    let mut times = [const { Vec::new() }; N];
    let turns: Vec<usize> = (0..N).chain((0..N).rev()).collect();
    for turn in turns.into_iter().cycle().take(RUNS * N) {
        times[turn].push(time(commands[turn]())?);
    }
    Ok(times.map(median))
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

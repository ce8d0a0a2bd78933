//! Runs scenarios, several at a time if wanted, and counts.
//!
//! QEMU 7.2 without KVM now and then dies of SIGSEGV while a machine starts. A scenario that ended so is
//! run once more, and the log says so; any other failure counts at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Options;
use super::disk::Disk;
use super::host;
use super::qemu::{Console, Crash, Qemu};
use super::rig::Rig;
use super::scenarios::Scenario;
use super::topology::Machine;
use super::transcript::Transcript;

/// Runs the scenarios; the last line printed is `N passed, N failed`.
pub fn all(
    options: &Options,
    scenarios: &[&'static Scenario],
    images: &BTreeMap<&str, (Disk, &Vec<PathBuf>)>,
) -> ExitCode {
    let queue = Mutex::new(scenarios.iter());
    let failed = Mutex::new(0);
    let work = || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some(scenario) = next else { return };
            let start = Instant::now();
            let (image, programs) = &images[scenario.release];
            let mut result = one(options, scenario, image, programs);
            let name = scenario.name;
            if let Some(crash) =
                result.as_ref().err().and_then(|error| error.downcast_ref::<Crash>())
            {
                println!("vm: {name}: {crash}: an emulator's defect, so it runs once more");
                result = one(options, scenario, image, programs);
            }
            let seconds = start.elapsed().as_secs();
            match result {
                Ok(()) => println!("vm: {name}: passed in {seconds} s"),
                Err(error) => {
                    println!("vm: {name}: FAILED after {seconds} s: {error:#}");
                    println!("vm: {name}: see {}", directory(scenario.name).display());
                    if let Ok(mut failed) = failed.lock() {
                        *failed += 1;
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, scenarios.len().max(1)) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or(scenarios.len());
    println!("{} passed, {failed} failed", scenarios.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(options: &Options, scenario: &Scenario, image: &Disk, programs: &[PathBuf]) -> Result<()> {
    let directory = empty_directory(scenario.name)?;
    let mut log = Transcript::create(&directory, scenario.name, options.verbose)?;
    log.add(&format!("# {}: {}", scenario.name, scenario.about));
    let mut rig = Rig::new(image, programs, &directory, log.clone());
    let result = (scenario.run)(&mut rig);
    match &result {
        Ok(()) => log.add("# passed"),
        Err(error) => log.add(&format!("# FAILED: {error:#}")),
    }
    if !options.keep {
        remove_disks(&directory)?;
    }
    result
}

/// Boots machine A with its console on this terminal.
pub fn shell(image: &Disk, programs: &[PathBuf]) -> Result<ExitCode> {
    let directory = empty_directory("shell")?;
    let log = Transcript::create(&directory, "shell", false)?;
    let disk = Rig::new(image, programs, &directory, log).fresh_disk("disk")?;
    eprintln!("vm: machine A boots on this terminal; root needs no password; Ctrl-A X ends it");
    let (mut qemu, _line) = Qemu::start(&Machine::a(), &disk, Console::Terminal, None)?;
    qemu.wait_off(Duration::from_secs(24 * 3600))?;
    remove_disks(&directory)?;
    Ok(ExitCode::SUCCESS)
}

fn directory(name: &str) -> PathBuf {
    host::target().join("vm").join(name)
}

fn empty_directory(name: &str) -> Result<PathBuf> {
    let directory = directory(name);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn remove_disks(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "raw") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

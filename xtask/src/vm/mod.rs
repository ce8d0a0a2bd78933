//! The real machine: Debian in QEMU with an emulated IOMMU, several GPUs, real GRUB and reboots.
//!
//! A *recipe* says what is on the machine's disk; an *image* is that disk, built once and cached. A
//! *topology* says which cards stick in which slots. A *rig* gives one scenario its own copy of the
//! disk, boots it, and hands out a *guest*: a shell on the running machine. Scenarios are functions in
//! [`scenarios`]; how to write one is told at [`rig::Rig`].

pub(crate) mod disk;
mod facts;
mod guest;
pub(crate) mod host;
pub(crate) mod image;
mod line;
pub(crate) mod programs;
pub(crate) mod qemu;
mod recipe;
mod rig;
mod run;
mod scenarios;
mod topology;
mod transcript;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// What to run, and how.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Scenarios to run; the usual ones when none is named.
    names: Vec<String>,
    /// Run every scenario.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Print the scenarios there are.
    #[arg(long)]
    list: bool,
    /// Keep each scenario's disk below target/vm.
    #[arg(long)]
    keep: bool,
    /// Boot machine A with the programs installed, its console on this terminal.
    #[arg(long, conflicts_with = "names")]
    shell: bool,
    /// Scenarios to run at the same time.
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// Build the machine's disk again even if a cached one fits.
    #[arg(long)]
    rebuild_image: bool,
    /// Show every command and its output while it runs.
    #[arg(long, short)]
    verbose: bool,
}

/// Runs `cargo xtask vm`.
pub fn main(options: &Options) -> Result<ExitCode> {
    if options.list {
        for scenario in scenarios::ALL {
            println!("{:<20} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&options.names, options.all)?;
    host::check()?;
    let programs = programs::build()?;
    if options.shell {
        return run::shell(&image::ready(recipe::USUAL, options.rebuild_image)?, &programs);
    }
    // Programs that were built here may not run with an older C library.
    let older = chosen.iter().any(|scenario| scenario.release == recipe::OLDEST);
    let for_older = if older { programs::build_static(&[])? } else { Vec::new() };
    let mut images = BTreeMap::new();
    for scenario in &chosen {
        if !images.contains_key(scenario.release) {
            let image = image::ready(scenario.release, options.rebuild_image)?;
            let old = scenario.release == recipe::OLDEST;
            images.insert(scenario.release, (image, if old { &for_older } else { &programs }));
        }
    }
    Ok(run::all(options, &chosen, &images))
}

fn choose(names: &[String], all: bool) -> Result<Vec<&'static scenarios::Scenario>> {
    if names.is_empty() {
        return Ok(scenarios::ALL.iter().filter(|scenario| all || scenario.usual).collect());
    }
    let find = |name: &String| match scenarios::ALL.iter().find(|s| s.name == name) {
        Some(scenario) => Ok(scenario),
        None => bail!("there is no scenario `{name}`; see `cargo xtask vm --list`"),
    };
    names.iter().map(find).collect()
}

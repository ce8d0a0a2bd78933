//! Real libvirt daemons of three Debian releases read the `qemu.conf` that `evdev` leaves behind, and
//! accept the guests that `guest` makes.
//!
//! A [`system`] is a release's libvirt packages in a directory, with a described machine's keyboards
//! and mice, a user, and a `qemu.conf` that was edited by hand. A [`daemon`] is that system's own
//! libvirtd, started in namespaces of its own. The [`checks`] are what must hold.

mod checks;
mod daemon;
mod guest;
mod system;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::vm::host;

/// Debian 11, 12 and 13.
const RELEASES: [&str; 3] = ["bullseye", "bookworm", "trixie"];

/// The programs under test.
const PROGRAMS: [&str; 8] = [
    "deploy-vfio",
    "deploy-vfio-evdev",
    "deploy-vfio-guest",
    "deploy-vfio-hugepages",
    "deploy-vfio-looking-glass",
    "deploy-vfio-scream",
    "deploy-vfio-undo",
    "vfio-define",
];

/// Which releases, and how.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Releases of Debian; all three when none is named.
    #[arg(value_parser = RELEASES)]
    releases: Vec<String>,
    /// Unpack the packages again even if cached ones fit.
    #[arg(long)]
    rebuild: bool,
    /// Keep the systems below target/libvirt; those of a failure are kept anyway.
    #[arg(long)]
    keep: bool,
}

/// Runs `cargo xtask libvirt`.
pub fn main(options: &Options) -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "only root can unpack Debian and start its libvirtd");
    let mut releases: Vec<&str> = options.releases.iter().map(String::as_str).collect();
    if releases.is_empty() {
        releases = RELEASES.to_vec();
    }
    let program = build()?;
    let run = |release| checks::all(release, &program, options.rebuild, options.keep);
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = releases.iter().map(|name| scope.spawn(move || run(name))).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut failed = 0;
    for (release, result) in releases.iter().zip(results) {
        match result {
            Ok(Ok(version)) => println!("libvirt: {release} ({version}): passed"),
            Ok(Err(error)) => {
                failed += 1;
                println!("libvirt: {release}: failed: {error:#}");
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    println!("{} passed, {failed} failed", releases.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the release programs; the dispatcher finds the others beside it.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked"]).current_dir(host::workspace());
    command.args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
    ensure!(command.status().context("cannot start cargo")?.success(), "the release build failed");
    Ok(host::target().join("release/deploy-vfio"))
}

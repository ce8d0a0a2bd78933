//! The statically linked programs as a live system has them: in a root with nothing else but `/proc`.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Result, ensure};
use vfio_testkit::Description;

use crate::{demo, vm};

const PROGRAMS: &[&str] = &["deploy-vfio", "deploy-vfio-log", "deploy-vfio-undo"];

/// Runs `cargo xtask live`: a menu is deployed by the usual programs, and taken back by the static ones.
pub fn main() -> Result<ExitCode> {
    let programs = vm::programs::build_static(PROGRAMS)?;
    let live = Path::new("target/live");
    let system = demo::fresh(&live.join("mnt"))?;
    for dir in ["bin", "proc"] {
        fs::create_dir_all(live.join(dir))?;
    }
    for program in &programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if PROGRAMS.contains(&&*name) {
            fs::copy(program, live.join("bin").join(&*name))?;
        }
    }
    Description::read(Path::new("machines/two-gpus.json"))?.lay_out(&system)?;
    let before = demo::tree(&system)?;
    let menu = ["multiboot", "last", "--yes", "--no-rebuild"];
    demo::deploy_vfio(&demo::build()?, &system, &menu, Stdio::null())?;
    ensure!(!before.diff(&demo::tree(&system)?).is_empty(), "nothing was deployed");

    within(live, &["log", "--root", "/mnt"])?;
    within(live, &["undo", "--all", "--root", "/mnt", "--yes", "--no-rebuild"])?;
    let difference = before.diff(&demo::tree(&system)?);
    ensure!(difference.is_empty(), "undo left something behind:\n{difference}");
    println!("Taken back, byte for byte, by programs that need nothing but /proc.");
    Ok(ExitCode::SUCCESS)
}

/// Runs the dispatcher where `live` is the root.
fn within(live: &Path, words: &[&str]) -> Result<()> {
    println!("$ deploy-vfio {}", words.join(" "));
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
    unshare.arg("--root").arg(live).arg("/bin/deploy-vfio").args(words).env_clear();
    let status = unshare.stdin(Stdio::null()).status()?;
    ensure!(status.success(), "deploy-vfio {} ended with {status}", words.join(" "));
    Ok(())
}

//! The main job on a sample machine, without root: groups, plan, apply, boot menu, undo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use vfio_testkit::{Description, STATE, Tree, boot_menu};

/// Which machine, and where to lay it out.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A described machine.
    #[arg(default_value = "machines/two-gpus.json")]
    machine: PathBuf,
    /// Where to lay it out; it must not exist.
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
    /// Lay the machine out and stop.
    #[arg(long)]
    lay_out: bool,
}

/// Runs `cargo xtask demo`.
pub fn main(options: &Options) -> Result<ExitCode> {
    let dir = fresh(&options.dir)?;
    let machine = Description::read(&options.machine)
        .with_context(|| format!("reading {}", options.machine.display()))?;
    machine.lay_out(&dir)?;
    if options.lay_out {
        println!("{}", dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    let programs = build()?;
    let run = |words: &[&str]| deploy_vfio(&programs, &dir, words, Stdio::inherit());
    let before = tree(&dir)?;

    heading("The machine: which devices are isolated from each other, and what must stay");
    run(&["groups"])?;
    heading("The plan, and the scratch system that it is applied to");
    run(&["multiboot", "last", "--yes", "--no-rebuild"])?;
    heading("The boot menu that the system now generates");
    print_menu(&dir)?;
    heading("And back");
    deploy_vfio(&programs, &dir, &["undo", "--yes", "--no-rebuild"], Stdio::null())?;
    let difference = before.diff(&tree(&dir)?);
    ensure!(difference.is_empty(), "undo left something behind:\n{difference}");
    println!("\nEvery file, mode, owner and time is as before: byte-identical.");
    Ok(ExitCode::SUCCESS)
}

/// Everything but the journal, which is kept, and the times of directories that hold it.
pub(crate) fn tree(dir: &Path) -> Result<Tree> {
    Ok(Tree::read(dir)?.without(&[STATE]).without_directory_times())
}

/// An empty directory, made anew when an earlier demo left one.
pub(crate) fn fresh(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        ensure!(dir.join("sys/bus/pci").exists(), "{} is not an earlier demo", dir.display());
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    Ok(dir.canonicalize()?)
}

/// Builds all programs and returns where the dispatcher is; the others are beside it.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--bins"]).status()?;
    ensure!(built.success(), "the programs do not build");
    let here = std::env::current_exe()?;
    Ok(here.with_file_name("deploy-vfio"))
}

/// Runs a command on the system below `root`.
pub(crate) fn deploy_vfio(programs: &Path, root: &Path, words: &[&str], out: Stdio) -> Result<()> {
    println!("$ deploy-vfio {}", words.join(" "));
    let mut command = Command::new(programs);
    let status =
        command.arg("--root").arg(root).args(words).stdin(Stdio::null()).stdout(out).status()?;
    ensure!(status.success(), "deploy-vfio {} ended with {status}", words.join(" "));
    Ok(())
}

/// Titles only: the whole is in the scratch system's `etc/grub.d`.
fn print_menu(root: &Path) -> Result<()> {
    let menu = boot_menu(root)?;
    ensure!(menu.code == 0, "the menu cannot be generated:\n{}", menu.stderr);
    for line in menu.stdout.lines() {
        let text = line.trim_start();
        if text.starts_with("menuentry '")
            || text.starts_with("submenu '")
            || text.starts_with("set default=\"d")
        {
            let end =
                text.find(" --class").or_else(|| text.find(" $menuentry")).unwrap_or(text.len());
            let indent = &line[..line.len() - text.len()];
            println!("{indent}{}", &text[..end]);
        } else if text.starts_with("linux") && text.contains("deploy_vfio") {
            println!("    {}", text.replace('\t', " "));
        }
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}\n");
}

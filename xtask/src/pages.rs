//! The manual pages and the scripts that complete words in shells, as files for packages.
//!
//! Installed programs print the same: `DEPLOY_VFIO_ASK=man deploy-vfio-groups --help`, and
//! `deploy-vfio completions zsh`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Result, ensure};

use crate::demo;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The directory; it is made when it is missing.
    dir: PathBuf,
}

/// Runs `cargo xtask man`: a page for each program in `bins/` that people run.
pub fn man(options: &Options) -> Result<ExitCode> {
    let built = demo::build()?;
    for source in fs::read_dir("bins")? {
        let source = source?.path();
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_source = source.extension().is_some_and(|extension| extension == "rs");
        if is_source && name.starts_with("deploy-vfio") {
            let mut program = Command::new(built.with_file_name(&name));
            let page = program.env("DEPLOY_VFIO_ASK", "man").arg("--help");
            write(&options.dir, &format!("{name}.1"), page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `cargo xtask completions`: a script for each shell, under the name that it is looked for.
pub fn completions(options: &Options) -> Result<ExitCode> {
    let built = demo::build()?;
    for (shell, file) in
        [("bash", "deploy-vfio"), ("zsh", "_deploy-vfio"), ("fish", "deploy-vfio.fish")]
    {
        write(&options.dir, file, Command::new(&built).args(["completions", shell]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Both, in directories below `dir`.
pub(crate) fn write_all(dir: &Path) -> Result<()> {
    man(&Options { dir: dir.join("man") })?;
    completions(&Options { dir: dir.join("completions") })?;
    Ok(())
}

fn write(dir: &Path, file: &str, program: &mut Command) -> Result<()> {
    let output = program.output()?;
    ensure!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    fs::create_dir_all(dir)?;
    fs::write(dir.join(file), output.stdout)?;
    println!("{}", dir.join(file).display());
    Ok(())
}

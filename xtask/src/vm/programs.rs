//! The programs under test: what a release build leaves behind.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::host;

/// Builds the release programs and returns their paths, sorted.
pub fn build() -> Result<Vec<PathBuf>> {
    built(&["build", "--release", "--locked", "--bins"], "release")
}

/// The same, for systems that may have another C library or none; only these, or all when none is named.
pub fn build_static(names: &[&str]) -> Result<Vec<PathBuf>> {
    let words = names.iter().flat_map(|name| ["--bin", name]);
    let words: Vec<&str> = ["static"].into_iter().chain(words).collect();
    built(&words, "x86_64-unknown-linux-gnu/release")
}

fn built(words: &[&str], directory: &str) -> Result<Vec<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).current_dir(host::workspace());
    if !command.status().context("cannot start cargo")?.success() {
        bail!("the release build failed");
    }
    let directory = host::target().join(directory);
    let mut programs = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let (name, about) = (entry.file_name(), entry.metadata()?);
        let name = name.to_string_lossy();
        let ours = name.starts_with("deploy-vfio") && !name.contains('.');
        let executable = about.is_file() && about.permissions().mode() & 0o111 != 0;
        if executable && (ours || name == "vfio-hook" || name == "vfio-define") {
            programs.push(entry.path());
        }
    }
    programs.sort();
    Ok(programs)
}

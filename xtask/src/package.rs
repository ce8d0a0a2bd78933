//! The Debian package, by `cargo deb`, and what lintian says of it.
//!
//! What a deployed setup needs to boot is never in the package: `multiboot` and the others put it below
//! `/etc` and `/usr/local/lib`, so that removing or upgrading the package changes no boot.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{pages, vm};

/// The version that is known to make the package; the options of others may differ.
const CARGO_DEB: &str = "3.8.0";

/// A package that Debian makes of this version, from -1 on, takes this one's place.
pub(crate) const REVISION: &str = "0";

/// Where to, and as what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The directory that the package is written to.
    #[arg(default_value = "target/debian")]
    dir: PathBuf,
}

/// Runs `cargo xtask package`.
pub fn main(options: &Options) -> Result<ExitCode> {
    let package = build(&options.dir.join("deploy-vfio.deb"), REVISION)?;
    for words in [&["--info"][..], &["--contents"]] {
        ensure!(Command::new("dpkg-deb").args(words).arg(&package).status()?.success());
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    let clean = lintian.arg(&package).status().context("apt-get install lintian")?.success();
    ensure!(clean, "lintian found something");
    println!("{}: lintian finds nothing", package.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the package as the file `to`, with `revision` after the version.
pub(crate) fn build(to: &Path, revision: &str) -> Result<PathBuf> {
    vm::programs::build()?;
    pages::write_all(Path::new("target/package"))?;
    let mut deb = Command::new("cargo-deb");
    deb.args(["deb", "--no-build", "--quiet", "--deb-revision", revision, "--output"]);
    let missing = format!("cargo install --locked cargo-deb --version {CARGO_DEB}");
    ensure!(deb.arg(to).status().context(missing)?.success(), "cargo deb failed");
    complete(to)?;
    Ok(to.to_path_buf())
}

/// Every program of `bins/` is in it, and none that an earlier build left in `target`.
fn complete(package: &Path) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for source in fs::read_dir("bins")? {
        let source = source?.path();
        if source.extension().is_some_and(|extension| extension == "rs") {
            wanted.extend(source.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    let listed = Command::new("dpkg-deb").arg("--contents").arg(package).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let programs = listed.lines().filter(|line| line.starts_with("-rwx"));
    let packed: BTreeSet<String> =
        programs.filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned())).collect();
    let differ: Vec<_> = wanted.symmetric_difference(&packed).collect();
    ensure!(differ.is_empty(), "missing in the package, or no program any more: {differ:?}");
    Ok(())
}

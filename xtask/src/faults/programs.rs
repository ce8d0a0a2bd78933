//! Builds the programs under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The release programs' directory, freshly built.
pub fn build() -> Result<PathBuf> {
    let target = target();
    cargo(&target, &["--release"])?;
    Ok(target.join("release"))
}

/// The directory of programs that can be told to be wrong, freshly built.
pub fn build_with_defects() -> Result<PathBuf> {
    let target = target().join("defects");
    cargo(&target, &["--features", "vfio-core/defects"])?;
    Ok(target.join("debug"))
}

/// What the engine's own tests print with this defect.
pub fn engine_tests(defect: &str) -> Result<String> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--package",
        "vfio-core",
        "--lib",
        "--tests",
    ]);
    command.args(["--features", "defects"]).current_dir(workspace());
    command.env("CARGO_TARGET_DIR", target().join("defects")).env("DEPLOY_VFIO_DEFECT", defect);
    let output = command.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("test result: ") {
        bail!("the engine's tests did not run:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

fn cargo(target: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked", "--bins"]).args(more);
    command.env("CARGO_TARGET_DIR", target).current_dir(workspace());
    if !command.status().context("cannot start cargo")?.success() {
        bail!("the build failed");
    }
    Ok(())
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

//! Programs of the system that some tests need.

use std::{io::Write, path::Path};

/// Whether a program is installed. Where it is not, a test says aloud that it tests nothing; in CI
/// it fails.
pub fn has(program: &str) -> bool {
    let there = ["/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    assert!(
        there || std::env::var_os("CI").is_none(),
        "{program} is not installed; CI must have it"
    );
    if !there {
        // Not `eprintln!`: the harness keeps that for tests that fail.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {program} is not installed");
    }
    there
}

/// Every program of the project, by the manifest.
pub fn programs() -> Vec<String> {
    let manifest = include_str!("../../Cargo.toml");
    let bins = manifest.split("[[bin]]\n").skip(1).filter_map(|bin| bin.split('"').nth(1));
    // What others run is no command.
    bins.filter(|name| !deploy_vfio::HELPERS.contains(name)).map(str::to_owned).collect()
}

//! The features' plans and the programs that run on the machine.
#![allow(clippy::disallowed_methods, reason = "a test makes trees and runs programs")]

mod audio_loopback;
mod auto_xorg;
mod zram_plan;
mod zram_swap;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

fn write(root: &Path, path: &str, text: &str) {
    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    fs::write(root.join(path), text).unwrap();
}

/// Puts a program into the tree that notes how it is called in `log`, and does `body`.
fn program(root: &Path, name: &str, body: &str) {
    let log = root.join("log");
    let text = format!("#!/bin/sh\necho \"{name} $*\" >>{}\n{body}\n", log.display());
    write(root, &format!("bin/{name}"), &text);
    let file = root.join("bin").join(name);
    assert!(Command::new("chmod").arg("+x").arg(file).status().unwrap().success());
}

/// An asset as it would run where the programs of the tree come first.
fn script(root: &Path, name: &str) -> Command {
    let mut command = Command::new("sh");
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    command.arg(asset(name)).env_clear().env("PATH", path);
    command
}

/// What systemd has to say against a unit.
fn verified(name: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(asset(name)).unwrap();
    let text = text.replace("=scream @FROM@", "=/bin/true").replace("@USER@", "root");
    // The program is not installed where tests run.
    let lines = text.lines().map(|line| match line.split_once("=/usr/local/lib/deploy-vfio/") {
        Some((key, _)) => format!("{key}=/bin/true\n"),
        None => format!("{line}\n"),
    });
    write(dir.path(), name, &lines.collect::<String>());
    let run = Command::new("systemd-analyze").arg("verify").arg(dir.path().join(name)).output();
    // Not everybody who builds this has systemd.
    let Ok(output) = run else { return Vec::new() };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
}

#[test]
fn systemd_accepts_the_units() {
    for name in [
        "deploy-vfio-audio-loopback.service",
        "deploy-vfio-auto-xorg.service",
        "deploy-vfio-nosleep@.service",
        "deploy-vfio-scream.service",
        "deploy-vfio-zram-swap.service",
    ] {
        assert_eq!(verified(name), Vec::<String>::new());
    }
}

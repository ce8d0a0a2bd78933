//! What the machine that runs the rig must have installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Program, and the Debian package it comes from.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("sfdisk", "fdisk"),
    ("setpriv", "util-linux"),
];

/// Firmware that QEMU loads, and the Debian package it comes from.
const FIRMWARE: &[(&str, &str)] = &[
    ("/usr/share/seabios/vgabios-stdvga.bin", "seabios"),
    ("/usr/lib/ipxe/qemu/efi-e1000e.rom", "ipxe-qemu"),
];

/// The file in `dir` whose name begins so; there must be one.
pub fn only(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    ensure!(found.len() == 1, "one {prefix}* expected in {}", dir.display());
    found.pop().context("no file")
}

/// Fails with the packages to install when something is missing.
pub fn check() -> Result<()> {
    need(TOOLS, FIRMWARE)
}

/// Fails with the packages to install when one of these programs or files is missing.
pub fn need(tools: &[(&str, &str)], files: &[(&str, &str)]) -> Result<()> {
    let mut missing: Vec<&str> = tools
        .iter()
        .filter(|(tool, _)| find(tool).is_none())
        .map(|&(_, package)| package)
        .collect();
    missing.extend(files.iter().filter(|(file, _)| !Path::new(file).exists()).map(|&(_, p)| p));
    missing.dedup();
    if !missing.is_empty() {
        bail!("missing on this machine: apt-get install {}", missing.join(" "));
    }
    Ok(())
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|dir| dir.join(tool)).find(|file| file.is_file())
}

/// A command on this machine; administrators' programs are found without a root PATH too.
pub fn command(tool: &str) -> Command {
    Command::new(find(tool).unwrap_or_else(|| PathBuf::from(tool)))
}

/// Runs a command to its end; an error carries what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}):\n{text}{errors}", output.status);
    }
    Ok(text)
}

/// Unpacks a release of Debian below `root`; `at_hand` are packages that lie in `/root` there, to be
/// installed by whoever wants them, and `layouts` those that lie in `/root/layouts` with all they need.
pub fn unpack_debian(
    suite: &str,
    packages: &[&str],
    (at_hand, layouts): (&[&str], &[&str]),
    left_out: &[&str],
    root: &Path,
) -> Result<()> {
    let mut command = self::command("mmdebstrap");
    if !at_hand.is_empty() {
        let download = format!("cd /root && apt-get -qq download {}", at_hand.join(" "));
        command.arg(format!("--customize-hook=chroot \"$1\" sh -c '{download}'"));
    }
    if !layouts.is_empty() {
        let download = format!(
            "mkdir -p /root/layouts/partial && apt-get -qq -y --no-install-recommends --download-only \
             -o Dir::Cache::archives=/root/layouts install {} && rm -rf /root/layouts/partial \
             /root/layouts/lock",
            layouts.join(" ")
        );
        command.arg(format!("--customize-hook=chroot \"$1\" sh -c '{download}'"));
    }
    command.args(["--mode=root", "--variant=minbase", "--quiet"]);
    command.arg(format!("--include={}", packages.join(",")));
    for pattern in left_out {
        command.arg(format!("--dpkgopt=path-exclude={pattern}"));
    }
    command.arg(suite).arg(root);
    // This host's own mirror when it is of that release as well; mmdebstrap's default otherwise.
    let sources = Path::new("/etc/apt/sources.list.d/debian.sources");
    if fs::read_to_string(sources).is_ok_and(|text| text.contains(suite)) {
        command.arg(sources);
    }
    run(&mut command).map(|_| ())
}

/// The workspace's directory.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

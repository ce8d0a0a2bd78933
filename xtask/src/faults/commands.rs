//! Every command that changes a system, as somebody types it, on a described machine.
//!
//! What it does to files is the engine's work, which the drafts on a small tree show in full. Here the
//! commands themselves are disturbed: each of them must end with everything done or nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vfio_testkit::Description;

use super::scenario::Scenario;
use super::scenario::Step::{self, Run};
use super::scenario::Verb::{self, Words};

/// The machine, in the checkout.
const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../machines/two-gpus.json");
/// Below the scratch directory: the programs that an installation copies.
pub const FEW: &str = "few";
const COPIED: [&str; 4] =
    ["deploy-vfio", "deploy-vfio-install", "deploy-vfio-recover", "deploy-vfio-uninstall"];

const MENU: Step = Run(Words("multiboot last"));
const TRIAL: Step = Run(Words("multiboot last --trial"));

/// The scenarios.
pub const ALL: &[Scenario] = &[
    command("multiboot", &[], "multiboot last --parse all"),
    command("multiboot-off", &[MENU], "multiboot off"),
    command("trial", &[], "multiboot last --trial"),
    command("trial-confirm", &[TRIAL], "trial confirm"),
    command("trial-off", &[TRIAL], "trial off"),
    command("static-trial", &[], "static grub --trial"),
    command("static-grub", &[MENU], "static grub"),
    command("static-file", &[], "static file"),
    Scenario { quick: true, ..command("hugepages", &[MENU], "hugepages 2M 512") },
    command("hugepages-runtime", &[], "hugepages 2M 64 --runtime"),
    command("cpu", &[], "cpu"),
    command("evdev", &[], "evdev --qemu-conf --user user"),
    command("zram-swap", &[], "zram-swap 1/4"),
    command("auto-xorg", &[], "auto-xorg"),
    command("libvirt-hooks", &[], "libvirt-hooks"),
    command("dynamic", &[], "dynamic"),
    command("looking-glass", &[], "looking-glass 1920x1080 --user user"),
    command("scream", &[], "scream --user user"),
    command("audio-loopback", &[], "audio-loopback --user user"),
    command("guest", &[MENU], "guest win10 --define"),
    command("line", &[], "--parse vga --hugepages 2M 512 --cpu --multiboot last --zram-swap 1/4"),
    Scenario {
        verb: Verb::UndoAll,
        ..command("undo-all", &[MENU, Run(Words("cpu")), Run(Words("zram-swap"))], "")
    },
    command("install", &[], "install"),
    command("uninstall", &[MENU, Run(Words("install"))], "uninstall --undo"),
];

const fn command(name: &'static str, before: &'static [Step], line: &'static str) -> Scenario {
    Scenario { name, before, verb: Words(line), quick: false }
}

/// The program behind a line, without the part of its name that all have, and its words.
pub fn program(line: &'static str) -> (&'static str, Vec<&'static str>) {
    match line.split_once(' ') {
        _ if line.starts_with('-') => ("setup", line.split(' ').collect()),
        Some((name, words)) => (name, words.split(' ').collect()),
        None => (line, Vec::new()),
    }
}

/// Lays the machine out as the new directory `root`.
pub fn lay_out(root: &Path, programs: &Path, scratch: &Path) -> Result<()> {
    fs::create_dir(root)?;
    Description::read(MACHINE.as_ref())?.lay_out(root)?;
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:\n",
    )?;
    fs::write(
        root.join("etc/group"),
        "root:x:0:\ninput:x:104:\nkvm:x:105:\nlibvirt:x:106:\nuser:x:1000:\n",
    )?;
    fs::write(root.join("etc/libvirt/qemu.conf"), "#user = \"libvirt-qemu\"\nmax_files = 32768\n")?;
    let few = scratch.join(FEW);
    fs::create_dir_all(&few)?;
    for name in COPIED {
        let from = programs.join(name);
        fs::copy(&from, few.join(name)).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

//! A cell's menu and variables, made by the programs that make an installed system's: `00_header` of
//! GRUB's own, a stand-in for `10_linux`, the generator under test, and `grub-editenv`.
//!
//! Invariant: nothing of the generator's text is written down here; what decides about the trial is
//! what the generator prints.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cell::{Cell, Entry, Fate};
use super::payload::{Payload, ROOT};
use super::place::{ESP_ID, ESP_VARIABLES, Place};
use crate::vm::host;

/// GRUB's own, which prints what stands above all entries.
const HEADER: &str = "/etc/grub.d/00_header";
const GENERATOR: &str = "crates/vfio-grub/assets/45_deploy-vfio";
const SERIAL: &str = "serial --unit=0";
/// For every kernel.
const WORDS: &str = "console=ttyS0 quiet no_timer_check";

/// The trees that a cell's file systems are made of.
#[derive(Debug)]
pub struct Trees {
    /// With `boot` in it.
    pub system: PathBuf,
    /// The firmware's partition.
    pub esp: PathBuf,
}

impl Trees {
    /// Fills the trees of a cell, in `dir`.
    pub fn make(cell: Cell, payload: &Payload, dir: &Path) -> Result<Self> {
        let trees = Self { system: dir.join("system"), esp: dir.join("esp") };
        let (boot, grub) = (trees.system.join("boot"), trees.system.join("boot/grub"));
        fs::create_dir_all(grub.join("i386-pc"))?;
        fs::create_dir_all(trees.esp.join("EFI"))?;
        fs::copy(&payload.kernel, boot.join(format!("vmlinuz-{}", payload.version)))?;
        fs::copy(&payload.initramfs, boot.join(format!("initrd.img-{}", payload.version)))?;
        modules(&grub.join("i386-pc"))?;
        fs::write(grub.join("grub.cfg"), menu(cell, payload, dir)?)?;
        host::run(host::command("grub-script-check").arg(grub.join("grub.cfg")))?;

        if cell.place == Place::Esp {
            // What names an entry beside the menu is none of what the partition's file says.
            note(&grub.join("grubenv"), Entry::Trial.id())?;
        }
        note(&trees.variables(cell), cell.fate.tries())?;
        if cell.fate == Fate::Corrupt {
            corrupt(&trees.variables(cell))?;
        }
        Ok(trees)
    }

    /// The file that says what is to be tried.
    pub fn variables(&self, cell: Cell) -> PathBuf {
        match cell.place {
            Place::Esp => self.esp.join(ESP_VARIABLES),
            _ => self.system.join("boot/grub/grubenv"),
        }
    }
}

/// What GRUB loads from beside its menu.
fn modules(to: &Path) -> Result<()> {
    for entry in fs::read_dir("/usr/lib/grub/i386-pc").context("apt-get install grub-pc-bin")? {
        let from = entry?.path();
        if from.extension().is_some_and(|kind| kind == "mod" || kind == "lst") {
            fs::copy(&from, to.join(from.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// Has GRUB's variables say that this entry is to be tried, as a rebuild does.
fn note(file: &Path, id: &str) -> Result<()> {
    let next = format!("dv_next={id}");
    for words in [&["create"][..], &["set", &next], &["unset", "dv_tried"]] {
        host::run(host::command("grub-editenv").arg(file).args(words))?;
    }
    Ok(())
}

/// Takes away what GRUB knows its variables by; they still name the trial.
fn corrupt(file: &Path) -> Result<()> {
    let mut bytes = fs::read(file)?;
    bytes.iter_mut().take(4).for_each(|byte| *byte = 0);
    fs::write(file, bytes)?;
    Ok(())
}

/// What `grub-mkconfig` would make of the cell's system.
fn menu(cell: Cell, payload: &Payload, dir: &Path) -> Result<String> {
    let (scripts, bin) = (dir.join("etc/grub.d"), dir.join("bin"));
    fs::create_dir_all(&scripts)?;
    fs::create_dir_all(&bin)?;
    settings(cell, &dir.join("etc/deploy-vfio"))?;
    let probe = format!("#!/bin/sh\ncase $2 in */boot/efi) echo {ESP_ID} ;; *) exit 1 ;; esac\n");
    let (probes, linux) = (bin.join("grub-probe"), scripts.join("10_linux"));
    for (program, text) in [(&probes, &*probe), (&linux, include_str!("assets/10_linux"))] {
        fs::write(program, text)?;
        fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    }
    let generator = scripts.join("45_deploy-vfio");
    fs::copy(host::workspace().join(GENERATOR), &generator)?;

    // Whatever GRUB says of its menu is to be seen.
    let mut menu = format!("{SERIAL}\nterminal_output serial\n");
    for script in [Path::new(HEADER), &linux, &generator] {
        menu.push_str(&print((cell.place, payload, &bin), script)?);
    }
    Ok(menu)
}

/// What a plan with a trial leaves for the generator: the old default, the entry on trial, and that it
/// is one.
fn settings(cell: Cell, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("entries.d"))?;
    let more = format!("deploy_vfio.trial=1 panic=30 {}", cell.fate.words());
    for (entry, more) in [(Entry::Default, ""), (Entry::Trial, &*more)] {
        let id = entry.id();
        let text = format!("title=Cards for guests\narguments=once.entry={id} {more}\n");
        fs::write(dir.join(format!("entries.d/{id}.conf")), text)?;
    }
    let elsewhere = match cell.place {
        Place::Esp => format!("variables = \"boot/efi/{ESP_VARIABLES}\"\n"),
        _ => String::new(),
    };
    let trial = format!("format = 1\nattempt = 1\nentry = \"deploy-vfio-new\"\n{elsewhere}");
    fs::write(dir.join("trial.toml"), trial)?;
    Ok(())
}

/// What a script prints in the environment that `grub-mkconfig` gives it.
fn print((place, payload, bin): (Place, &Payload, &Path), script: &Path) -> Result<String> {
    let mut command = Command::new("dash");
    command.arg(script).env_clear();
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()));
    command.env("ONCE_NORMAL", Entry::Normal.id());
    command.env("ONCE_ROOT", format!("UUID={ROOT}"));
    command.env("ONCE_VERSION", &payload.version);
    command.env("ONCE_BOOT", place.boot());
    command.env("ONCE_DEVICE", place.device("hd0"));
    command.env("ONCE_MODULES", place.drivers().join(" "));
    command.envs([
        ("pkgdatadir", "/usr/share/grub"),
        ("GRUB_DEFAULT", Entry::Default.id()),
        ("GRUB_DISTRIBUTOR", "Debian"),
        ("GRUB_TIMEOUT", "0"),
        ("GRUB_TERMINAL_INPUT", "serial"),
        ("GRUB_TERMINAL_OUTPUT", "serial"),
        ("GRUB_SERIAL_COMMAND", SERIAL),
        ("GRUB_CMDLINE_LINUX", WORDS),
    ]);
    let output = command.output().context("cannot start dash")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let name = script.display();
    ensure!(output.status.success() && said.is_empty(), "{name}: {}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

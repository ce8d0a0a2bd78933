//! What is on trial is taken once: a real GRUB on real file systems, whatever becomes of the boot.
//!
//! A *cell* is a *place*, the file system that GRUB has its menu and its variables on, and a fate, what
//! becomes of the boot on trial. Its *menu* is made by the programs that make an installed system's,
//! the generator under test among them; its *disk* has GRUB in front of the file system; the *payload*
//! is a kernel of Debian's with a small system. Each cell boots three times, and its power is cut after
//! each *boot*. Where GRUB cannot write, a trial is refused beforehand; the cells show that GRUB would
//! not take it there either.

mod boot;
mod cell;
mod disk;
mod menu;
mod payload;
mod place;
mod volume;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::vm::host;
use crate::vm::qemu::Crash;
use boot::Boot;
use cell::Cell;
use menu::Trees;
use payload::Payload;
use place::Place;

/// Program, and the Debian package it comes from.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setpriv", "util-linux"),
    ("sfdisk", "fdisk"),
    ("dash", "dash"),
    ("grub-editenv", "grub-common"),
    ("grub-mkimage", "grub-common"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("lvm", "lvm2"),
];

/// Files, and the Debian package they come from.
const FILES: &[(&str, &str)] = &[
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    ("/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin"),
    ("/etc/grub.d/00_header", "grub-common"),
];

/// What to boot.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Cells to run at the same time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
    /// One cell or one place only, such as `xfs/panic` or `xfs`.
    #[arg(long, value_name = "PLACE[/FATE]")]
    only: Option<String>,
    /// Tell each boot when it is over.
    #[arg(long, short)]
    verbose: bool,
}

/// What all cells share.
struct Bench {
    payload: Payload,
    /// An empty logical volume.
    volume: Option<PathBuf>,
    scratch: PathBuf,
    verbose: bool,
}

/// Runs `cargo xtask once`; the last line printed is `N passed, N failed`.
pub fn main(options: &Options) -> Result<ExitCode> {
    let cells = choose(options.only.as_deref())?;
    host::need(TOOLS, FILES)?;
    let lvm = cells.iter().any(|cell| cell.place == Place::Lvm);
    ensure!(!lvm || nix::unistd::geteuid().is_root(), "run as root: LVM needs a loop device");
    let home = host::target().join("once");
    fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(home.canonicalize()?)?;
    let dir = scratch.path();
    let bench = Bench {
        payload: Payload::make(dir)?,
        volume: lvm.then(|| volume::make(dir)).transpose()?,
        scratch: dir.to_owned(),
        verbose: options.verbose,
    };
    let passed = run(&bench, &cells, options.jobs);
    let failed = cells.len() - passed;
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(only: Option<&str>) -> Result<Vec<Cell>> {
    let wanted = |cell: &Cell| only.is_none_or(|o| o == cell.name() || o == cell.place.name());
    let cells: Vec<_> = Cell::all().filter(wanted).collect();
    if cells.is_empty() {
        let names: Vec<_> = Cell::all().map(Cell::name).collect();
        bail!("no such cell; there are {}", names.join(", "));
    }
    Ok(cells)
}

/// Runs the cells and says what came of each; returns how many passed.
fn run(bench: &Bench, cells: &[Cell], jobs: usize) -> usize {
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (text, good) = report(bench, *cell);
            passed.fetch_add(usize::from(good), Ordering::Relaxed);
            println!("{text}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cells.len()) {
            scope.spawn(work);
        }
    });
    passed.into_inner()
}

/// Runs a cell, once more where the emulator itself died; what is to be told, and whether it passed.
fn report(bench: &Bench, cell: Cell) -> (String, bool) {
    let name = cell.name();
    let dir = bench.scratch.join(name.replace('/', "-"));
    let mut result = one(bench, cell, &dir);
    if result.as_ref().is_err_and(|error| error.downcast_ref::<Crash>().is_some()) {
        let _ = fs::remove_dir_all(&dir);
        result = one(bench, cell, &dir).context("once more, as QEMU had crashed");
    }
    let told = match &result {
        Ok(boots) => {
            let takes: Vec<_> = boots.iter().map(|boot| boot.takes.name()).collect();
            format!("once: {name}: passed ({})", takes.join(", "))
        }
        Err(error) => {
            let tail = boot::tail(&dir.join("console"));
            format!("once: {name}: FAILED: {error:#}\n{tail}")
        }
    };
    let _ = fs::remove_dir_all(&dir);
    (told, result.is_ok())
}

/// Makes a cell's disk, boots it three times, and reads GRUB's variables in the end.
fn one(bench: &Bench, cell: Cell, dir: &Path) -> Result<Vec<Boot>> {
    fs::create_dir_all(dir)?;
    let trees = Trees::make(cell, &bench.payload, dir).context("making the menu")?;
    let disk =
        disk::make(cell.place, &trees, bench.volume.as_deref(), dir).context("making the disk")?;
    let mut boots = Vec::new();
    for (number, expected) in (1..).zip(cell.boots()) {
        let start = Instant::now();
        let boot = Boot::run(disk.path(), &bench.payload.root, &dir.join("console"));
        let boot = boot.with_context(|| format!("boot {number}"))?;
        if bench.verbose {
            let seconds = start.elapsed().as_secs_f32();
            let (name, console) = (cell.name(), boot::tail(&dir.join("console")));
            println!("once: {name}: boot {number}: {boot:?} after {seconds:.1} s\n{console}");
        }
        ensure!(boot == expected, "boot {number} was {boot:?}, not {expected:?}");
        boots.push(boot);
    }
    let before = fs::read(trees.variables(cell))?;
    noted(cell, &before, &disk::read_variables(cell.place, &disk)?)?;
    Ok(boots)
}

/// GRUB's variables say that the trial was taken, or what they said before.
fn noted(cell: Cell, before: &[u8], after: &[u8]) -> Result<()> {
    if !cell.notes() {
        ensure!(before == after, "GRUB wrote where it cannot: {}", after.escape_ascii());
        return Ok(());
    }
    let text = String::from_utf8_lossy(after);
    let tried = format!("dv_tried={}", cell.fate.tries());
    let has = |line: &str| text.lines().any(|one| one == line);
    ensure!(has("dv_next=") && has(&tried), "GRUB's variables are now {}", after.escape_ascii());
    Ok(())
}

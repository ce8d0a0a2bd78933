//! A cell's disk: GRUB in the first sectors, behind it the file system with its menu.
//!
//! Invariants: GRUB finds and writes its files through the drivers of the file system, as on an
//! installed system; nothing of it is mounted here, so a disk is what its tools wrote.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::menu::Trees;
use super::place::{ESP_ID, Place};
use super::volume;
use crate::vm::disk::Disk;
use crate::vm::host;

/// Where the first partition begins, and where the second does; in MiB.
const FIRST: u64 = 1;
const SECOND: u64 = FIRST + ESP_SIZE;
const ESP_SIZE: u64 = 64;

/// About as small as it may be, in MiB.
fn size(place: Place) -> u64 {
    match place {
        Place::Ext4 => 64,
        Place::Xfs | Place::Fat => 320,
        Place::Btrfs | Place::Esp => 256,
        Place::Lvm => volume::SIZE,
    }
}

/// Makes a disk of these trees, in `dir`; `volume` is an empty logical one.
pub fn make(place: Place, trees: &Trees, volume: Option<&Path>, dir: &Path) -> Result<Disk> {
    let at = if place == Place::Esp { SECOND } else { FIRST };
    let table = match place {
        Place::Esp => {
            format!("start={FIRST}MiB, size={ESP_SIZE}MiB, type=ef\nstart={at}MiB, type=83")
        }
        Place::Lvm => format!("start={at}MiB, type=8e"),
        _ => format!("start={at}MiB, type=83"),
    };
    let table = format!("label: dos\n{table}, bootable\n");
    let size = (at + size(place)) << 20;
    let disk = Disk::partitioned(dir.join("disk.raw"), size, &table)?;
    let part = dir.join("part.raw");
    format(place, &trees.system, volume, &part)?;
    put(&part, &disk, at)?;
    if place == Place::Esp {
        let part = dir.join("esp.raw");
        fat(&trees.esp, ESP_SIZE, &part)?;
        put(&part, &disk, FIRST)?;
    }
    boot_loader(place, &disk, dir)?;
    Ok(disk)
}

/// GRUB's variables, as GRUB itself reads them from the disk.
pub fn read_variables(place: Place, disk: &Disk) -> Result<Vec<u8>> {
    let mut reader = host::command("grub-fstest");
    reader.arg(disk.path()).arg("cat").arg(place.variables("loop0"));
    let output = reader.output().context("apt-get install grub-common")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "GRUB does not find its variables any more: {said}");
    Ok(output.stdout)
}

/// Makes the file system of a place in the new file `image`, with a tree in it.
fn format(place: Place, tree: &Path, volume: Option<&Path>, image: &Path) -> Result<()> {
    let size = size(place);
    match place {
        Place::Ext4 => ext4(tree, size, image),
        Place::Xfs => xfs(tree, size, image),
        Place::Btrfs | Place::Esp => btrfs(tree, size, image),
        Place::Fat => fat(&tree.join("boot"), size, image),
        Place::Lvm => {
            let within = image.with_extension("within");
            ext4(tree, volume::INSIDE, &within)?;
            let volume = Disk::at(volume.context("there is no volume")?.to_owned());
            put(&within, &volume.copy(image.to_owned())?, volume::BEGIN)
        }
    }
}

fn ext4(tree: &Path, size: u64, image: &Path) -> Result<()> {
    let mut make = host::command("mke2fs");
    // GRUB reads block by block: large ones are faster.
    make.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-d"]).arg(tree);
    host::run(make.arg(image).arg(format!("{size}M"))).map(drop)
}

fn xfs(tree: &Path, size: u64, image: &Path) -> Result<()> {
    let prototype = image.with_extension("prototype");
    fs::write(&prototype, format!("/\n0 0\nd--755 0 0\n{}$\n", listing(tree)?))?;
    File::create(image)?.set_len(size << 20)?;
    let mut make = host::command("mkfs.xfs");
    host::run(make.args(["-q", "-f", "-p"]).arg(prototype).arg(image)).map(drop)
}

/// The files of a tree, as a prototype for `mkfs.xfs` names them.
fn listing(tree: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(tree)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            writeln!(text, "{name} d--755 0 0\n{}$", listing(&path)?)?;
        } else {
            writeln!(text, "{name} ---644 0 0 {}", path.display())?;
        }
    }
    Ok(text)
}

fn btrfs(tree: &Path, size: u64, image: &Path) -> Result<()> {
    File::create(image)?.set_len(size << 20)?;
    let mut make = host::command("mkfs.btrfs");
    host::run(make.args(["-q", "-f", "--rootdir"]).arg(tree).arg(image)).map(drop)
}

fn fat(tree: &Path, size: u64, image: &Path) -> Result<()> {
    File::create(image)?.set_len(size << 20)?;
    // The firmware's is small, GRUB reads the larger one cluster by cluster.
    let sectors = if size > 256 { "8" } else { "1" };
    let mut make = host::command("mkfs.vfat");
    make.args(["-F", "32", "-s", sectors, "-i", &ESP_ID.replace('-', "")]);
    host::run(make.arg(image))?;
    let mut copy = host::command("mcopy");
    copy.arg("-s").arg("-i").arg(image);
    for entry in fs::read_dir(tree)? {
        copy.arg(entry?.path());
    }
    host::run(copy.arg("::/")).map(drop)
}

/// Copies an image onto a disk, so many MiB from its beginning.
fn put(image: &Path, disk: &Disk, at: u64) -> Result<()> {
    let mut dd = host::command("dd");
    dd.args(["bs=1M", "conv=notrunc,sparse", "status=none", &format!("seek={at}")]);
    dd.arg(format!("if={}", image.display())).arg(format!("of={}", disk.path().display()));
    host::run(&mut dd).map(drop)
}

/// Puts GRUB into the sectors before the first partition.
fn boot_loader(place: Place, disk: &Disk, dir: &Path) -> Result<()> {
    /// Behind it are the disk's signature and the partition table.
    const CODE: usize = 440;
    const SECTOR: u64 = 512;
    let image = dir.join("core.img");
    let prefix = format!("({}){}/grub", place.device("hd0"), place.boot());
    let mut make = host::command("grub-mkimage");
    make.args(["-O", "i386-pc", "-p", &prefix, "-o"]).arg(&image);
    host::run(make.args(["biosdisk", "part_msdos"]).args(place.drivers()))?;
    let core = fs::read(&image)?;
    ensure!((core.len() as u64) < (FIRST << 20) - SECTOR, "GRUB does not fit before a partition");
    let first =
        fs::read("/usr/lib/grub/i386-pc/boot.img").context("apt-get install grub-pc-bin")?;
    let file = File::options().write(true).open(disk.path())?;
    file.write_all_at(first.get(..CODE).context("boot.img is short")?, 0)?;
    file.write_all_at(&core, SECTOR)?;
    Ok(())
}

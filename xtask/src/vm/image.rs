//! The machine's disk, ready to boot from GRUB: built once per recipe, then taken from a cache.
//!
//! The cache is `$DEPLOY_VFIO_VM_CACHE`, else `~/.cache/deploy-vfio/vm`; it may be deleted at any time.
//! A disk appears in it with one rename, so a half-built one is never used.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::disk::Disk;
use super::guest::Guest;
use super::host;
use super::qemu::Direct;
use super::recipe;
use super::topology::Machine;
use super::transcript::Transcript;

/// The disk that scenarios start from; with `again` it is built even if there is one.
pub fn ready(release: &str, again: bool) -> Result<Disk> {
    let cache = cache()?;
    let home = cache.join(recipe::key(release));
    let disk = home.join("disk.raw");
    if disk.exists() && !again {
        return Ok(Disk::at(disk));
    }
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let work = cache.join(format!("{}.new-{}", recipe::key(release), std::process::id()));
    fs::create_dir(&work)?;
    if let Err(error) = build(release, &work) {
        let _ = fs::remove_dir_all(work.join("root"));
        let _ = fs::remove_file(work.join("disk.raw"));
        return Err(error.context(format!("building the disk; its logs are in {}", work.display())));
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::rename(&work, &home)?;
    Ok(Disk::at(disk))
}

/// The directory that keeps what takes minutes to make.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(path) = env::var_os("DEPLOY_VFIO_VM_CACHE") {
        return Ok(path.into());
    }
    let home = env::home_dir().context("neither HOME nor DEPLOY_VFIO_VM_CACHE is set")?;
    Ok(home.join(".cache/deploy-vfio/vm"))
}

fn build(release: &str, work: &Path) -> Result<()> {
    let start = Instant::now();
    let tell = |what: &str| eprintln!("vm: {:5.0} s  {what}", start.elapsed().as_secs_f32());
    let root = work.join("root");
    tell(&format!("unpacking Debian {release}"));
    recipe::cook(release, &root)?;
    tell("formatting the disk");
    let disk = Disk::format(work.join("disk.raw"), recipe::SIZE, &root, recipe::UUID)?;
    tell("installing the boot loader in a first boot");
    install_boot_loader(work, &root, disk)?;
    fs::remove_dir_all(&root)?;
    tell("the disk is ready");
    Ok(())
}

/// Boots the kernel directly, once, and lets the guest install GRUB and make its own initrd.
fn install_boot_loader(work: &Path, root: &Path, disk: Disk) -> Result<()> {
    let cmdline = format!("root=UUID={} ro quiet {}", recipe::UUID, recipe::CMDLINE);
    let boot = root.join("boot");
    let (kernel, initrd) = (host::only(&boot, "vmlinuz-")?, host::only(&boot, "initrd.img-")?);
    let direct = Direct { kernel: &kernel, initrd: &initrd, cmdline: &cmdline };
    let transcript = Transcript::create(work, "image", false)?;
    let mut guest = Guest::boot(&Machine::a(), disk, transcript, Some(&direct))?;
    guest.ok("grub-install /dev/vda")?;
    guest.ok("update-initramfs -u -k all")?;
    guest.ok("update-grub")?;
    guest.power_off()?;
    Ok(())
}

//! The boot menu on a FAT file system, whose kernel driver has no journal and no flags: an apply and an
//! undo on a disk that keeps every write.
//!
//! The disk is made anew as it was after each write, and with some writes lost that no flush had confirmed.
//! GRUB's own reader must find the menu and the initial RAM file system as they were before or after, and
//! the new ones once the program had said that it is done.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::faults::blocks::disk::copy;
use crate::faults::blocks::read;
use crate::faults::blocks::writes::Writes;
use crate::faults::harness::Dice;
use crate::vm::facts::difference;
use crate::vm::host;
use crate::vm::rig::Rig;
use crate::vm::topology::Machine;

const SIZE: u64 = 160 << 20;
/// Every so many writes some unconfirmed ones are lost, too.
const LOST_EVERY: usize = 4;

/// What happens to the disk, and how many writes had been made when it was over.
struct Act {
    what: &'static str,
    begins: usize,
    acknowledged: usize,
}

/// An apply and an undo with `/boot` on a recorded FAT disk; then every disk that the power could leave.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let image = rig.file("fat.raw");
    let (log, before) = (image.with_extension("log"), image.with_extension("before"));
    File::create(&image)?.set_len(SIZE)?;
    File::create(&log)?.set_len(4 << 30)?;
    host::run(host::command("mkfs.vfat").args(["-F", "32"]).arg(&image))
        .context("apt-get install dosfstools")?;
    copy(&image, &before)?;

    let mut a = rig.boot(&Machine::a().with_recorded_disk(&image, &log))?;
    a.ok(
        "mount -t vfat /dev/disk/by-id/virtio-more0 /mnt && cp -rL /boot/. /mnt && umount /mnt && \
          mount -t vfat /dev/disk/by-id/virtio-more0 /boot && update-grub && sync",
    )?;
    let release = a.ok("uname -r")?;
    let etc = a.etc_fingerprint()?;
    let mut acts = Vec::new();
    for (what, command) in [("apply", "multiboot last"), ("undo", "undo")] {
        let begins = Writes::read(&log)?.len();
        a.ok(&format!("deploy-vfio {command} --yes"))?;
        acts.push(Act { what, begins, acknowledged: Writes::read(&log)?.len() });
    }
    a.ok("test -z \"$(find /boot -name '.*.dv-*')\" && umount /boot")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.note("# every disk that the power could leave");
    a.power_off()?;

    let writes = Writes::read(&log)?;
    let paths = ["grub/grub.cfg".to_owned(), format!("initrd.img-{}", release.trim())];
    let mut states = 0;
    for (at, act) in acts.iter().enumerate() {
        let ends = acts.get(at + 1).map_or(writes.len(), |next| next.begins);
        states += judge(&writes, act, ends, &before, &paths)
            .with_context(|| format!("{} on FAT", act.what))?;
    }
    println!("vm: fat: {} writes, {states} disks", writes.len());
    [image, log, before].iter().try_for_each(fs::remove_file)?;
    Ok(())
}

/// Looks at every disk of one act; how many there were.
fn judge(
    writes: &Writes,
    act: &Act,
    ends: usize,
    before: &Path,
    paths: &[String],
) -> Result<usize> {
    let (disk, torn) = (before.with_extension("disk"), before.with_extension("torn"));
    copy(before, &disk)?;
    writes.replay(ends, &[], &disk)?;
    let new = sums(&disk, paths)?;
    copy(before, &disk)?;
    writes.replay(act.begins, &[], &disk)?;
    let old = sums(&disk, paths)?;
    ensure!(old.iter().zip(&new).all(|(old, new)| old != new), "nothing changed");
    let mut dice = Dice(7);
    let mut states = 0;
    for at in act.begins..=ends {
        if at > act.begins {
            writes.replay_some(at - 1..at, &[], &disk)?;
        }
        let confirmed = at >= act.acknowledged;
        fits(&old, &new, &sums(&disk, paths)?, confirmed)
            .with_context(|| format!("after write {at}"))?;
        states += 1;
        let lost: BTreeSet<usize> =
            writes.unconfirmed(at).filter(|&n| n >= act.begins && dice.below(2) == 0).collect();
        if at % LOST_EVERY == 0 && !lost.is_empty() {
            copy(before, &torn)?;
            writes.replay(at, &lost.iter().copied().collect::<Vec<_>>(), &torn)?;
            fits(&old, &new, &sums(&torn, paths)?, false)
                .with_context(|| format!("after write {at} without {lost:?}"))?;
            states += 1;
        }
    }
    let _ = fs::remove_file(&torn);
    fs::remove_file(&disk)?;
    Ok(states)
}

/// Each file is the old or the new one; all are new once that was promised.
fn fits(old: &[u64], new: &[u64], now: &[u64], confirmed: bool) -> Result<()> {
    for (n, now) in now.iter().enumerate() {
        ensure!(*now == old[n] || *now == new[n], "file {n} is neither old nor new");
        ensure!(!confirmed || *now == new[n], "it was done, and file {n} is the old one");
    }
    Ok(())
}

fn sums(disk: &Path, paths: &[String]) -> Result<Vec<u64>> {
    let sum = |path: &String| {
        let mut hasher = DefaultHasher::new();
        read(disk, path)?.hash(&mut hasher);
        Ok(hasher.finish())
    };
    paths.iter().map(sum).collect()
}

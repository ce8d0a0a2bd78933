//! A machine that does not boot any more is brought back from a second system.

use std::fs;

use anyhow::{Result, ensure};

use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::recipe;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// Waits in the middle of an update of the menu, on the machine itself only.
const WAITS: &str = "#!/bin/sh\n[ -e /run/wait ] || exit 0\n: >/run/reached\nsleep 900\n";

/// The same disk twice: mended by `undo --root`, and by the script that needs nothing of ours.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.write("/etc/grub.d/42_waits", "0755", WAITS)?;
    let etc = a.etc_fingerprint()?;
    let broken = break_it(a)?;
    let copy = rig.branch(&broken, "copy")?;

    let machine = Machine::a().with_disk(broken.path()).with_disk(copy.path());
    let mut second = rig.boot_disk(&machine, second_system(rig)?)?;
    for n in 0..2 {
        second.ok(&format!(
            "mkdir /mnt/{n} && mount /dev/disk/by-id/virtio-more{n}-part1 /mnt/{n} && \
             test ! -s /mnt/{n}/boot/grub/grub.cfg"
        ))?;
    }
    let said = second.fails("deploy-vfio status --root /mnt/0", 1)?;
    ensure!(said.contains("recover"), "status does not say what to do:\n{said}");
    second.ok("deploy-vfio undo --all --root /mnt/0 --yes")?;
    second.ok("sh /mnt/1/var/lib/deploy-vfio/rescue.sh /mnt/1")?;
    second.ok("! grep -E ' /mnt/[01]/' /proc/mounts && umount /mnt/0 /mnt/1")?;
    second.power_off()?;

    let mut a = rig.boot_disk(&Machine::a(), broken)?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.ok("deploy-vfio status && ! grep vfio /boot/grub/grub.cfg")?;
    a.power_off()?;

    let mut a = rig.boot_disk(&Machine::a(), copy)?;
    let (now, etc) = (files(a.etc_fingerprint()?), files(etc));
    ensure!(now == etc, "the script left /etc different:\n{}", difference(&etc, &now));
    a.ok("! grep vfio /boot/grub/grub.cfg")?;
    a.ok("deploy-vfio undo --all --restore --yes && deploy-vfio status")?;
    a.power_off()?;
    Ok(())
}

/// Cuts the power while the menu is made, with the menu and every initial RAM file system empty.
fn break_it(mut a: Guest) -> Result<crate::vm::disk::Disk> {
    a.ok("deploy-vfio multiboot last --yes")?;
    a.ok("touch /run/wait; (deploy-vfio hugepages 2M 64 --yes >/root/log 2>&1 </dev/null &)")?;
    let reached = "for i in $(seq 600); do test -e /run/reached && exit 0; sleep 1; done; cat /root/log; exit 1";
    a.ok(&format!("bash -c '{reached}'"))?;
    a.ok("for f in /boot/grub/grub.cfg /boot/initrd.img-*; do : >$f; done; sync")?;
    a.cut_power()
}

/// A system of its own on a disk like the others: it takes its root by name and not by UUID.
fn second_system(rig: &Rig<'_>) -> Result<crate::vm::disk::Disk> {
    let disk = rig.fresh_disk("second")?;
    let fstab = disk.path().with_extension("fstab");
    fs::write(&fstab, "/dev/vda1 / ext4 errors=remount-ro 0 1\n")?;
    disk.put(&fstab, "/etc/fstab")?;
    let menu = disk.path().with_extension("menu");
    let line = format!("root=/dev/vda1 ro {}", recipe::CMDLINE);
    fs::write(
        &menu,
        format!(
            "set timeout=0\nmenuentry second {{\n\tlinux /vmlinuz {line}\n\tinitrd /initrd.img\n}}\n"
        ),
    )?;
    disk.put(&menu, "/boot/grub/grub.cfg")?;
    Ok(disk)
}

/// The script restores files, not the times of directories.
fn files(
    prints: std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    prints.into_iter().filter(|(_, print)| !print.starts_with('d')).collect()
}

/// How often the power goes in a run that CI has time for, and in a whole one.
const CUTS: (usize, usize) = (3, 25);

/// The power goes at some moment of an apply or an undo; the machine boots, and is whole.
pub fn cuts(rig: &mut Rig<'_>) -> Result<()> {
    cut(rig, CUTS.0)
}

/// The same more often.
pub fn many_cuts(rig: &mut Rig<'_>) -> Result<()> {
    cut(rig, CUTS.1)
}

fn cut(rig: &mut Rig<'_>, times: usize) -> Result<()> {
    const APPLY: &str = "deploy-vfio multiboot last --yes";
    const UNDO: &str = "deploy-vfio undo --all --yes";
    let mut a = rig.boot(&Machine::a())?;
    let plain = a.etc_fingerprint()?;
    let start = std::time::Instant::now();
    a.ok(APPLY)?;
    let lasts = start.elapsed().as_secs_f64();
    let deployed = files(a.etc_fingerprint()?);
    let mut chance: u64 = 20_261_122;
    for n in 0..times {
        // A linear congruence is chance enough, and the same every time.
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "a moment, not a number")]
        let moment = (chance >> 11) as f64 / (1_u64 << 53) as f64 * lasts;
        let applied = a.run("test -e /etc/grub.d/45_deploy-vfio")?.code == 0;
        let command = if applied { UNDO } else { APPLY };
        a.note(&format!("# cut {n}: {moment:.1} s into `{command}`"));
        a.ok(&format!("({command} >/root/log 2>&1 </dev/null &)"))?;
        std::thread::sleep(std::time::Duration::from_secs_f64(moment));
        let disk = a.cut_power()?;
        a = rig.boot_disk(&Machine::a(), disk)?;
        a.ok("deploy-vfio recover --yes")?;
        let now = a.etc_fingerprint()?;
        if now != plain {
            let now = dateless(files(now));
            let deployed = dateless(deployed.clone());
            ensure!(now == deployed, "neither before nor after:\n{}", difference(&deployed, &now));
        }
        // The entry that runs may have been taken back meanwhile: no word about `status`.
        a.ok("deploy-vfio verify && grub-script-check /boot/grub/grub.cfg")?;
        let card = a.address(Card::BootVga)?;
        ensure!(!a.driver_of(&card)?.is_empty(), "the first card has no driver");
    }
    a.ok(UNDO)?;
    let now = a.etc_fingerprint()?;
    ensure!(now == plain, "undo left /etc different:\n{}", difference(&plain, &now));
    a.power_off()?;
    Ok(())
}

/// What is written anew has the time of its run.
fn dateless(
    prints: std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    let dateless = |print: String| {
        let words: Vec<&str> = print.split(' ').collect();
        words
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != 3)
            .map(|(_, w)| *w)
            .collect::<Vec<_>>()
            .join(" ")
    };
    prints.into_iter().map(|(path, print)| (path, dateless(print))).collect()
}

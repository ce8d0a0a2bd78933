//! An entry on trial: one that proves itself becomes the default; after one that does not, the machine
//! runs the earlier default by itself and tells the story.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::checks::{drivers, entry_of};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// How long a boot that fails takes to show that it does.
const SHOWS: Duration = Duration::from_secs(600);
/// Cards and the rest of the menu's selection.
const TRY: &str = "deploy-vfio multiboot first --trial --yes";

/// The last entry proves itself; the first one, tried afterwards, panics.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    proves_and_panics(&mut a)?;
    a.power_off()?;
    Ok(())
}

/// The same on this machine, which goes on running.
pub fn proves_and_panics(a: &mut Guest) -> Result<()> {
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio multiboot last --trial --yes")?;
    says(a, 0, "is tried at the next boot")?;
    let last = entry_of(a, Card::SecondVga)?;

    a.reboot()?;
    ensure!(a.cmdline()?.contains("deploy_vfio.trial=1"), "the trial was not taken");
    drivers(a, Some(Card::SecondVga), &[Card::BootVga])?;
    judged(a)?;
    a.ok("! test -e /etc/deploy-vfio/trial.toml")?;
    a.reboot()?;
    default(a, &last)?;
    drivers(a, Some(Card::SecondVga), &[Card::BootVga])?;
    a.ok("deploy-vfio status")?;

    // Its init is none: the kernel panics, and starts the machine anew by itself.
    spoil(a, "init=/bin/false")?;
    a.reboot_until("Kernel panic", SHOWS)?;
    a.come_back_by_itself()?;
    default(a, &last)?;
    says(a, 1, "it came to no verdict")?;
    a.ok("grep -q 'came to no verdict' /run/motd.d/deploy-vfio")?;
    // The entry on trial is as this scenario edited it.
    a.ok("deploy-vfio undo --all --restore --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.ok("! grub-editenv list | grep dv_ && ! cat /boot/efi/EFI/*.grubenv | grep dv_")?;
    Ok(())
}

/// A trial that hangs before anything of the system runs, one whose card for the host is dead, one
/// without its disk: each is followed by the normal entry.
pub fn others(rig: &mut Rig<'_>) -> Result<()> {
    let a = rig.boot(&Machine::a())?;
    let mut a =
        failing(rig, a, "rdinit=/usr/bin/cat ignore_loglevel", "Run /usr/bin/cat as init", false)?;
    says(&mut a, 1, "it came to no verdict")?;
    normal(&mut a)?;

    let mut a = failing(rig, a, "root=/dev/nowhere", "/dev/nowhere does not exist", true)?;
    says(&mut a, 1, "it came to no verdict")?;
    normal(&mut a)?;

    spoil(&mut a, "modprobe.blacklist=bochs")?;
    a.reboot()?;
    let card = a.address(Card::BootVga)?;
    judged(&mut a)?;
    a.ok("test -e /etc/deploy-vfio/trial.toml && test -e /var/lib/deploy-vfio/trial")?;
    a.reboot()?;
    says(&mut a, 1, &format!("the host's card {card} has no driver"))?;
    normal(&mut a)?;
    a.power_off()?;
    Ok(())
}

/// A setup without a menu proves itself as an entry more, and is in the normal entry from then on.
pub fn fixed(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio static grub --trial --yes")?;
    says(&mut a, 0, "is tried at the next boot")?;
    a.reboot()?;
    ensure!(a.cmdline()?.contains("deploy_vfio.trial=1"), "the trial was not taken");
    drivers(&mut a, Some(Card::BootVga), &[Card::SecondVga])?;
    judged(&mut a)?;
    a.ok("! test -e /etc/grub.d/45_deploy-vfio")?;
    a.reboot()?;
    let line = a.cmdline()?;
    ensure!(line.contains("deploy_vfio.bind="), "the normal entry started with {line}");
    ensure!(!line.contains("deploy_vfio.trial"), "started with {line}");
    drivers(&mut a, Some(Card::BootVga), &[Card::SecondVga])?;
    a.ok("deploy-vfio status && deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.power_off()?;
    Ok(())
}

/// Puts the first entry on trial, with more words for its kernel.
fn spoil(a: &mut Guest, words: &str) -> Result<()> {
    a.ok(TRY)?;
    a.ok(&format!(
        "sed -i 's,^arguments=.*,& {words},' /etc/deploy-vfio/entries.d/deploy-vfio-trial.conf && \
         update-grub && cat /boot/grub/grubenv /boot/efi/EFI/*.grubenv | grep dv_next=deploy-vfio-trial"
    ))?;
    Ok(())
}

/// A trial with more words for its kernel shows `mark` on the console. Then the machine starts anew,
/// by itself or because somebody cuts its power, and comes up.
fn failing(
    rig: &mut Rig<'_>,
    mut a: Guest,
    words: &str,
    mark: &str,
    by_itself: bool,
) -> Result<Guest> {
    spoil(&mut a, words)?;
    a.reboot_until(mark, SHOWS)?;
    if by_itself {
        a.come_back_by_itself()?;
        return Ok(a);
    }
    let disk = a.cut_power()?;
    rig.boot_disk(&Machine::a(), disk)
}

/// This boot is one of the default entry, which is not on trial.
fn default(a: &mut Guest, id: &str) -> Result<()> {
    let line = a.cmdline()?;
    ensure!(line.contains(&format!("deploy_vfio.entry={id}")), "started with {line}");
    ensure!(!line.contains("deploy_vfio.trial"), "started with {line}");
    Ok(())
}

/// This boot is one of the normal entry.
fn normal(a: &mut Guest) -> Result<()> {
    let line = a.cmdline()?;
    ensure!(!line.contains("deploy_vfio."), "started with {line}");
    Ok(())
}

fn says(a: &mut Guest, code: i32, text: &str) -> Result<()> {
    let said = a.fails("deploy-vfio status", code)?;
    ensure!(said.contains(text), "status does not say `{text}`:\n{said}");
    Ok(())
}

/// Waits for the judge's end.
fn judged(a: &mut Guest) -> Result<()> {
    let unit = "deploy-vfio-trial.service";
    let wait =
        "for i in $(seq 300); do systemctl is-active -q UNIT || exit 0; sleep 2; done; exit 1";
    let end = a.run(&format!("bash -c '{}'", wait.replace("UNIT", unit)))?;
    let journal = a.ok(&format!("journalctl --boot --no-pager -u {unit}"))?;
    ensure!(end.code == 0, "the judge comes to no end:\n{journal}");
    Ok(())
}

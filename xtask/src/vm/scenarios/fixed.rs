//! Setups without a menu, in the original's command line: CPUs, huge pages and `--static grub` in one
//! operation and then off, then `--static file`, each booted and taken back.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::checks::{VFIO, drivers, status_says, untouched, works};
use crate::vm::facts::{Entry, difference};
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// What every line here asks for besides devices.
const REST: &str = "--hugepages 2M 256 --cpu --yes";

/// What a machine is before a setup, and must be after its undo.
struct Before {
    etc: BTreeMap<String, String>,
    menu: Vec<Entry>,
}

/// Parameters, undo, files, undo.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut machine = Machine::a();
    machine.threads = 2;
    let mut a = rig.boot(&machine)?;
    // Drivers in the image: udev's cold plug loads them before the list of modules is.
    a.write(
        "/etc/initramfs-tools/hooks/early",
        "0755",
        "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\n. /usr/share/initramfs-tools/hook-functions\n\
         manual_add_modules nvme snd_hda_intel\n",
    )?;
    let before = Before { etc: a.etc_fingerprint()?, menu: a.grub_menu()? };
    by_parameters(&mut a)?;
    taken_back(&mut a, "deploy-vfio undo --all --yes", &before)?;
    by_files(&mut a)?;
    taken_back(&mut a, "deploy-vfio -u --yes", &before)?;
    a.power_off()?;
    Ok(())
}

/// The firmware's card stays, all else that may go is bound; the recovery entries know nothing of it.
fn by_parameters(a: &mut Guest) -> Result<()> {
    let card = group(a, Card::SecondVga)?;
    let line = format!("deploy-vfio --quiet --parse no-vga,{card} --static grub {REST}");
    a.ok(&line)?;
    let again = a.ok(&line.replace("--quiet ", ""))?;
    ensure!(again.contains("Nothing to do."), "the second run: {again}");
    a.ok("deploy-vfio verify")?;
    let menu = a.grub_menu()?;
    let mut recovery = menu.iter().filter(|entry| entry.id.contains("-recovery-")).peekable();
    ensure!(recovery.peek().is_some(), "there is no recovery entry: {menu:?}");
    for entry in recovery {
        ensure!(!entry.linux.contains("vfio"), "{} would bind: {}", entry.id, entry.linux);
    }
    a.reboot()?;
    let guests = [Card::SecondVga, Card::Nic(1), Card::Nvme(0), Card::Audio(0)];
    drivers(a, Some(Card::BootVga), &guests)?;
    status_says(a, "started with the setup of `deploy-vfio static`")?;
    in_force(a)?;
    // An operation of its own, of which the way back takes both.
    a.ok("deploy-vfio static off --yes")?;
    a.ok("deploy-vfio verify").map(|_| ())
}

/// A disk and sound are bound by id, although their drivers are in the image too.
fn by_files(a: &mut Guest) -> Result<()> {
    let said = a.fails("deploy-vfio static file --yes", 6)?;
    ensure!(said.contains("cannot tell") && said.contains("1234:1111"), "twins: {said}");
    let network = group(a, Card::Nic(1))?;
    let said = a.fails(&format!("deploy-vfio static file --parse {network} --yes"), 6)?;
    ensure!(said.contains("cannot tell"), "the NIC's twin has the default route: {said}");

    let groups = format!("{},{}", group(a, Card::Nvme(0))?, group(a, Card::Audio(0))?);
    a.ok(&format!("deploy-vfio --quiet --parse {groups} --static file {REST}"))?;
    a.ok("deploy-vfio verify")?;
    let initrd = a.initrd_list()?;
    for file in ["etc/modprobe.d/deploy-vfio.conf", "vfio-pci.ko", "nvme.ko", "snd-hda-intel.ko"] {
        ensure!(initrd.iter().any(|path| path.contains(file)), "no {file} in the initrd");
    }
    ensure!(!initrd.iter().any(|path| path.contains("init-top/deploy-vfio")), "{initrd:?}");
    a.reboot()?;
    drivers(a, Some(Card::BootVga), &[Card::Nvme(0), Card::Audio(0)])?;
    status_says(a, "waits for guests")?;
    in_force(a)?;
    a.ok("! systemctl is-failed --quiet systemd-modules-load")?;
    Ok(())
}

/// The second of two cores is kept for guests, the pages are there, and the machine works.
fn in_force(a: &mut Guest) -> Result<()> {
    for list in ["isolated", "nohz_full"] {
        let cpus = a.ok(&format!("cat /sys/devices/system/cpu/{list}"))?;
        ensure!(cpus == "2-3", "{list}: {cpus}");
    }
    a.ok("grep -q 'HugePages_Total: *256$' /proc/meminfo")?;
    status_says(a, "256 of 256 huge pages")?;
    works(a)
}

/// The number of a card's IOMMU group.
fn group(a: &mut Guest, card: Card) -> Result<String> {
    let address = a.address(card)?;
    a.ok(&format!("basename \"$(readlink /sys/bus/pci/devices/{address}/iommu_group)\""))
}

/// This undo, and the next boot is as if nothing had been.
fn taken_back(a: &mut Guest, undo: &str, before: &Before) -> Result<()> {
    a.ok(undo)?;
    a.reboot()?;
    untouched(a)?;
    let isolated = a.ok("cat /sys/devices/system/cpu/isolated")?;
    ensure!(isolated.is_empty(), "still isolated: {isolated}");
    a.ok("grep -q 'HugePages_Total: *0$' /proc/meminfo")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == before.etc, "undo left /etc different:\n{}", difference(&before.etc, &now));
    ensure!(a.grub_menu()? == before.menu, "undo left the menu different");
    let initrd = a.initrd_list()?;
    let ours = |path: &String| path.contains("deploy-vfio") || path.contains(VFIO);
    ensure!(!initrd.iter().any(ours), "{initrd:?}");
    status_says(a, "nothing is deployed")?;
    Ok(())
}

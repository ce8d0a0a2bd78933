//! Every feature in one operation: all devices that nothing on the host needs, huge pages and CPUs in the
//! entries, and all that comes after the setup.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::checks::{drivers, network, status_says, works};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

const REST: [Card; 4] = [Card::BootVga, Card::Nic(1), Card::Nvme(0), Card::Audio(0)];

/// Everything at once; the user is whom sudo names.
const ALL: &str = "SUDO_UID=$(id -u anna) deploy-vfio --yes --parse all --multiboot last \
                   --hugepages 2M 256 --cpu --evdev --zram-swap 1/4 --auto-xorg --libvirt-hooks \
                   --dynamic --audio-loopback --looking-glass --scream";
/// Where features write.
const PLACES: [&str; 3] = ["/etc", "/usr/local", "/home"];

/// Deployed, booted, taken back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("useradd --create-home anna")?;
    network(&mut a)?;
    let before = places(&mut a)?;
    a.ok(ALL)?;
    let again = a.ok(ALL)?;
    ensure!(again.contains("Nothing to do."), "the second time: {again}");
    for entry in a.grub_menu()?.iter().filter(|entry| !entry.linux.is_empty()) {
        let ours = entry.id.starts_with("deploy-vfio-");
        for words in ["hugepagesz=2M hugepages=256", "isolcpus=2-3 nohz_full=2-3"] {
            let has = entry.linux.contains(words);
            ensure!(ours == has, "`{words}` in `{}`: {has}", entry.id);
        }
    }
    a.reboot()?;
    drivers(&mut a, Some(Card::SecondVga), &REST)?;
    works(&mut a)?;
    status_says(&mut a, "256 of 256 huge pages")?;
    a.ok("grep -q 'HugePages_Total: *256$' /proc/meminfo")?;
    a.ok("test $(cat /sys/devices/system/cpu/isolated) = 2-3")?;
    a.ok("swapon --show=NAME --noheadings | grep -q zram")?;
    a.ok("test -f /dev/shm/looking-glass && test -f /dev/shm/scream-ivshmem")?;
    let bus = a.ok("grep -h BusID /run/deploy-vfio/xorg.conf")?;
    ensure!(bus.contains("PCI:2@0:0:0"), "Xorg is given {bus}");
    a.ok("deploy-vfio undo --yes")?;
    let after = places(&mut a)?;
    for ((place, before), after) in PLACES.iter().zip(&before).zip(&after) {
        ensure!(after == before, "undo left {place} different:\n{}", difference(before, after));
    }
    a.power_off()?;
    Ok(())
}

/// What stands below each place.
fn places(a: &mut Guest) -> Result<Vec<BTreeMap<String, String>>> {
    PLACES.iter().map(|place| a.fingerprint(place)).collect()
}

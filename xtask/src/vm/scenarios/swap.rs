//! Swap to compressed memory, as a unit of ours makes it and as systemd-zram-generator does.

use anyhow::{Context, Result, ensure};

use super::checks::{status_says, works};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::Machine;

/// Ours, used to its limit, gone; then the generator's, and all taken back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut machine = Machine::a();
    machine.memory = 3072;
    let mut a = rig.boot(&machine)?;
    a.ok("deploy-vfio zram-swap force 1/4 --yes")?;
    none(&mut a)?;
    a.fails("deploy-vfio status", 1)?;
    a.reboot()?;
    in_use(&mut a)?;
    used_up(&mut a)?;

    a.ok("deploy-vfio zram-swap off --yes")?;
    a.ok("! find /etc /usr/local/lib -name '*zram*' | grep .")?;
    a.reboot()?;
    none(&mut a)?;

    a.ok("dpkg --install /root/systemd-zram-generator_*.deb")?;
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio zram-swap force 1/4 --yes")?;
    a.ok("! test -e /etc/deploy-vfio/zram-swap")?;
    a.reboot()?;
    in_use(&mut a)?;
    a.ok("systemctl is-active systemd-zram-setup@zram0.service")?;
    let again = a.ok("deploy-vfio zram-swap 1/4 --yes --dry-run")?;
    ensure!(!again.contains("in use already"), "its own swap is somebody else's: {again}");
    a.ok("deploy-vfio undo --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.power_off()?;
    Ok(())
}

/// No zram device is swapped to.
fn none(a: &mut Guest) -> Result<()> {
    a.ok("! grep zram /proc/swaps").map(|_| ())
}

/// A quarter of the memory at most holds twice as much swap, above all other swap, by lz4.
fn in_use(a: &mut Guest) -> Result<()> {
    let device = a.ok("swapon --noheadings --show=NAME")?;
    let name = device.strip_prefix("/dev/").context("no device is swapped to")?.to_owned();
    let number = |text: String| text.trim().parse::<u64>().context("not a number");
    let total = number(a.ok("awk '/^MemTotal/ { print $2 }' /proc/meminfo")?)?;
    let size = number(a.ok(&format!("cat /sys/block/{name}/size"))?)? / 2;
    let limit = number(a.ok(&format!("awk '{{ print $4 }}' /sys/block/{name}/mm_stat"))?)? / 1024;
    let close = |is: u64, wanted: u64| is.abs_diff(wanted) <= 2048;
    ensure!(close(limit, total / 4), "the limit is {limit} KiB of {total}");
    ensure!(close(size, total / 2), "the size is {size} KiB of {total}");
    let shown = a.ok("swapon --show && zramctl")?;
    ensure!(shown.contains("lz4"), "{shown}");
    ensure!(a.ok("swapon --noheadings --show=PRIO")?.trim() == "100", "{shown}");
    let how = a.ok("cat /proc/sys/vm/swappiness /proc/sys/vm/page-cluster")?;
    ensure!(how == "180\n0", "swappiness and page-cluster are {how}");
    status_says(a, "of compressed swap are in use")
}

/// Pages that do not compress (each of them random, though they repeat), more than the limit, in a
/// process that may keep little of it in memory: the device stops at its limit, and nobody else has
/// anything of it.
fn used_up(a: &mut Guest) -> Result<()> {
    a.ok("head -c 16M /dev/urandom >/run/pages")?;
    let hog = "while cat /run/pages; do :; done | head -c 1300M | tail -c 1300M >/dev/null";
    let limits = "-p MemoryMax=100M -p MemorySwapMax=infinity -p OOMPolicy=kill";
    a.ok(&format!("systemd-run --quiet --unit=hog {limits} sh -c \"{hog}\""))?;
    let most = "awk '{ exit $5 * 10 < $4 * 9 }' /sys/block/zram*/mm_stat";
    a.ok(&format!("for i in $(seq 600); do {most} && exit 0; sleep 1; done; exit 1"))?;
    a.ok("! awk '{ exit $5 * 10 < $4 * 11 }' /sys/block/zram*/mm_stat")?;
    works(a)?;
    a.ok("systemctl kill --signal=KILL hog || true; rm /run/pages")?;
    let failed = "systemctl --failed --plain --no-legend | grep -v ^hog";
    a.ok(&format!("! {failed}")).map(|_| ())
}

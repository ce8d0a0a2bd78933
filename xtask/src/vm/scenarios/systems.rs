//! Other systems: the same proof on other releases, layouts of the disk, firmware and IOMMUs.

use std::path::Path;

use anyhow::{Result, ensure};

use super::checks::{drivers, untouched};
use super::trial;
use crate::vm::disk::Disk;
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// A partition for `/boot` and one for the rest.
const BIOS: &str = "label: dos\nstart=2048, size=1048576, type=83, bootable\ntype=83\n";
/// The firmware's partition and one for the rest.
const UEFI: &str = "label: gpt\nsize=262144, type=U\ntype=L\n";

/// Firmware for machines without a BIOS.
const OVMF: &str = "/usr/share/ovmf/OVMF.fd";

/// The main job: every byte of it comes back, and so do the devices.
fn proves(mut a: Guest) -> Result<Disk> {
    there_and_back(&mut a)?;
    untouched(&mut a)?;
    a.power_off()
}

fn there_and_back(a: &mut Guest) -> Result<()> {
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio multiboot last --yes")?;
    a.ok("deploy-vfio verify")?;
    a.reboot()?;
    drivers(a, Some(Card::SecondVga), &[Card::BootVga])?;
    a.ok("deploy-vfio status")?;
    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.reboot()
}

/// As the release comes, on one ext4 partition.
pub fn plain(rig: &mut Rig<'_>) -> Result<()> {
    let a = rig.boot(&Machine::a())?;
    proves(a).map(drop)
}

/// On a machine of AMD's. QEMU 7.2 loses what devices write through its translation, so the host's own
/// go past it, as `iommu=pt` says.
pub fn amd(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("sed -i 's/mitigations=off/& iommu=pt/' /etc/default/grub && update-grub")?;
    let disk = a.power_off()?;
    let mut machine = Machine::a();
    machine.iommu = Some("amd-iommu,intremap=on");
    let mut a = rig.boot_disk(&machine, disk)?;
    a.ok("ls /sys/class/iommu | grep -q '^ivhd'")?;
    there_and_back(&mut a)?;
    drivers(&mut a, Some(Card::BootVga), &[])?;
    drivers(&mut a, Some(Card::SecondVga), &[])?;
    a.power_off().map(drop)
}

/// Without an IOMMU there is nothing to hand over, and nothing is changed.
pub fn no_iommu(rig: &mut Rig<'_>) -> Result<()> {
    let mut machine = Machine::a();
    machine.iommu = None;
    let mut a = rig.boot(&machine)?;
    let etc = a.etc_fingerprint()?;
    for command in ["multiboot last", "static grub", "static file", "groups"] {
        let said = a.fails(&format!("deploy-vfio {command} --yes"), 6)?;
        ensure!(said.contains("IOMMU") && said.contains("help:"), "{said}");
    }
    let said = a.fails("deploy-vfio doctor", 1)?;
    ensure!(said.contains("FAIL"), "{said}");
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "a refusal changed /etc:\n{}", difference(&etc, &now));
    a.power_off()?;
    Ok(())
}

/// `/boot` on a partition of its own.
pub fn separate_boot(rig: &mut Rig<'_>) -> Result<()> {
    laid_out(rig, "separate-boot", true)
}

/// Everything on btrfs, below a subvolume.
pub fn btrfs(rig: &mut Rig<'_>) -> Result<()> {
    laid_out(rig, "btrfs", false)
}

/// Everything on a logical volume.
pub fn lvm(rig: &mut Rig<'_>) -> Result<()> {
    laid_out(rig, "lvm", false)
}

/// All but `/boot` encrypted.
pub fn luks(rig: &mut Rig<'_>) -> Result<()> {
    laid_out(rig, "luks", true)
}

/// Started by UEFI.
pub fn uefi(rig: &mut Rig<'_>) -> Result<()> {
    ensure!(Path::new(OVMF).exists(), "apt-get install ovmf");
    laid_out(rig, "uefi", true)
}

/// Started by UEFI, everything else on btrfs: what is tried is noted on the firmware's partition.
pub fn esp(rig: &mut Rig<'_>) -> Result<()> {
    ensure!(Path::new(OVMF).exists(), "apt-get install ovmf");
    let (machine, disk) = copy(rig, "uefi-btrfs")?;
    let mut a = rig.boot_disk(&machine, disk)?;
    trial::proves_and_panics(&mut a)?;
    a.power_off().map(drop)
}

/// With dracut instead of initramfs-tools, which leaves mkinitramfs behind.
pub fn dracut(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("dpkg --remove --force-depends initramfs-tools && \
          dpkg --install /root/dracut*.deb /root/kpartx_*.deb && test -x /usr/sbin/mkinitramfs")?;
    a.ok("lsinitrd /initrd.img | grep -q usr/lib/dracut")?;
    a.reboot()?;
    let said = a.fails("deploy-vfio static file --yes", 6)?;
    ensure!(said.contains("`static grub` works with dracut"), "{said}");
    let modules = "find /usr/lib/dracut/modules.d /etc -newer /root/kpartx_*.deb -type f | sort";
    let before = a.ok(modules)?;
    a.ok("deploy-vfio multiboot last --yes")?;
    a.ok("lsinitrd /initrd.img | grep -E 'init-top/deploy-vfio|vfio-pci.ko' | wc -l | grep -x 2")?;
    // A kernel's hooks make it anew, and look at it.
    a.ok("/etc/kernel/postinst.d/zy-deploy-vfio $(uname -r) && \
          ! test -e /var/lib/deploy-vfio/unfit/$(uname -r)")?;
    a.ok("deploy-vfio undo --yes")?;
    let after = a.ok(modules)?;
    ensure!(before == after, "left behind:\n{after}");
    proves(a).map(drop)
}

/// Copies the system to a disk with this layout, and proves it there; `trial`: GRUB can write beside its
/// menu.
fn laid_out(rig: &mut Rig<'_>, layout: &str, trial: bool) -> Result<()> {
    let (machine, disk) = copy(rig, layout)?;
    let mut a = rig.boot_disk(&machine, disk)?;
    if !trial {
        let etc = a.etc_fingerprint()?;
        let said = a.fails("deploy-vfio multiboot last --trial --yes", 6)?;
        ensure!(said.contains("help:"), "{said}");
        let now = a.etc_fingerprint()?;
        ensure!(now == etc, "a refusal changed /etc:\n{}", difference(&etc, &now));
    }
    proves(a).map(drop)
}

/// The system on a disk with this layout, and the machine that boots from it.
fn copy(rig: &mut Rig<'_>, layout: &str) -> Result<(Machine, Disk)> {
    let uefi = layout.starts_with("uefi");
    let disk = rig.empty_disk(layout, if uefi { UEFI } else { BIOS })?;
    let mut a = rig.boot(&Machine::a().with_disk(disk.path()))?;
    a.write("/root/install-copy", "0755", include_str!("../assets/install-copy"))?;
    a.ok(&format!("/root/install-copy {layout} /dev/disk/by-id/virtio-more0"))?;
    a.power_off()?;
    let mut machine = Machine::a();
    machine.firmware = uefi.then_some(OVMF);
    Ok((machine, disk))
}

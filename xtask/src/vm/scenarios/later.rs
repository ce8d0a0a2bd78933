//! What happens later to a machine with a menu of ours: a new kernel, a card in another slot.

use anyhow::{Result, ensure};

use super::checks::{drivers, entry_of};
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// A menu is deployed; then a kernel comes, and on a branch of the disk a card moves.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("deploy-vfio multiboot last --yes")?;
    let disk = a.power_off()?;
    moved(rig.boot_disk(&Machine::a().swap(1, 9), rig.branch(&disk, "moved")?)?)?;
    let mut a = rig.boot_disk(&Machine::a(), disk)?;
    lacking_kernel(&mut a)?;
    new_kernel(a)
}

/// A kernel without vfio-pci comes: it is told before the reboot, and our entries stay with the old one.
fn lacking_kernel(a: &mut Guest) -> Result<()> {
    let old = a.ok("uname -r")?;
    let new = named_like(&old, "lacking", "8")?;
    a.ok(&format!(
        "cp /boot/vmlinuz-{old} /boot/vmlinuz-{new} && cp /boot/config-{old} /boot/config-{new} && \
         cp -al /lib/modules/{old} /lib/modules/{new} && rm -r /lib/modules/{new}/kernel/drivers/vfio \
         && depmod {new}"
    ))?;
    let said = a.ok(&format!("update-initramfs -c -k {new} && update-grub"))?;
    ensure!(said.contains(&format!("the initramfs of Linux {new} lacks vfio-pci")), "{said}");
    let entry = entry_of(a, Card::SecondVga)?;
    let menu = a.grub_menu()?;
    let top = menu.iter().find(|e| e.id == entry);
    ensure!(top.is_some_and(|e| e.linux.contains(&old)), "{entry} does not boot {old}: {menu:?}");
    let said = a.fails("deploy-vfio status", 1)?;
    ensure!(said.contains(&format!("update-initramfs -u -k {new}")), "{said}");
    a.ok("deploy-vfio verify")?;
    a.ok(&format!("update-initramfs -d -k {new}; rm -r /boot/*-{new} /lib/modules/{new}"))?;
    a.ok("deploy-vfio status")?;
    Ok(())
}

/// A name that sorts after this kernel's.
fn named_like(old: &str, how: &str, digit: &str) -> Result<String> {
    let name = format!("-{how}-amd64");
    let new = old.replacen("-amd64", &name, 1).replacen("6.1.0-", &format!("6.1.0-{digit}"), 1);
    ensure!(new != old, "no name for a newer kernel than {old}");
    Ok(new)
}

/// The card that was bound sits in another slot: the boot goes on and nothing wrong is bound.
fn moved(mut a: Guest) -> Result<()> {
    let (now, ids) = (a.address(Card::BootVga)?, "1234:1111");
    drivers(&mut a, Some(Card::SecondVga), &[])?;
    let said = a.fails("deploy-vfio status", 1)?;
    ensure!(said.contains("0000:01:00.0 is not there") && said.contains(ids), "{said}");
    ensure!(said.contains(&format!("is now at {now}")), "status does not name {now}:\n{said}");
    a.power_off()?;
    Ok(())
}

/// A kernel is laid down and its own hooks are run, as its package does.
///
/// It is the old one under a new name, so it looks for its modules under the old name: a hook of
/// the scenario's gives its initramfs both.
fn new_kernel(mut a: Guest) -> Result<()> {
    let old = a.ok("uname -r")?;
    let new = named_like(&old, "later", "9")?;
    a.ok(&format!(
        "cp /boot/vmlinuz-{old} /boot/vmlinuz-{new} && cp /boot/config-{old} /boot/config-{new} && \
         cp -al /lib/modules/{old} /lib/modules/{new} && depmod {new}"
    ))?;
    a.write(
        "/etc/initramfs-tools/hooks/alias",
        "0755",
        &format!(
            "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\n[ \"$version\" = {new} ] || exit 0\n\
             ln -s {new} \"$DESTDIR/lib/modules/{old}\"\n"
        ),
    )?;
    a.ok(&format!(
        "DEB_MAINT_PARAMS=configure run-parts --exit-on-error --arg={new} --arg=/boot/vmlinuz-{new} \
         /etc/kernel/postinst.d"
    ))?;
    let entry = entry_of(&a, Card::SecondVga)?;
    let menu = a.grub_menu()?;
    let top = menu.iter().find(|e| e.id == entry);
    ensure!(top.is_some_and(|e| e.linux.contains(&new)), "{entry} does not boot {new}: {menu:?}");
    a.ok("deploy-vfio verify")?;
    a.reboot()?;
    let line = a.cmdline()?;
    ensure!(line.contains(&format!("vmlinuz-{new}")), "GRUB booted {line}");
    drivers(&mut a, Some(Card::SecondVga), &[Card::BootVga])?;
    a.power_off()?;
    Ok(())
}

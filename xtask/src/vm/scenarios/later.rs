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
    new_kernel(rig.boot_disk(&Machine::a(), disk)?)
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
    let new = old.replacen("-amd64", "-later-amd64", 1).replacen("6.1.0-", "6.1.0-9", 1);
    ensure!(new != old, "no name for a newer kernel than {old}");
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

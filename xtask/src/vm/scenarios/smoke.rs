//! The machine itself, before any program of ours runs: if this fails, other scenarios tell nothing.

use anyhow::{Result, ensure};

use super::checks::network;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// Boots machine A and checks what the other scenarios take for granted.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("lspci -nnk; lspci -t; cat /proc/cmdline; systemd-analyze; systemd-analyze blame | head -20")?;
    two_twins_alone(&mut a)?;
    one_keyboard_on_usb(&mut a)?;
    one_default_route(&mut a)?;
    a.ok("df -h /; cat /proc/meminfo")?;
    a.ok("update-initramfs -u -k all")?;
    a.ok("update-grub")?;
    a.reboot()?;
    ensure!(a.cmdline()?.starts_with("BOOT_IMAGE="), "GRUB did not boot this kernel");
    let menu = a.grub_menu()?;
    ensure!(menu.iter().any(|entry| entry.id.starts_with("gnulinux-simple-")), "{menu:?}");
    ensure!(
        a.initrd_list()?.iter().any(|path| path.ends_with("init-top/udev")),
        "no udev in the initrd"
    );
    ensure!(a.etc_fingerprint()?.contains_key("/etc/default/grub"), "no fingerprint of /etc");
    a.power_off()?;
    Ok(())
}

fn two_twins_alone(a: &mut Guest) -> Result<()> {
    for card in [Card::BootVga, Card::SecondVga] {
        let address = a.address(card)?;
        let ids = a.ok(&format!("cd /sys/bus/pci/devices/{address} && cat vendor device"))?;
        ensure!(ids == "0x1234\n0x1111", "{address} is {ids:?}");
        let mates = a.group_mates(&address)?;
        ensure!(mates.is_empty(), "{address} shares its IOMMU group with {mates:?}");
        ensure!(a.driver_of(&address)? == "bochs-drm", "{address} has another driver");
    }
    Ok(())
}

fn one_keyboard_on_usb(a: &mut Guest) -> Result<()> {
    let usb = a.address(Card::UsbKeyboard)?;
    let keyboards = a.ok("for k in /sys/class/input/event*; do \
         udevadm info -q property $k | grep -q ^ID_INPUT_KEYBOARD=1 && readlink -f $k; done; true")?;
    ensure!(keyboards.lines().count() == 1 && keyboards.contains(&usb), "keyboards: {keyboards}");
    Ok(())
}

fn one_default_route(a: &mut Guest) -> Result<()> {
    let nic = a.address(Card::Nic(0))?;
    let name = format!("ls /sys/bus/pci/devices/{nic}/net");
    let name = a.ok(&name)?;
    network(a)?;
    let route = a.ok("ip route show default")?;
    ensure!(route.contains(&format!("dev {name} ")), "default route: {route}");
    Ok(())
}

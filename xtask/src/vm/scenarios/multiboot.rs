//! The flagship: `deploy-vfio multiboot last`, every entry booted, and all of it taken back.

use anyhow::{Result, ensure};

use super::checks::{drivers, entry_of, network, status_says, untouched, works};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// Cards only: last entry, normal entry, other entry, undo.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    let menu = a.grub_menu()?;
    groups_tell_why(&mut a)?;
    a.write("/etc/systemd/system/display-manager.service", "0644", DISPLAY_MANAGER)?;
    a.ok("systemctl enable display-manager")?;
    // The cards' driver comes early, as on machines whose initramfs has the drivers of displays.
    a.ok("echo bochs >>/etc/initramfs-tools/modules")?;
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio auto-xorg --yes")?;
    let chosen = a.etc_fingerprint()?;
    a.ok("deploy-vfio multiboot last --dry-run")?;
    ensure!(a.etc_fingerprint()? == chosen, "a dry run changed /etc");
    a.ok("deploy-vfio multiboot last --yes")?;
    let again = a.ok("deploy-vfio multiboot last --yes")?;
    ensure!(again.contains("Nothing to do."), "the second run: {again}");
    a.ok("deploy-vfio verify")?;

    a.reboot()?;
    drivers(&mut a, Some(Card::SecondVga), &[Card::BootVga])?;
    desktop_on(&mut a, Card::SecondVga)?;
    works(&mut a)?;
    status_says(&mut a, "waits for guests")?;
    a.ok("dmesg | grep deploy-vfio")?;

    let normal = menu[0].id.clone();
    a.reboot_into(&normal)?;
    untouched(&mut a)?;
    status_says(&mut a, "started by the normal entry")?;

    let other = entry_of(&a, Card::BootVga)?;
    a.reboot_into(&other)?;
    drivers(&mut a, Some(Card::BootVga), &[Card::SecondVga])?;
    desktop_on(&mut a, Card::BootVga)?;
    works(&mut a)?;
    status_says(&mut a, "waits for guests")?;

    a.ok("deploy-vfio undo --all --yes")?;
    a.reboot()?;
    untouched(&mut a)?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    ensure!(a.grub_menu()? == menu, "undo left the menu different");
    let initrd = a.initrd_list()?;
    ensure!(
        !initrd.iter().any(|f| f.contains("deploy-vfio") || f.contains("vfio-pci")),
        "{initrd:?}"
    );
    status_says(&mut a, "nothing is deployed")?;
    a.power_off()?;
    Ok(())
}

/// What a display manager does first; those of desktops wait until the seat can show something, too.
const DISPLAY_MANAGER: &str = "[Unit]\nDescription=A display manager\n\n[Service]\n\
    ExecStartPre=/bin/sh -c 'until ls /dev/dri/card*; do sleep 0.2; done'\n\
    ExecStart=/usr/lib/xorg/Xorg :0 -nolisten tcp -noreset vt7\n\n\
    [Install]\nWantedBy=multi-user.target\n";

/// Xorg runs on the card, because the boot told it the card's address.
fn desktop_on(a: &mut Guest, card: Card) -> Result<()> {
    let address = a.address(card)?;
    let wait = "for i in $(seq 60); do test -e /tmp/.X11-unix/X0 && exit 0; sleep 1; done; exit 1";
    a.ok(&format!("bash -c '{wait}' && systemctl is-active display-manager"))?;
    let told = a.ok("cat /etc/X11/xorg.conf.d/10-deploy-vfio.conf")?;
    let bus = u8::from_str_radix(address.get(5..7).unwrap_or_default(), 16)?;
    ensure!(told.contains(&format!("BusID \"PCI:{bus}@0:0:0\"")), "{told}");
    let log = a.ok("cat /var/log/Xorg.0.log")?;
    let card = a.ok(&format!("basename /sys/bus/pci/devices/{address}/drm/card*"))?;
    for line in [format!("PCI:*({bus}@0:0:0)"), format!("using drv /dev/dri/{card}")] {
        ensure!(log.contains(&line), "Xorg's log has no `{line}`:\n{log}");
    }
    Ok(())
}

/// The disk's, the network's, the keyboard's and the bridges' groups say why they stay.
fn groups_tell_why(a: &mut Guest) -> Result<()> {
    network(a)?;
    let table = a.ok("deploy-vfio groups")?;
    let reasons = [
        (Card::BootDisk, "carries /"),
        (Card::Nic(0), "default route"),
        (Card::UsbKeyboard, "keyboard"),
    ];
    for (card, reason) in reasons {
        let address = a.address(card)?;
        let line = table.lines().find(|line| line.contains(&address)).unwrap_or_default();
        ensure!(line.contains(reason), "{card:?} does not say `{reason}`: {line}\n{table}");
    }
    ensure!(
        table.lines().any(|line| line.contains("pcieport") && line.contains("bridge")),
        "{table}"
    );
    let all = a.ok("ls /sys/bus/pci/devices | wc -l")?;
    let shown = table.lines().filter(|line| line.contains("0000:")).count();
    ensure!(shown.to_string() == all, "{shown} of {all} devices are shown");
    Ok(())
}

//! Devices that are taken and given back, whoever holds them and wherever the hook is killed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vfio_hook::{DYNAMIC, Error, STATE};

use crate::machine::{Killed, Played};

const CARD: &str = "0000:02:00.0";
const NIC: &str = "0000:04:00.0";
const XML: &str = "<domain><devices>\
    <hostdev type='pci' managed='yes'><source><address domain='0' bus='2' slot='0' function='0'/>\
    </source></hostdev>\
    <hostdev type='pci' managed='yes'><source><address bus='0x04' slot='0' function='0'/></source>\
    </hostdev></devices></domain>";

fn machine() -> Played {
    let machine = Played::new();
    machine.file(DYNAMIC, "");
    machine.device(CARD, "bochs-drm");
    machine.device(NIC, "e1000e");
    machine
}

fn on(machine: &Played) -> [String; 2] {
    [machine.driver(CARD), machine.driver(NIC)]
}

const WAITING: [&str; 2] = ["vfio-pci", "vfio-pci"];
const AT_HOME: [&str; 2] = ["bochs-drm", "e1000e"];

#[test]
fn devices_come_and_go_three_times_in_a_row() {
    let machine = machine();
    for _ in 0..3 {
        machine.start("win10", XML).unwrap();
        assert_eq!(on(&machine), WAITING);
        machine.stop("win10", XML);
        assert_eq!(on(&machine), AT_HOME);
        let overrides = machine.text(&format!("sys/bus/pci/devices/{CARD}/driver_override"));
        assert_eq!(overrides, "(null)");
    }
}

#[test]
fn a_device_that_does_not_go_back_is_tried_again() {
    let machine = machine();
    machine.start("win10", XML).unwrap();
    machine.remove("sys/bus/pci/drivers_probe");
    machine.remove("sys/bus/pci/drivers/vfio-pci/bind");
    machine.stop("win10", XML);
    assert_ne!(on(&machine), AT_HOME);
    machine.file("sys/bus/pci/drivers_probe", "");
    machine.file("sys/bus/pci/drivers/vfio-pci/bind", "");
    machine.stop("win10", XML);
    assert_eq!(on(&machine), AT_HOME);
    machine.start("win10", XML).unwrap();
    assert_eq!(on(&machine), WAITING);
}

#[test]
fn a_device_that_another_guest_has_is_left_to_it() {
    let machine = machine();
    machine.start("win10", XML).unwrap();
    machine.link(
        &format!("sys/bus/pci/devices/{CARD}/iommu_group"),
        "../../../../kernel/iommu_groups/7",
    );
    machine.file("proc/99/comm", "qemu-system-x86\n");
    machine.link("proc/99/fd/5", "/dev/vfio/7");
    machine.stop("win10", XML);
    assert_eq!(on(&machine), ["vfio-pci", "e1000e"]);
    machine.remove("proc/99/fd/5");
    machine.stop("win10", XML);
    assert_eq!(on(&machine), AT_HOME);
}

#[test]
fn nothing_is_taken_without_the_setting_and_nothing_that_waits_already() {
    let machine = Played::new();
    machine.device(CARD, "bochs-drm");
    machine.device(NIC, "vfio-pci");
    machine.start("win10", XML).unwrap();
    assert_eq!(on(&machine), ["bochs-drm", "vfio-pci"]);
    machine.file(DYNAMIC, "");
    machine.start("win10", XML).unwrap();
    assert_eq!(on(&machine), WAITING);
    machine.stop("win10", XML);
    assert_eq!(on(&machine), ["bochs-drm", "vfio-pci"], "the boot bound it");
}

#[test]
fn who_holds_a_card_is_named_and_nothing_is_taken() {
    let machine = machine();
    let drm = format!("sys/bus/pci/devices/{CARD}/drm/card1");
    machine.file(&format!("{drm}/uevent"), "MAJOR=226\nDEVNAME=dri/card1\n");
    machine.file("proc/321/comm", "Xorg\n");
    machine.link("proc/321/fd/7", "/dev/dri/card1");
    machine.file("proc/322/comm", "other\n");
    machine.link("proc/322/fd/7", "/dev/dri/card0");
    let error = machine.start("win10", XML).unwrap_err();
    assert_eq!(
        error.to_string(),
        "0000:02:00.0 is in use: Xorg (process 321) has /dev/dri/card1 open"
    );
    assert_eq!(on(&machine), AT_HOME);
}

#[test]
fn a_bridge_s_card_and_the_console_s_stay() {
    let machine = machine();
    machine.link(&format!("sys/bus/pci/devices/{NIC}/net/eth1/master"), "../../br0");
    let error = machine.start("win10", XML).unwrap_err();
    assert_eq!(error.to_string(), "0000:04:00.0 is in use: eth1 is part of br0");
    assert_eq!(on(&machine), AT_HOME);

    let machine = self::machine();
    machine.file(&format!("sys/devices/pci0000:00/{CARD}/graphics/fb0/name"), "");
    let fb = format!("../../devices/pci0000:00/{CARD}/graphics/fb0");
    machine.link("sys/class/graphics/fb0", &fb);
    machine.file("sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
    machine.file("sys/class/vtconsole/vtcon1/bind", "1\n");
    let error = machine.start("win10", XML).unwrap_err();
    assert!(error.to_string().ends_with("the console is on its framebuffer"), "{error}");
    machine.file("sys/class/vtconsole/vtcon1/bind", "0\n");
    machine.start("win10", XML).unwrap();
}

#[test]
fn a_device_that_does_not_come_gives_the_others_back() {
    let machine = machine();
    machine.file("sys/bus/pci/devices/0000:04:00.0/host_driver", "e1000e");
    let gone = XML.replace("0x04", "0x05");
    assert!(matches!(machine.start("win10", &gone), Err(Error::NoDevice(_))));
    assert_eq!(on(&machine), AT_HOME);
    assert!(machine.start("win10", "<domain>").is_err(), "what it wants is not known");
}

/// A kill after any number of writes: libvirt calls `release` for the failed start, and all is back.
#[test]
fn a_hook_killed_anywhere_is_taken_back_by_the_next_call() {
    std::panic::set_hook(Box::new(|_| ()));
    let mut kills = 0;
    for after in 0.. {
        let machine = machine();
        machine.killed_after.set(Some(after));
        let start = catch_unwind(AssertUnwindSafe(|| machine.start("win10", XML)));
        machine.killed_after.set(None);
        match start {
            Ok(started) => {
                started.unwrap();
                break;
            }
            Err(why) => assert!(why.is::<Killed>()),
        }
        kills += 1;
        machine.stop("win10", XML);
        assert_eq!(on(&machine), AT_HOME, "killed after {after}");
        assert!(!machine.text(STATE).contains("win10"), "{}", machine.text(STATE));
        // And while it stops.
        machine.start("win10", XML).unwrap();
        machine.killed_after.set(Some(after));
        let stop = catch_unwind(AssertUnwindSafe(|| machine.stop("win10", XML)));
        machine.killed_after.set(None);
        drop(stop);
        machine.start("win10", XML).unwrap();
        assert_eq!(on(&machine), WAITING, "killed after {after}");
        machine.stop("win10", XML);
        assert_eq!(on(&machine), AT_HOME, "killed after {after}");
    }
    assert!(kills > 10, "{kills}");
}

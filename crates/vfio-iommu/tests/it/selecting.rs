//! Selections: which groups go, which are left out, what is refused and how that reads.

use vfio_core::{
    Advice, Exit,
    host::{Iommu, Machine, Vendor},
};
use vfio_iommu::Allow;

use crate::describe::{Uses, desktop, groups, machine, select};

#[test]
fn words_mean_groups() {
    let desktop = desktop();
    for (words, expected) in [
        ("vga", vec![2, 21, 22]),
        ("no-vga", vec![25, 27]),
        ("all", vec![2, 21, 22, 25, 27]),
        ("25", vec![25]),
        ("no-vga,2", vec![2, 25, 27]),
        ("25-26", vec![25]),
        ("6-23", vec![21, 22]),
        ("27-999", vec![27]),
        ("0-2,25,25", vec![2, 25]),
        ("1", vec![1]),
        ("4", vec![4]),
    ] {
        assert_eq!(groups(&desktop, words, &[]).unwrap(), expected, "{words}");
    }
}

#[test]
fn b8_the_first_and_the_last_group_are_groups_like_the_others() {
    let machine = machine(
        "01:00.0 0c03 1912:0014 g0
         02:00.0 0c03 1912:0014 g7",
    );
    assert_eq!(groups(&machine, "0", &[]).unwrap(), [0]);
    assert_eq!(groups(&machine, "7", &[]).unwrap(), [7]);
}

#[test]
fn b12_bus_numbers_are_not_read_as_words() {
    let machine = machine(
        "00:02.0 0300 8086:4680 g1 boot
         10:00.0 0300 10de:2484 g2
         a0:00.0 0300 10de:2484 g3",
    );
    assert_eq!(groups(&machine, "vga", &[]).unwrap(), [2, 3]);
}

#[test]
fn left_out_groups_come_with_their_reasons() {
    let chosen = select(&desktop(), "all", &[]).unwrap();
    let left_out: Vec<_> = chosen.left_out.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(left_out.join("\n"), @"
    group 1: 0000:00:02.0 integrated display
    group 3: 0000:00:14.0 has the only keyboard (USB Keyboard)
    group 4: 0000:00:15.0 chipset function
    group 5: 0000:00:1f.0 chipset (ISA bridge), 0000:00:1f.4 chipset (SMBus)
    group 24: 0000:05:00.0 carries / and swap
    group 26: 0000:08:00.0 has the default route (enp5s0)
    ");
}

#[test]
fn a_protected_group_that_is_named_is_refused() {
    let desktop = desktop().disk("06:00.0", &["/home"]);
    for (words, expected) in [
        (
            "26",
            "IOMMU group 26 stays with the host\n\
             because: 0000:08:00.0: has the default route (enp5s0)\n\
             help: `--allow network` hands it over all the same",
        ),
        (
            "25",
            "IOMMU group 25 stays with the host\n\
             because: 0000:06:00.0: carries /home\n\
             help: `--allow storage` hands it over all the same",
        ),
        ("24", "IOMMU group 24 stays with the host\nbecause: 0000:05:00.0: carries / and swap"),
        ("0", "IOMMU group 0 stays with the host\nbecause: 0000:00:00.0: bridge"),
    ] {
        assert_eq!(groups(&desktop, words, &[]).unwrap_err(), expected, "{words}");
    }
    assert_eq!(select(&desktop, "26", &[]).unwrap_err().exit(), Exit::Refused);
}

#[test]
fn allow_lifts_one_kind() {
    let desktop = desktop().disk("06:00.0", &["/home"]);
    for (words, allow, expected) in [
        ("26", Allow::Network, vec![26]),
        ("3", Allow::Keyboard, vec![3]),
        ("25", Allow::Storage, vec![25]),
    ] {
        assert_eq!(groups(&desktop, words, &[allow]).unwrap(), expected, "{words}");
        let others: Vec<_> = Allow::ALL.into_iter().filter(|other| *other != allow).collect();
        assert!(groups(&desktop, words, &others).is_err(), "{words}");
    }
    assert!(groups(&desktop, "24", &Allow::ALL).is_err(), "nothing lifts /");
    assert!(groups(&desktop, "5", &Allow::ALL).is_err(), "nothing lifts the chipset");
}

#[test]
fn groups_that_are_not_there_are_refused_with_those_that_are() {
    for (words, expected) in [
        ("99", "there is no IOMMU group 99; there are 0-5, 21-22, 24-27"),
        ("6-20", "there is no IOMMU group from 6 to 20; there are 0-5, 21-22, 24-27"),
        ("all,23", "there is no IOMMU group 23; there are 0-5, 21-22, 24-27"),
    ] {
        let error = select(&desktop(), words, &[]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit()), (expected, Exit::Refused));
    }
}

#[test]
fn a_card_brings_all_its_groups() {
    let chosen = select(&desktop(), "22", &[]).unwrap();
    assert_eq!(chosen.groups, [21, 22]);
    assert_eq!(
        chosen.notes,
        ["group 21 goes along with group 22: one card reaches into all of them"]
    );
    assert!(select(&desktop(), "21,22", &[]).unwrap().notes.is_empty());
}

#[test]
fn the_only_display_stays_and_the_ways_out_are_named() {
    let machine = machine(
        "00:01.0 0604 8086:0c01 g1 pcieport
         01:00.0 0300 10de:13ba g1 nvidia boot
         01:00.1 0403 10de:0fbc g1
         02:00.0 0c03 1912:0014 g2",
    );
    insta::assert_snapshot!(groups(&machine, "vga", &[]).unwrap_err(), @"
    nothing selected by `vga` can go to a guest
    because: group 1: 0000:01:00.0 the host's only display
    help: `--parse no-vga` hands over other devices and keeps the display
    help: `--allow headless` hands over group 1 all the same
    ");
    assert_eq!(groups(&machine, "all", &[]).unwrap(), [2]);
    assert_eq!(groups(&machine, "vga", &[Allow::Headless]).unwrap(), [1]);
}

#[test]
fn only_integrated_displays_are_handed_over_by_number() {
    let machine = machine(
        "00:02.0 0380 8086:191d g1 i915
         05:00.0 0604 1a03:1150 g16
         06:00.0 0300 1a03:2000 g16 ast boot",
    );
    insta::assert_snapshot!(groups(&machine, "vga", &[]).unwrap_err(), @"
    nothing selected by `vga` can go to a guest
    because: group 1: 0000:00:02.0 integrated display
    because: group 16: 0000:06:00.0 integrated display
    help: `--parse 1` hands over group 1 all the same
    help: `--parse 16` hands over group 16 all the same
    ");
    assert_eq!(groups(&machine, "1", &[]).unwrap(), [1]);
}

#[test]
fn an_integrated_display_that_is_the_only_one_takes_both_words() {
    let machine = machine("00:02.0 0300 8086:4680 g1 boot");
    insta::assert_snapshot!(groups(&machine, "vga", &[]).unwrap_err(), @"
    nothing selected by `vga` can go to a guest
    because: group 1: 0000:00:02.0 the host's only display, integrated display
    help: `--parse no-vga` hands over other devices and keeps the display
    help: `--parse 1 --allow headless` hands over group 1 all the same
    ");
    assert!(groups(&machine, "vga", &[Allow::Headless]).is_err());
    assert_eq!(groups(&machine, "1", &[Allow::Headless]).unwrap(), [1]);
    insta::assert_snapshot!(groups(&machine, "no-vga", &[]).unwrap_err(), @"
    nothing selected by `no-vga` can go to a guest
    because: no IOMMU group has such a device
    ");
}

#[test]
fn b7_no_groups_come_with_a_diagnosis() {
    let diagnosis = |machine: &Machine| groups(machine, "vga", &[]).unwrap_err();
    let mut machine = machine("01:00.0 0300 10de:2484 boot");
    insta::assert_snapshot!(diagnosis(&machine), @"
    there are no IOMMU groups: the IOMMU is off in the firmware
    because: there is neither a DMAR nor an IVRS table from the firmware
    help: switch VT-d on in the firmware setup, and boot again
    ");
    machine.boot.iommu = Iommu { table: Some("DMAR".to_owned()), units: Vec::new() };
    insta::assert_snapshot!(diagnosis(&machine), @"
    there are no IOMMU groups: the kernel leaves the IOMMU off
    help: boot with `intel_iommu=on`: this kernel leaves it off by itself
    ");
    machine = machine.cmdline("quiet intel_iommu=on intel-iommu=sm_on,off iommu=pt");
    insta::assert_snapshot!(diagnosis(&machine), @"
    there are no IOMMU groups: the kernel leaves the IOMMU off
    because: `intel_iommu=off` is on the kernel's command line
    help: take `intel_iommu=off` off the command line, and boot again
    ");
    machine.boot.iommu.units.push("dmar0".to_owned());
    insta::assert_snapshot!(diagnosis(&machine), @"
    there are no IOMMU groups although the IOMMU is on
    because: the kernel drives dmar0
    help: `dmesg | grep -e DMAR -e AMD-Vi` shows what went wrong
    ");
    machine.cpu.vendor = Vendor::Amd;
    machine.boot.iommu = Iommu { table: Some("IVRS".to_owned()), units: Vec::new() };
    machine = machine.cmdline("");
    assert!(diagnosis(&machine).contains("on by itself on AMD"));
    assert!(!diagnosis(&machine).contains("amd_iommu=on"));
    assert!(diagnosis(&Machine::default()).contains("no PCI devices"));
}

#[test]
fn missing_interrupt_remapping_is_noted() {
    let chosen = select(&desktop().cmdline("ro nointremap"), "vga", &[]).unwrap();
    assert!(chosen.notes[0].starts_with("`nointremap`"), "{:?}", chosen.notes);
}

//! What stays with the host, on the odd shapes that real machines have.

use vfio_iommu::{Allow, Reason, protected, why_protected};

use crate::describe::{Uses, at, desktop, explain, groups, machine, select};

#[test]
fn b13_the_host_keeps_what_it_lives_on() {
    let protected = protected(&desktop());
    let kept: Vec<_> = protected.keys().map(ToString::to_string).collect();
    assert_eq!(
        kept,
        [
            "0000:00:00.0",
            "0000:00:01.0",
            "0000:00:02.0",
            "0000:00:14.0",
            "0000:00:15.0",
            "0000:00:1f.0",
            "0000:00:1f.4",
            "0000:05:00.0",
            "0000:08:00.0",
        ]
    );
    assert_eq!(protected[&at("00:01.0")], [Reason::Bridge]);
    assert_eq!(why_protected(&desktop(), 2), [], "a root port in the card's group is no obstacle");
    assert_eq!(why_protected(&desktop(), 99), []);
}

#[test]
fn b15_dirty_group_names_the_disk_that_shares_it() {
    // An AMD chipset without ACS: everything behind it is one group.
    let machine = machine(
        "01:00.0 0c03 1022:43bb g12
         01:00.1 0106 1022:43b7 g12
         02:00.0 0604 1022:43b4 g12 pcieport
         03:00.0 0200 10ec:8168 g12
         05:00.0 0300 10de:1381 g12
         05:00.1 0403 10de:0fbc g12
         06:00.0 0300 10de:1c03 g13 boot
         06:00.1 0403 10de:10f1 g13",
    )
    .disk("01:00.1", &["/"])
    .route("03:00.0");
    assert_eq!(groups(&machine, "vga", &[]).unwrap(), [13]);
    let refused = groups(&machine, "12", &[]).unwrap_err();
    assert!(refused.contains("0000:01:00.1: carries /\n"), "{refused}");
    assert!(refused.contains("0000:03:00.0: has the default route"), "{refused}");
}

#[test]
fn dummy_host_bridges_are_no_obstacle() {
    let machine = machine(
        "00:02.0 0300 8086:4680 g0 boot
         00:03.0 0600 1022:1482 g4
         00:03.1 0604 1022:1483 g4 pcieport
         0a:00.0 0300 10de:2484 g4
         00:08.0 0600 1022:1482 g9
         00:08.1 0604 1022:1484 g9",
    );
    assert_eq!(groups(&machine, "all", &[]).unwrap(), [4]);
    let chosen = select(&machine, "all", &[]).unwrap();
    let mentioned = chosen.left_out.iter().any(|left_out| left_out.groups == [9]);
    assert!(!mentioned, "groups of bridges alone are left out without a word");
    assert!(groups(&machine, "9", &[]).unwrap_err().contains("because: 0000:00:08.0: bridge"));
}

#[test]
fn the_last_keyboard_stays() {
    let usb = |keyboards: &[(Option<&str>, &str)]| {
        let machine = machine(
            "00:02.0 0300 8086:4680 g0 boot
             00:14.0 0c03 8086:7ae0 g3
             09:00.0 0c03 1912:0014 g27
             0a:00.0 0c03 1b21:3242 g28",
        );
        keyboards.iter().fold(machine, |machine, (on, name)| machine.keyboard(*on, name))
    };
    let (a, b) = (Some("00:14.0"), Some("09:00.0"));
    let all = |machine| groups(&machine, "all", &[]).unwrap();
    assert_eq!(all(usb(&[(a, "K"), (a, "L")])), [27, 28]);
    assert_eq!(all(usb(&[(a, "K"), (b, "L")])), [27, 28], "one of the two stays");
    assert_eq!(all(usb(&[(a, "K"), (None, "AT Translated Set 2 keyboard")])), [3, 27, 28]);
    assert_eq!(all(usb(&[(a, "K"), (None, "keyd virtual keyboard")])), [27, 28]);

    let two = usb(&[(a, "K"), (b, "L")]);
    assert_eq!(groups(&two, "3", &[]).unwrap(), [3], "another one is left");
    assert_eq!(groups(&two, "27", &[]).unwrap(), [27]);
    assert_eq!(groups(&two, "all,3", &[]).unwrap(), [3, 28], "what is named goes first");
    let refused = groups(&two, "3,27", &[]).unwrap_err();
    assert!(refused.contains("has the only keyboard that would be left (K)"), "{refused}");
    assert_eq!(groups(&two, "3,27", &[Allow::Keyboard]).unwrap(), [3, 27]);
}

#[test]
fn the_processors_functions_go_with_its_display() {
    // Raphael, with functions in groups of their own.
    let devices = "01:00.0 0300 10de:2504 g12 boot
         01:00.1 0403 10de:228e g13
         15:00.0 0300 1002:164e g38
         15:00.1 0403 1002:1640 g39
         15:00.2 1080 1022:1649 g40
         15:00.3 0c03 1022:15b6 g41
         15:00.4 0c03 1022:15b7 g42";
    let here = machine(devices);
    assert_eq!(groups(&here, "all", &[]).unwrap(), [12, 13]);
    assert_eq!(groups(&here, "38", &[]).unwrap(), [38, 39, 40, 41, 42]);
    let refused = groups(&here, "42", &[]).unwrap_err();
    assert!(refused.contains("15:00.0: integrated display"), "{refused}");
    let here = machine(devices).keyboard(Some("15:00.3"), "K");
    assert!(groups(&here, "38", &[]).is_err(), "the keyboard's controller is part of it");
}

#[test]
fn the_processors_functions_without_a_display_are_no_card() {
    let here = machine(
        "01:00.0 0300 10de:2504 g12 boot
         0a:00.0 1300 1022:1485 g20
         0a:00.3 0c03 1022:149c g21
         0a:00.4 0403 1022:1487 g22",
    );
    assert_eq!(groups(&here, "21", &[]).unwrap(), [21]);
}

#[test]
fn an_amd_card_is_not_integrated() {
    let machine = machine(
        "03:00.0 0300 1002:73df g21 boot
         03:00.1 0403 1002:ab28 g22
         03:00.2 0c03 1002:73a6 g23
         04:00.0 0300 1002:67ff g24",
    );
    assert_eq!(groups(&machine, "vga", &[]).unwrap(), [21, 22, 23, 24]);
}

#[test]
fn a_card_that_reaches_into_a_dirty_group_stays() {
    // The APU's sound shares a group with the controller of the keyboard.
    let machine = machine(
        "10:00.0 0300 1002:67df g8
         38:00.0 0300 1002:15dd g11 boot
         38:00.1 0403 1002:15de g12
         38:00.3 0c03 1022:15e0 g12",
    )
    .keyboard(Some("38:00.3"), "K");
    assert_eq!(groups(&machine, "vga", &[]).unwrap(), [8]);
    let refused = groups(&machine, "11", &[]).unwrap_err();
    assert!(refused.contains("0000:38:00.3: has the only keyboard (K)"), "{refused}");
}

#[test]
fn ports_of_a_network_card_go_together() {
    let machine = machine(
        "00:02.0 0300 8086:4680 g0 boot
         05:00.0 0200 8086:1521 g13
         05:00.1 0200 8086:1521 g14",
    );
    assert_eq!(groups(&machine, "13", &[]).unwrap(), [13, 14]);
    assert!(groups(&machine.route("05:00.1"), "13", &[]).is_err());
}

#[test]
fn virtual_functions_stay_and_go_with_the_physical_one() {
    let table = "00:02.0 0300 8086:a780 g0 boot
         00:02.1 0300 8086:a780 g1 vf=00:02.0
         01:00.0 0300 10de:2182 g19
         07:00.0 0200 8086:10c9 g24
         07:10.0 0200 8086:10ca g37 vf=07:00.0";
    let all = machine(table);
    assert_eq!(groups(&all, "all", &[]).unwrap(), [19, 24]);
    let refused = groups(&all, "37", &[]).unwrap_err();
    assert!(refused.contains("virtual function of 0000:07:00.0"), "{refused}");
    assert!(refused.contains("managed='yes'"), "{refused}");
    assert!(groups(&all, "1", &[]).is_err());

    let routed = machine(table).route("07:10.0");
    let why = explain(&select(&routed, "24", &[]).unwrap_err());
    assert!(why.contains("0000:07:00.0: has the default route"), "{why}");
    assert_eq!(groups(&machine(table), "vga", &[]).unwrap(), [19], "no virtual display counts");

    // Without ACS they share a group, and vanish when the physical function is bound.
    let shared = machine(
        "00:02.0 0300 8086:3e92 g0 boot
         01:00.0 0200 15b3:1015 g1
         01:00.2 0200 15b3:1016 g1 vf=01:00.0",
    );
    assert_eq!(groups(&shared, "1", &[]).unwrap(), [1]);

    // What no hardware says, but a described machine may: nothing there can be bound.
    let circle = machine(
        "00:02.0 0300 8086:3e92 g0 boot
         02:01.0 0300 8086:0001 g1 vf=02:01.3
         02:01.3 0300 8086:0001 g1 vf=02:01.0",
    );
    assert!(groups(&circle, "no-vga", &[]).is_err());
    assert!(groups(&circle, "1", &[]).unwrap_err().contains("virtual function of 0000:02:01.3"));
}

#[test]
fn a_3d_controller_is_no_display_for_the_host() {
    let machine = machine(
        "00:02.0 0300 8086:5917 g1 i915 boot
         01:00.0 0302 10de:1d10 g7
         3b:00.0 0280 8086:24fd g7",
    );
    assert_eq!(groups(&machine, "vga", &[]).unwrap(), [7]);
    assert!(groups(&machine, "1", &[]).unwrap_err().contains("the host's only display"));
}

#[test]
fn chipset_functions_with_something_useful_beside_them_go_along() {
    let machine = machine(
        "00:14.0 0c03 8086:7ae0 g3
         00:14.2 0500 8086:7aa7 g3
         00:16.0 0780 8086:7ae8 g9
         00:12.0 0805 8086:1234 g10
         6b:01.0 0880 8086:0b25 g11",
    );
    assert_eq!(groups(&machine, "all", &[]).unwrap(), [3, 10, 11]);
    assert_eq!(groups(&machine, "9", &[]).unwrap(), [9]);
}

#[test]
fn functions_on_a_servers_other_root_buses_are_no_card() {
    let table = "00:02.0 0300 1a03:2000 g0 boot
         15:00.0 0880 8086:09a2 g65
         15:00.4 0807 8086:0998 g66
         15:01.0 0604 8086:352a g67
         16:00.0 0200 8086:1592 g68
         16:00.1 0200 8086:1592 g69";
    let mut server = machine(table);
    let devices = server.pci.devices().iter().map(|device| vfio_core::host::Device {
        parent: (device.address.bus == 0x16).then(|| at("15:01.0")),
        ..device.clone()
    });
    server.pci = vfio_core::host::Pci::from_devices(devices.collect());
    assert_eq!(groups(&server, "all", &[]).unwrap(), [68, 69]);
    assert_eq!(groups(&server, "65", &[]).unwrap(), [65]);
    assert!(groups(&server, "66", &[]).is_err());
}

//! The program that chooses a card, on trees as the kernel has them, and its unit.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{asset, program, script, write};

/// A machine with cards as `address class vendor driver card`, a `+` behind the card for a screen
/// that is plugged in; `-` for no driver or no card.
fn machine(cards: &str, settings: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "etc/deploy-vfio/auto-xorg", &format!("# x\n{settings}"));
    for line in cards.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [address, class, vendor, driver, card] =
            line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let device = format!("sys/bus/pci/devices/{address}");
        write(root, &format!("{device}/class"), &format!("0x{class}00\n"));
        write(root, &format!("{device}/vendor"), &format!("0x{vendor}\n"));
        if driver != "-" {
            symlink(format!("../../drivers/{driver}"), root.join(&device).join("driver")).unwrap();
        }
        if card != "-" {
            let (node, status) = match card.strip_suffix('+') {
                Some(node) => (node, "connected"),
                None => (card, "disconnected"),
            };
            write(root, &format!("{device}/drm/{node}/dev"), "226:0\n");
            write(root, &format!("{device}/drm/{node}/{node}-DP-1/status"), "disconnected\n");
            let status = format!("{status}\n");
            write(root, &format!("{device}/drm/{node}/{node}-HDMI-A-1/status"), &status);
        }
    }
    dir
}

/// Runs it; what it said.
fn run(root: &Path) -> String {
    // No udev here.
    program(root, "udevadm", "exit 1");
    let output = script(root, "auto-xorg").arg(root).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

fn xorg(root: &Path) -> String {
    read(root, "run/deploy-vfio/xorg.conf").unwrap()
}

fn chosen(cards: &str, settings: &str) -> String {
    let dir = machine(cards, settings);
    let said = run(dir.path());
    let uses = said.lines().find_map(|line| line.strip_prefix("the desktop uses "));
    uses.map_or(said.clone(), |rest| rest.split(' ').next().unwrap_or_default().to_owned())
}

const THREE: &str = "0000:00:02.0 0300 8086 i915 card0
    0000:01:00.0 0300 10de nouveau card1
    0000:0a:00.0 0300 1002 amdgpu card2";

#[test]
fn vendor_then_screen_then_place_decide() {
    for (settings, wanted) in [
        ("order=first\nvendor=any\n", "0000:00:02.0"),
        ("order=last\nvendor=any\n", "0000:0a:00.0"),
        ("order=first\nvendor=nvidia\n", "0000:01:00.0"),
        ("order=last\nvendor=intel\n", "0000:00:02.0"),
        ("order=first\nvendor=amd\n", "0000:0a:00.0"),
        ("", "0000:00:02.0"),
    ] {
        assert_eq!(chosen(THREE, settings), wanted, "{settings}");
    }
    let screen = THREE.replace("card1", "card1+");
    assert_eq!(chosen(&screen, "order=last\nvendor=any\n"), "0000:01:00.0");
    assert_eq!(chosen(&screen, "order=first\nvendor=amd\n"), "0000:0a:00.0", "the vendor first");
}

#[test]
fn b56_ati_is_amd_and_other_is_none_of_the_three() {
    let cards = "0000:01:00.0 0300 1a03 ast card0
        0000:02:00.0 0300 1002 radeon card1";
    assert_eq!(chosen(cards, "order=first\nvendor=amd\n"), "0000:02:00.0");
    assert_eq!(chosen(cards, "order=last\nvendor=other\n"), "0000:01:00.0");
}

#[test]
fn b54_b55_guests_cards_are_never_chosen_and_a_warning_tells_of_a_stand_in() {
    let cards = "0000:01:00.0 0300 10de vfio-pci -
        0000:02:00.0 0300 10de nouveau card1
        0000:03:00.0 0200 8086 e1000e -
        0000:04:00.0 0300 1002 - -";
    let dir = machine(cards, "order=first\nvendor=amd\n");
    let said = run(dir.path());
    assert!(said.starts_with("no card of the vendor amd is left to the desktop"), "{said}");
    assert!(xorg(dir.path()).contains("BusID \"PCI:2@0:0:0\""));

    let none = machine("0000:01:00.0 0300 10de vfio-pci -", "order=first\nvendor=any\n");
    write(none.path(), "run/environment.d/60-deploy-vfio.conf", "KWIN_DRM_DEVICES=old\n");
    write(none.path(), "run/deploy-vfio/xorg.conf", "Section \"Device\"\n");
    let said = run(none.path());
    assert_eq!(said, "no card is left to the desktop: nothing is chosen\n");
    assert_eq!(xorg(none.path()), "# No card was chosen at this boot.\n", "nothing old stays");
    assert!(read(none.path(), "run/environment.d/60-deploy-vfio.conf").is_none());

    let render = "0000:01:00.0 0302 10de nouveau card0
        0000:02:00.0 0380 1002 amdgpu card1";
    assert_eq!(chosen(render, "order=first\nvendor=any\n"), "0000:02:00.0", "it has connectors");
    let only = "0000:01:00.0 0302 10de nouveau card0";
    assert_eq!(chosen(only, "order=first\nvendor=any\n"), "0000:01:00.0");
}

#[test]
fn b51_b52_xorg_reads_decimal_numbers_and_a_driver_that_it_has() {
    for (card, bus, driver, class) in [
        ("0000:0b:00.0 0300 8086 i915 card0", "PCI:11@0:0:0", "modesetting", "i915"),
        ("0000:10:1f.7 0300 1002 amdgpu card0", "PCI:16@0:31:7", "modesetting", "amdgpu"),
        ("10000:e1:00.0 0300 10de nvidia card0", "PCI:225@65536:0:0", "nvidia", "nvidia"),
        ("0000:01:00.0 0300 10de nouveau card0", "PCI:1@0:0:0", "modesetting", "nouveau"),
    ] {
        let dir = machine(card, "order=first\nvendor=any\n");
        run(dir.path());
        let text = xorg(dir.path());
        for line in [
            format!("BusID \"{bus}\""),
            format!("Driver \"{driver}\""),
            format!("MatchDriver \"{class}\""),
        ] {
            assert!(text.contains(&line), "{card}: {text}");
        }
    }
}

#[test]
fn b59_compositors_begin_with_the_card_and_keep_the_others() {
    let dir = machine(THREE, "order=first\nvendor=nvidia\n");
    run(dir.path());
    let list = "/dev/dri/card1:/dev/dri/card0:/dev/dri/card2";
    let environment = read(dir.path(), "run/environment.d/60-deploy-vfio.conf").unwrap();
    let lines: Vec<&str> = environment.lines().skip(1).collect();
    let wanted = ["KWIN", "WLR", "AQ"].map(|name| format!("{name}_DRM_DEVICES={list}"));
    assert_eq!(lines, wanted);
    let rule = read(dir.path(), "run/udev/rules.d/61-deploy-vfio-auto-xorg.rules").unwrap();
    let rule = rule.lines().last().unwrap();
    let wanted = "SUBSYSTEM==\"drm\", KERNEL==\"card*\", KERNELS==\"0000:01:00.0\", \
                  TAG+=\"mutter-device-preferred-primary\"";
    assert_eq!(rule, wanted);
}

#[test]
fn b58_the_choice_is_made_before_the_display_manager_starts() {
    let text = fs::read_to_string(asset("deploy-vfio-auto-xorg.service")).unwrap();
    assert!(text.contains("\nBefore=display-manager.service\n"), "{text}");
}

#[test]
fn b57_the_unit_is_one_that_is_there_and_nothing_is_restarted() {
    let unit = fs::read_to_string(asset("deploy-vfio-auto-xorg.service")).unwrap();
    let program = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let name = Path::new(program).file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(asset(name)).unwrap();
    for word in ["systemctl restart", "systemctl stop", "service "] {
        assert!(!text.contains(word), "the desktop that runs is left alone: {word}");
    }
}

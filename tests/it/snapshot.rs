//! A snapshot of a machine is planned against as the machine itself.

use std::{fs, path::Path, process::Command};

use vfio_testkit::Description;

fn stdout(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_deploy-vfio")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_plan_for_a_snapshot_is_the_plan_for_the_machine() {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    for name in ["two-gpus", "twin-cards", "igpu-and-card"] {
        let dir = tempfile::tempdir().unwrap();
        let described = Description::read(&machines.join(format!("{name}.json"))).unwrap();
        described.lay_out(&dir.path().join("root")).unwrap();
        let root = dir.path().join("root");
        let root = root.to_str().unwrap();
        let file = dir.path().join("machine.json");
        fs::write(&file, stdout(&["--root", root, "host", "--json"])).unwrap();
        let file = file.to_str().unwrap();
        for line in [
            "multiboot last",
            "multiboot first --parse all",
            "static grub",
            "evdev --toggle alt-alt",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let here = stdout(&[&["--root", root, "--dry-run"], &words[..]].concat());
            let there = stdout(&[&["--machine", file], &words[..]].concat());
            assert_eq!(here, there, "{name}: {words:?}");
        }
        let snapshot = stdout(&["--machine", file, "host", "--json"]);
        assert_eq!(snapshot, fs::read_to_string(file).unwrap(), "{name}");
    }
}

#[test]
fn a_snapshot_names_input_devices_without_their_serial_numbers() {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    let dir = tempfile::tempdir().unwrap();
    let described = Description::read(&machines.join("many-inputs.json")).unwrap();
    described.lay_out(dir.path()).unwrap();
    let snapshot = stdout(&["--root", dir.path().to_str().unwrap(), "host", "--json"]);
    assert!(snapshot.contains("by-id/usb-Acme_G9_Gaming_Mouse_redacted-if01-event-kbd"));
    assert!(!snapshot.contains("00_17") && !snapshot.contains("00/17"), "{snapshot}");
    assert!(snapshot.contains("\"version\": \"9.0.0\""), "{snapshot}");
}

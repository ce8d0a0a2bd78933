//! A machine's setup as a document: applied, printed back, applied again, taken back.

use std::{fs, path::Path, process::Command};

use vfio_testkit::{Description, STATE, Tree};

const SETUP: &str = "[hugepages]\nsize = \"2M\"\ncount = 512\n\n\
                     [multiboot]\nentry = \"last\"\nparse = \"vga\"\n";

fn run(root: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
    command.env_clear().arg("--root").arg(root).arg("--no-rebuild").args(words);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn what_is_deployed_prints_as_the_setup_that_deploys_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    Description::read(&machines.join("two-gpus.json")).unwrap().lay_out(&root).unwrap();
    let tree = || Tree::read(&root).unwrap().without(&[STATE]).without_directory_times();
    let before = tree();
    let file = dir.path().join("setup.toml");
    let apply = |text: &str, words: &[&str]| {
        fs::write(&file, text).unwrap();
        run(&root, &[&["apply", file.to_str().unwrap()], words].concat())
    };

    assert_eq!(apply(SETUP, &["--yes"]).0, Some(0));
    assert_eq!(run(&root, &["log", "--as-toml"]), (Some(0), SETUP.to_owned()));
    assert_eq!(apply(SETUP, &[]), (Some(0), "Nothing to do.\n".to_owned()));
    let again = apply(SETUP, &["--json"]).1;
    assert!(again.contains("\"changed\": false"), "{again}");

    // One operation, whatever it holds.
    let log = run(&root, &["log"]).1;
    assert_eq!(log.lines().count(), 2, "{log}");

    // A table that is missing leaves its feature as it is; "off" takes it away.
    assert_eq!(apply("multiboot = \"off\"\n", &["--yes"]).0, Some(0));
    let left = "[hugepages]\nsize = \"2M\"\ncount = 512\n";
    assert_eq!(run(&root, &["log", "--as-toml"]).1, left);

    for _ in 0..2 {
        assert_eq!(run(&root, &["undo", "--yes"]).0, Some(0));
    }
    assert_eq!(run(&root, &["log", "--as-toml"]).1, "\n");
    assert_eq!(before.diff(&tree()), "");

    let (code, told) = apply("[hugepages]\nsize = \"3M\"\ncount = 1\n", &["--yes"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("setup.toml:2:8: `3M` is not a huge page size"), "{told}");
}

#[test]
fn keyboard_and_mouse_are_a_table_like_the_others_and_the_xml_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    Description::read(&machines.join("many-inputs.json")).unwrap().lay_out(&root).unwrap();
    let file = dir.path().join("setup.toml");
    let setup = "[cpu]\nhost-cores = 1\n\n[evdev]\ntoggle = \"scrolllock\"\n";
    fs::write(&file, setup).unwrap();
    let apply = ["apply", file.to_str().unwrap(), "--yes"];

    let (code, told) = run(&root, &apply);
    assert_eq!(code, Some(0), "{told}");
    let xml = told.find("<input type='evdev'>").expect("the guest's XML");
    assert!(xml > told.find("etc/deploy-vfio/setup.d/evdev.toml").unwrap(), "{told}");
    assert!(told.contains("grabToggle='scrolllock'"), "{told}");
    assert_eq!(run(&root, &["log", "--as-toml"]), (Some(0), setup.to_owned()));

    let again = run(&root, &[&apply[..], &["--json"]].concat()).1;
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(again["evdev"]["toggle"], "scrolllock", "{again}");
    assert_eq!(again["evdev"]["xml"]["inside"], "devices", "{again}");

    let line = ["--evdev", "--skip-vfio-setup", "--skip-post-setup", "--yes"];
    let (code, told) = run(&root, &line);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("grabToggle='ctrl-ctrl'"), "{told}");
    let (code, told) = run(&root, &["--uninstall-pre-setup", "--skip-vfio-setup", "--yes"]);
    assert_eq!((code, told.contains("<input")), (Some(0), false), "{told}");
    assert_eq!(run(&root, &["log", "--as-toml"]).1, "\n");

    fs::write(&file, "[evdev]\ntoggle = \"caps\"\n").unwrap();
    let (code, told) = run(&root, &apply);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("setup.toml:2:10: `caps` is no combination of keys"), "{told}");
}

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

//! The journal as the programs show it: records of earlier versions, and damaged ones.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use vfio_testkit::{Outcome, Programs};

const FIXTURE: &str = "crates/vfio-core/tests/fixtures/journal-format-1";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// An empty tree with the state directory that an earlier version left.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("var/lib/deploy-vfio");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE), &state);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn run(root: &Path, words: &[&str]) -> Outcome {
    Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio"))).run(root, words).unwrap()
}

#[test]
fn log_shows_what_an_earlier_version_did() {
    let dir = tree();
    let log = run(dir.path(), &["log"]);
    let rows: Vec<Vec<&str>> =
        log.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(log.code, 0, "{}", log.stderr);
    assert_eq!(rows[1], ["3", "2026-11-22T21:32:26Z", "applied", "hugepages", "2M", "512"]);
    assert_eq!(rows[2][2..], ["applied", "static", "file"]);
    assert_eq!(rows[3][2..], ["rolled", "back", "static", "file"]);
    let one = run(dir.path(), &["log", "3"]);
    assert!(one.stdout.contains("\n+# >>> deploy-vfio >>>\n"), "{}", one.stdout);
}

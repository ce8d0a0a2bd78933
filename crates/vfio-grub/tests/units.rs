//! The units of a trial, as systemd reads them.
#![allow(clippy::disallowed_methods, reason = "a test makes its own tree")]

use std::{fs, path::Path, process::Command};

const UNITS: [&str; 2] = ["deploy-vfio-trial.service", "deploy-vfio-trial-report.service"];

#[test]
fn systemd_accepts_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let paths = UNITS.map(|name| {
        let text = fs::read_to_string(assets.join(name)).unwrap();
        assert!(text.contains("\"@PROGRAM@\""), "{name}");
        let path = dir.path().join(name);
        fs::write(&path, text.replace("@PROGRAM@", "/bin/true")).unwrap();
        path
    });
    let run = Command::new("systemd-analyze").arg("verify").args(&paths).output();
    // Not everybody who builds this has systemd.
    let Ok(output) = run else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours = said.lines().filter(|line| UNITS.iter().any(|name| line.contains(name)));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
}

//! The unit's program on trees with counters as the kernel has them, and the units themselves.
#![allow(clippy::disallowed_methods, reason = "a test makes trees and runs programs")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const COUNTER: &str = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

fn node(number: u32) -> String {
    format!("sys/devices/system/node/node{number}/hugepages/hugepages-2048kB/nr_hugepages")
}

fn write(root: &Path, path: &str, text: &str) {
    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    fs::write(root.join(path), text).unwrap();
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap().trim().to_owned()
}

/// Runs the program; `systemctl` says that the system is `state`.
fn run(root: &Path, word: &str, state: &str) -> Output {
    write(root, "bin/systemctl", &format!("#!/bin/sh\necho {state}\nexit 1\n"));
    let systemctl = root.join("bin/systemctl");
    assert!(Command::new("chmod").arg("+x").arg(systemctl).status().unwrap().success());
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    let mut command = Command::new("sh");
    command.arg(asset("runtime-hugepages")).arg(word).arg(root).env_clear().env("PATH", path);
    command.output().unwrap()
}

#[test]
fn pages_are_reserved_beside_those_of_others_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "etc/deploy-vfio/runtime-hugepages", "# x\nany 512\n0 256\n1 300\n9 1\n$(x) 1\n");
    write(root, "proc/sys/vm/compact_memory", "");
    write(root, COUNTER, "12\n");
    write(root, &node(0), "0\n");
    write(root, &node(1), "400\n");
    let output = run(root, "reserve", "running");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "no huge pages can be reserved on node 9\n");
    assert_eq!(read(root, "proc/sys/vm/compact_memory"), "1");
    let counts = |root: &Path| [COUNTER.to_owned(), node(0), node(1)].map(|path| read(root, &path));
    assert_eq!(counts(root), ["512", "256", "400"]);
    assert!(run(root, "release", "running").status.success());
    assert_eq!(counts(root), ["12", "0", "400"]);
    assert!(run(root, "release", "running").status.success());
    assert_eq!(run(root, "", "running").status.code(), Some(2));
}

#[test]
fn fewer_pages_than_asked_for_are_told_and_are_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "etc/deploy-vfio/runtime-hugepages", "any 512\n");
    fs::create_dir_all(root.join(COUNTER).parent().unwrap()).unwrap();
    // A counter that never rises.
    std::os::unix::fs::symlink("/dev/null", root.join(COUNTER)).unwrap();
    let output = run(root, "reserve", "running");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "0 of 512 huge pages of 2 MiB were to be had on node any\n");
}

#[test]
fn a_normal_boot_beside_a_menu_of_ours_keeps_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let due = |state: &str| run(root, "due", state).status.success();
    write(root, "proc/cmdline", "ro quiet\n");
    assert!(due("starting"), "no menu");
    write(root, "etc/deploy-vfio/entries.d/x.conf", "");
    assert!(!due("starting"), "the normal entry");
    assert!(due("running") && due("degraded"), "started by hand");
    write(root, "proc/cmdline", "ro deploy_vfio.entry=x\n");
    assert!(due("starting"), "an entry of ours");
}

#[test]
fn systemd_accepts_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["deploy-vfio-hugepages.service", "dev-hugepages1G.mount", "dev-hugepages2M.mount"];
    for name in names {
        let text = fs::read_to_string(asset(name)).unwrap();
        // The program is not installed where tests run.
        let text = text.replace("/usr/local/lib/deploy-vfio/runtime-hugepages", "/bin/true");
        write(dir.path(), name, &text);
    }
    let paths = names.map(|name| dir.path().join(name));
    let run = Command::new("systemd-analyze").arg("verify").args(paths).output();
    // Not everybody who builds this has systemd.
    let Ok(output) = run else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours = said.lines().filter(|line| names.iter().any(|name| line.contains(name)));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
}

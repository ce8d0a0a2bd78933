//! T15, T16: what the programs are made of, and where they lie.

use std::fs;

use super::*;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn sec_t15_every_dependency_is_locked_and_comes_from_the_registry() {
    let lock = fs::read_to_string(project("Cargo.lock")).unwrap();
    let sources: Vec<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(sources.len() > 30);
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert!(sources.iter().all(|source| *source == registry), "{sources:?}");
    assert_eq!(lock.matches("checksum = ").count(), sources.len());
}

#[test]
fn sec_t15_nothing_of_ours_runs_while_it_is_built() {
    let mut todo = vec![project("crates"), project("bins")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        assert!(path.file_name().unwrap() != "build.rs", "{}", path.display());
    }
    assert!(!project("build.rs").exists());
}

#[test]
fn sec_t15_unknown_sources_are_denied() {
    let deny = fs::read_to_string(project("deny.toml")).unwrap();
    for line in ["unknown-registry = \"deny\"", "unknown-git = \"deny\""] {
        assert!(deny.contains(line), "{line}");
    }
}

/// `doctor` asks the same of its own program.
#[test]
fn sec_t16_a_program_in_a_directory_that_others_may_change_is_told() {
    let dir = private();
    let inner = dir.path().join("bin");
    fs::create_dir(&inner).unwrap();
    let program = inner.join("deploy-vfio");
    script(&program, "#!/bin/sh\n");
    let why = || vfio_cli::programs::trusted(&program).err().map(|failure| failure.to_string());
    if is_root() {
        assert_eq!(why(), None);
    }
    mode(&inner, 0o777);
    let told = why().unwrap();
    assert!(told.contains("is not run as root"), "{told}");
    assert!(include_str!("../../../bins/deploy-vfio-doctor.rs").contains("programs::trusted("));
}

/// A unit with a view of its own of the file system would name its swap by it.
#[test]
fn sec_t16_units_have_no_more_rights_than_they_need() {
    let unit = |path: &str| fs::read_to_string(project(path)).unwrap();
    let zram = unit("crates/vfio-post/assets/deploy-vfio-zram-swap.service");
    for setting in ["ProtectSystem", "ProtectHome", "PrivateTmp", "ReadOnlyPaths", "PrivateDevices"]
    {
        assert!(!zram.contains(setting), "{setting}");
    }
    for path in [
        "crates/vfio-hugepages/assets/deploy-vfio-hugepages.service",
        "crates/vfio-post/assets/deploy-vfio-auto-xorg.service",
        "crates/vfio-post/assets/deploy-vfio-nosleep@.service",
    ] {
        for setting in
            ["NoNewPrivileges=yes", "ProtectSystem=", "ProtectHome=yes", "PrivateTmp=yes"]
        {
            assert!(unit(path).contains(setting), "{path}: {setting}");
        }
        // On a machine with isolated CPUs the boot waits for it without end.
        assert!(!unit(path).contains("PrivateNetwork"), "{path}");
    }
}

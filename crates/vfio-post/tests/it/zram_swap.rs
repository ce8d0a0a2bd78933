//! The program of the swap on trees as the kernel has them.

use std::{fs, path::Path, process::Output};

use super::{program, script, write};

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap().trim().to_owned()
}

/// A machine with 32 GiB, 24 of them in huge pages, a zram device 0 of somebody else's, and one
/// with the number 3 that the kernel is about to make. What is run besides the shell only notes that.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "etc/deploy-vfio/zram-swap", "# x\nfraction=1/4\n");
    write(root, "proc/meminfo", "MemTotal: 33554432 kB\nHugetlb: 25165824 kB\n");
    write(root, "proc/swaps", "Filename\n/dev/zram0 partition 1 0 5\n");
    write(root, "sys/class/zram-control/hot_add", "3\n");
    write(root, "sys/block/zram3/comp_algorithm", "lzo [lzo-rle] lz4 lz4hc zstd\n");
    for name in ["mkswap", "swapon", "swapoff", "modprobe"] {
        program(root, name, "");
    }
    dir
}

/// Runs the program; `systemctl` says that the system is `state`.
fn run(root: &Path, word: &str, state: &str) -> Output {
    program(root, "systemctl", &format!("echo {state}"));
    script(root, "zram-swap").arg(word).arg(root).output().unwrap()
}

fn log(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("log")).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with("systemctl")).map(str::to_owned).collect()
}

#[test]
fn b71_b73_the_device_is_our_own_and_sized_by_what_huge_pages_leave() {
    let dir = machine();
    let root = dir.path();
    let output = run(root, "start", "starting");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(log(root), ["mkswap /dev/zram3", "swapon --discard --priority 100 /dev/zram3"]);
    let device = |name: &str| read(root, &format!("sys/block/zram3/{name}"));
    assert_eq!(device("comp_algorithm"), "lz4");
    assert_eq!((device("mem_limit"), device("disksize")), ("2097152K".into(), "4194304K".into()));

    write(root, "proc/swaps", "Filename\n/dev/zram0 x 1 0 5\n/dev/zram3 x 1 0 100\n");
    assert!(run(root, "stop", "stopping").status.success());
    assert_eq!(log(root).len(), 2, "a machine that goes down keeps it");
    assert!(run(root, "stop", "running").status.success());
    assert_eq!(log(root)[2..], ["swapoff /dev/zram3"]);
    assert_eq!(
        (device("reset"), read(root, "sys/class/zram-control/hot_remove")),
        ("1".into(), "3".into())
    );
    assert!(run(root, "stop", "running").status.success(), "nothing of ours is left");
    assert_eq!(log(root).len(), 3);
}

#[test]
fn a_kernel_without_lz4_keeps_its_own_algorithm() {
    let dir = machine();
    let root = dir.path();
    for (has, used) in [("[lzo] lz4hc", "[lzo] lz4hc"), ("[lz4]", "lz4"), ("lzo lz4 [zstd]", "lz4")]
    {
        write(root, "sys/block/zram3/comp_algorithm", &format!("{has}\n"));
        assert!(run(root, "start", "starting").status.success());
        assert_eq!(read(root, "sys/block/zram3/comp_algorithm"), used);
    }
}

#[test]
fn what_fails_half_way_leaves_no_device() {
    let dir = machine();
    let root = dir.path();
    program(root, "swapon", "exit 1");
    let output = run(root, "start", "starting");
    assert!(!output.status.success());
    assert_eq!(read(root, "sys/class/zram-control/hot_remove"), "3");
    assert!(!root.join("run/deploy-vfio-zram-swap/device").exists());
}

#[test]
fn swap_that_does_not_fit_elsewhere_stays() {
    let dir = machine();
    let root = dir.path();
    assert!(run(root, "start", "starting").status.success());
    write(root, "proc/swaps", "Filename\n/dev/zram3 x 1 0 100\n");
    program(root, "swapoff", "exit 4");
    assert!(!run(root, "stop", "running").status.success());
    assert!(!root.join("sys/block/zram3/reset").exists());
    assert!(root.join("run/deploy-vfio-zram-swap/device").exists(), "it can be stopped later");
}

#[test]
fn what_is_no_fraction_is_told() {
    let dir = machine();
    let root = dir.path();
    for text in [
        "",
        "fraction=0/4\n",
        "fraction=1/2/3\n",
        "fraction=$(x)/2\n",
        "part=1/2\n",
        "fraction=1\n",
    ] {
        write(root, "etc/deploy-vfio/zram-swap", text);
        let output = run(root, "start", "starting");
        assert_eq!(output.status.code(), Some(1), "{text}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("says no fraction"), "{text}: {said}");
        assert!(log(root).is_empty());
    }
    assert_eq!(run(root, "", "running").status.code(), Some(2));
}

#[test]
fn b72_settings_are_read_and_never_run() {
    let dir = machine();
    let root = dir.path();
    let mark = root.join("mark");
    let touch = format!("touch {}", mark.display());
    for text in [
        format!("{touch}\nfraction=1/4\n"),
        format!("fraction=1/4; {touch}\n"),
        format!("fraction=$({touch})\n"),
        format!("fraction=1/4\n`{touch}`\n"),
    ] {
        write(root, "etc/deploy-vfio/zram-swap", &text);
        run(root, "start", "starting");
        assert!(!mark.exists(), "{text}");
    }
}

//! T9: a tree or a snapshot from somewhere else, made to be read by us.

use std::{fs, os::unix::fs::symlink};

use super::*;

/// Files that commands read, of every part of a tree.
const READ: [&str; 14] = [
    "etc/os-release",
    "etc/fstab",
    "etc/default/grub",
    "etc/group",
    "etc/passwd",
    "etc/crypttab",
    "proc/cmdline",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/self/mountinfo",
    "proc/swaps",
    "proc/modules",
    "boot/grub/grub.cfg",
    "sys/devices/system/cpu/online",
];
const COMMANDS: [&[&str]; 8] = [
    &["groups"],
    &["status"],
    &["doctor"],
    &["host", "--json"],
    &["multiboot", "last", "--dry-run"],
    &["static", "grub", "--dry-run"],
    &["hugepages", "2M", "64", "--dry-run"],
    &["cpu", "--dry-run"],
];

/// Every command ends soon, as documented, whatever stands in the place of a file.
fn bears(what: &str, make: impl Fn(&Path)) {
    let stage = stage();
    for path in READ {
        let path = stage.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        make(&path);
    }
    for words in COMMANDS {
        let output = run(stage.path(), words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // 124 is that of `timeout`.
        assert!(matches!(output.status.code(), Some(0..=7)), "{what}: {words:?}: {output:?}");
        assert!(!text.contains("panicked"), "{what}: {words:?}: {text}");
    }
}

#[test]
fn sec_t9_fifos_do_not_hang_it() {
    bears("a FIFO", |path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    });
}

#[test]
fn sec_t9_directories_are_no_files() {
    bears("a directory", |path| fs::create_dir(path).unwrap());
}

#[test]
fn sec_t9_links_in_circles_end() {
    bears("a circle", |path| symlink(path.file_name().unwrap(), path).unwrap());
}

#[test]
fn sec_t9_links_to_devices_of_the_host_are_not_opened() {
    bears("a link to /dev/zero", |path| symlink("/dev/zero", path).unwrap());
    bears("a link out", |path| symlink("../../../../../../../../dev/zero", path).unwrap());
}

#[test]
fn sec_t9_device_nodes_are_not_read() {
    if !is_root() {
        return;
    }
    bears("/dev/zero", |path| {
        // Where no node may be made, there is none to be afraid of.
        let _ = Command::new("mknod").arg(path).args(["c", "1", "5"]).output().unwrap();
    });
}

#[test]
fn sec_t9_sockets_are_not_read() {
    bears("a socket", |path| {
        let short = path.file_name().unwrap().to_owned();
        let dir = fs::File::open(path.parent().unwrap()).unwrap();
        // By way of the open directory: the path of a socket is short.
        let at = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
        drop(std::os::unix::net::UnixListener::bind(Path::new(&at).join(short)).unwrap());
    });
}

#[test]
fn sec_t9_a_file_without_end_is_not_read_to_its_end() {
    bears("a terabyte", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap());
}

#[test]
fn sec_t9_bytes_that_are_no_text_are_borne() {
    bears("bytes", |path| {
        fs::write(path, (0..=255).cycle().take(70_000).collect::<Vec<u8>>()).unwrap()
    });
    bears("one line", |path| fs::write(path, "x".repeat(3 << 20)).unwrap());
    bears("nothing", |path| fs::write(path, "").unwrap());
}

#[test]
fn sec_t9_a_hostile_snapshot_is_refused_or_read() {
    let (stage, dir) = (stage(), private());
    let good = said(&run(stage.path(), &["host", "--json"]), 0);
    let file = dir.path().join("machine.json");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let mut texts =
        vec![String::new(), "{".to_owned(), "null".to_owned(), deep, "9".repeat(1 << 20)];
    let step = (good.len() / 40).max(1);
    for at in (0..good.len()).step_by(step).filter(|at| good.is_char_boundary(*at)) {
        texts.push(good[..at].to_owned());
        texts.push(format!("{}\u{0}\u{1b}99999999999999999999{}", &good[..at], &good[at..]));
    }
    texts.push(good.replace("0000:01:00.0", "../../../etc/shadow"));
    texts.push(good.replace("0000:", "ffffffff:"));
    for text in texts {
        fs::write(&file, &text).unwrap();
        let mut command = Command::new("/usr/bin/timeout");
        command.args(["60", PROGRAM, "--machine"]).arg(&file).args([
            "multiboot",
            "last",
            "--dry-run",
        ]);
        let output = command.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 2 | 6)), "{output:?}: {:.80}", text);
        assert!(!told.contains("panicked") && !told.contains('\u{1b}'), "{told}");
    }
}

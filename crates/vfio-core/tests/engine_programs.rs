//! Generators that fail in every way they can, run in a chroot of a scratch machine.
//!
//! Needs root, `unshare` and a static busybox; says so and passes where they are missing.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use vfio_core::{
    Advice, Error, Exit, Root,
    change::{self, Draft, Interrupt, OnConflict, Plan, Programs, Rebuild, Rebuilder, Settings},
};

const BUSYBOX: &str = "/bin/busybox";

fn script(dir: &Path, name: &str, text: &str) {
    let path = dir.join("usr/sbin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn machine() -> Option<(tempfile::TempDir, Root)> {
    let dir = tempfile::tempdir().unwrap();
    for path in ["bin", "usr/sbin", "boot/grub", "etc/default", "lib/modules/6.1", "proc", "dev"] {
        fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    fs::write(dir.path().join("boot/grub/grub.cfg"), "old menu\n").unwrap();
    fs::write(dir.path().join("boot/initrd.img-6.1"), "old initrd\n").unwrap();
    fs::write(dir.path().join("boot/initrd.img-5.0"), "of a kernel that is gone\n").unwrap();
    fs::copy(BUSYBOX, dir.path().join("bin/busybox")).ok()?;
    for name in ["sh", "cat", "sleep", "printf", "test", "env", "true", "chmod"] {
        symlink("busybox", dir.path().join("bin").join(name)).unwrap();
    }
    script(dir.path(), "update-grub", r#"grub-mkconfig -o /boot/grub/grub.cfg "$@""#);
    script(
        dir.path(),
        "grub-mkconfig",
        "while [ $# -gt 1 ]; do shift; done\n\
         { printf 'menu\n'; cat /etc/default/grub.d/x.cfg; } > $1.new\n\
         umask 077; cat $1.new > $1; rm() { busybox rm \"$@\"; }; rm $1.new",
    );
    script(dir.path(), "grub-script-check", "test -s \"$1\"");
    script(dir.path(), "mkinitramfs", "env > /environment; printf 'new initrd of %s' $3 > $2");
    script(dir.path(), "lsinitramfs", "printf 'init\nscripts/x\n'");
    let usable = rustix::process::geteuid().is_root()
        && change::apply(&root, &plan(&root), &settings(&CALM))
            .inspect_err(|error| eprintln!("skipped: {error} {:?}", error.because()))
            .is_ok();
    if usable {
        change::undo(&root, OnConflict::Stop, &settings(&CALM)).unwrap();
        fs::write(dir.path().join("boot/grub/grub.cfg"), "old menu\n").unwrap();
        fs::write(dir.path().join("boot/initrd.img-6.1"), "old initrd\n").unwrap();
    }
    usable.then_some((dir, root))
}

static PROGRAMS: Programs = Programs::with_definer(None);
static CALM: Interrupt = Interrupt::new();

fn settings(interrupt: &Interrupt) -> Settings<'_> {
    let wait = Duration::from_secs(1);
    Settings { rebuilder: &PROGRAMS, verify: None, interrupt, wait, progress: &|_| () }
}

fn plan(root: &Root) -> Plan {
    let mut draft = Draft::new(root);
    draft.write("etc/default/grub.d/x.cfg", "entries\n").unwrap();
    draft.write("etc/modprobe.d/x.conf", "options\n").unwrap();
    draft.finish("programs").unwrap()
}

fn strays(dir: &Path) -> Vec<String> {
    let names = |path: &str| fs::read_dir(dir.join(path)).unwrap();
    let all = names("boot").chain(names("boot/grub")).chain(names("etc/default"));
    let all = all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    all.filter(|name| name.contains(".dv-")).collect()
}

fn boot(dir: &Path) -> (String, String) {
    let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap_or_default();
    (read("boot/grub/grub.cfg"), read("boot/initrd.img-6.1"))
}

#[test]
fn programs_build_beside_and_the_engine_installs() {
    let Some((dir, root)) = machine() else { return };
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(dir.path().join("boot/grub/grub.cfg"), mode).unwrap();
    let listed = |_: &Root, artefacts: &[change::Artefact]| {
        let initrd = artefacts.iter().find(|a| a.what == Rebuild::Initramfs).unwrap();
        assert_eq!(initrd.listing.as_deref().unwrap(), ["init", "scripts/x"]);
        Ok(())
    };
    let settings = Settings { verify: Some(&listed), ..settings(&CALM) };
    let applied = change::apply(&root, &plan(&root), &settings).unwrap();
    assert_eq!(applied.rebuilt.len(), 2);
    assert_eq!(boot(dir.path()), ("menu\nentries\n".to_owned(), "new initrd of 6.1".to_owned()));
    let mode = fs::metadata(dir.path().join("boot/grub/grub.cfg")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the menu keeps its mode");
    let environment = fs::read_to_string(dir.path().join("environment")).unwrap();
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        let known = ["PATH", "LC_ALL", "HOME", "TERM", "PWD", "SHLVL", "OLDPWD", "_"];
        assert!(known.contains(&name), "{line}");
    }
    assert_eq!(strays(dir.path()), Vec::<String>::new());
    assert!(dir.path().join("var/lib/deploy-vfio/tx/000002/cmd/01.out").exists());
}

#[test]
fn every_way_to_fail_leaves_the_old_boot_files() {
    let Some((dir, root)) = machine() else { return };
    for (name, text, says) in [
        ("grub-mkconfig", "echo no such disk; exit 3", "exit status 3"),
        ("grub-mkconfig", "true", "wrote nothing"),
        ("grub-mkconfig", "while [ $# -gt 1 ]; do shift; done; true > $1", "empty"),
        (
            "grub-mkconfig",
            "while [ $# -gt 1 ]; do shift; done; echo x > $1.new; echo x > $1",
            "half made",
        ),
        ("mkinitramfs", "kill -9 $$", "signal 9"),
        ("mkinitramfs", "busybox mkdir $2 && busybox touch $2/x", "not a regular file"),
        ("mkinitramfs", "busybox ln -s /etc/passwd $2", "not a regular file"),
        ("mkinitramfs", "printf x > $2", "less than half"),
    ] {
        let path = dir.path().join("usr/sbin").join(name);
        let good = fs::read(&path).unwrap();
        script(dir.path(), name, text);
        match change::apply(&root, &plan(&root), &settings(&CALM)).unwrap_err() {
            Error::Program { status, .. } => assert!(status.contains(says), "{status}: {text}"),
            other => panic!("{text}: {other}"),
        }
        fs::write(&path, good).unwrap();
        let old = ("old menu\n".to_owned(), "old initrd\n".to_owned());
        assert_eq!(boot(dir.path()), old, "{text}");
        assert!(!dir.path().join("etc/default/grub.d").exists(), "{text}");
        assert_eq!(strays(dir.path()), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_signal_ends_a_hanging_program() {
    let Some((dir, root)) = machine() else { return };
    script(dir.path(), "mkinitramfs", "sleep 60 & sleep 60");
    let interrupt = Interrupt::new();
    let start = std::time::Instant::now();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            interrupt.raise(2);
        });
        change::apply(&root, &plan(&root), &settings(&interrupt)).unwrap_err()
    });
    assert_eq!(error.exit(), Exit::Interrupted);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(boot(dir.path()).1, "old initrd\n");
    assert_eq!(strays(dir.path()), Vec::<String>::new());
}

#[test]
fn without_a_program_it_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("boot/grub")).unwrap();
    fs::create_dir_all(dir.path().join("etc")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let error = change::apply(&root, &plan(&root), &settings(&CALM)).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.because()[0].contains("grub-mkconfig"), "{:?}", error.because());
    assert!(error.help()[0].contains("--no-rebuild"));
    assert!(!dir.path().join("var").exists());
    assert_eq!(Programs::default().by_hand(&root, Rebuild::BootMenu).len(), 1);
}

//! Records that earlier versions wrote can be shown and undone for ever.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use vfio_core::{
    Root,
    change::{self, Image, Interrupt, NoRebuild, OnConflict, Settings, Standing, State},
};

#[path = "fixtures/state.rs"]
mod state;

static CALM: Interrupt = Interrupt::new();

fn settings() -> Settings<'static> {
    let wait = Duration::from_secs(2);
    Settings { rebuilder: &NoRebuild, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-format-1")
}

/// A tree with the state directory of format 1, and the files as its operations left them.
fn machine() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    state::lay_out(&fixture(), dir.path());
    fs::create_dir_all(at("usr/share")).unwrap();
    fs::create_dir_all(at("etc")).unwrap();
    symlink("../usr/share/real", at("etc/link")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    for operation in change::history(&root).unwrap() {
        let changes = operation.plan.changes.into_iter();
        for change in changes.filter(|_| operation.state == State::Applied) {
            let path = at(&change.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match change.after {
                Image::Absent => assert!(!path.exists()),
                Image::Link(to) => symlink(to, path).unwrap(),
                Image::Unkept { .. } => panic!("{} is not large", path.display()),
                Image::File { bytes, meta } => {
                    fs::write(&path, bytes).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode)).unwrap();
                }
            }
        }
    }
    (dir, root)
}

#[test]
fn a_journal_of_format_1_is_shown() {
    let (_dir, root) = machine();
    let history = change::history(&root).unwrap();
    let told: Vec<_> = history.iter().map(|o| (o.id, o.state, o.title.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, State::RolledBack, "static file"),
            (2, State::Applied, "static file"),
            (3, State::Applied, "hugepages 2M 512"),
        ]
    );
    assert!(history.iter().all(|operation| operation.damage.is_none()));
    assert_eq!(history[1].time, "2026-11-22T21:32:26Z");
    assert_eq!(history[1].plan.changes.len(), 8);
    assert!(!history[2].by_hand.is_empty());
    let diff = change::diff(&history[2].plan);
    assert!(diff.contains("+# >>> deploy-vfio >>>\n+GRUB_CMDLINE_LINUX="), "{diff}");
    assert_eq!(change::interrupted(&root).unwrap(), None);
}

#[test]
fn a_journal_of_format_1_is_undone_and_done_again() {
    let (dir, root) = machine();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: its files belong to root");
        return;
    }
    let read = |path: &str| fs::read_to_string(dir.path().join(path)).ok();
    let undo = || change::undo(&root, OnConflict::Stop, &settings()).unwrap();
    for operation in &change::history(&root).unwrap()[2..] {
        let standing = change::standing(&root, operation).unwrap();
        assert!(standing.iter().all(|(_, how)| *how == Standing::InPlace), "{standing:?}");
    }
    assert_eq!(undo().unwrap().id, 3);
    assert_eq!(read("etc/default/grub").as_deref(), Some("GRUB_TIMEOUT=5\nGRUB_DEFAULT=saved\n"));
    assert_eq!(undo().unwrap().id, 2);
    assert_eq!(undo(), None);
    assert_eq!(read("etc/default/grub").as_deref(), Some("GRUB_TIMEOUT=5\n"));
    assert_eq!(read("etc/modules").as_deref(), Some("loop\n"));
    assert_eq!(read("usr/share/real").as_deref(), Some("linked\n"));
    assert_eq!(root.link("etc/link").unwrap().as_deref(), Some("../usr/share/real"));
    assert_eq!(root.link("etc/dangling").unwrap().as_deref(), Some("nowhere"));
    for gone in
        ["etc/new-link", "etc/deploy-vfio", "etc/libvirt", "etc/modprobe.d/deploy-vfio.conf"]
    {
        assert!(fs::symlink_metadata(dir.path().join(gone)).is_err(), "{gone}");
    }
    let modules = fs::metadata(dir.path().join("etc/modules")).unwrap();
    assert_eq!((modules.mode() & 0o7777, modules.mtime()), (0o600, 1_577_934_245));
    assert_eq!(modules.mtime_nsec(), 678_901_234);

    assert_eq!(change::redo(&root, &settings()).unwrap().unwrap().id, 2);
    assert_eq!(read("etc/deploy-vfio/a/b").as_deref(), Some("new\n"));
    assert_eq!(read("etc/modules"), None);
    assert_eq!(change::recover(&root, &settings()).unwrap(), []);
}

//! The laws of an operation, on files that chance made: undo is the inverse of apply, what is in place
//! is nothing to do, redo is apply again, and a plan's record says after any undo what it said before.
//!
//! `PROPTEST_CASES` sets how many histories are tried.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use proptest::{collection::vec, option, prelude::*, sample::select};
use vfio_core::{
    Error, Result, Root,
    change::{self, Draft, Interrupt, NoRebuild, OnConflict, Plan, Settings, State},
};
use vfio_testkit::Tree;

const PATHS: [&str; 7] = [
    "etc/default/grub",
    "etc/modules",
    "etc/a dir/größe \"x\".conf",
    "etc/modprobe.d/vfio.conf",
    "etc/deep/er/y",
    "usr/local/lib/z",
    "etc/libvirt/qemu/guest.xml",
];

/// Why a file cannot be written through a link.
const NO_WAY: [&str; 2] =
    ["it is a symbolic link to nothing", "its symbolic links go round in circles"];

/// What a path holds before anything is done.
#[derive(Clone, Debug)]
struct File {
    bytes: Vec<u8>,
    mode: u32,
    seconds: u64,
    nanoseconds: u32,
}

/// What an operation does to a path.
#[derive(Clone, Debug)]
enum Deed {
    Write(Vec<u8>),
    Program(Vec<u8>),
    Link(&'static str),
    Remove,
}

fn file() -> impl Strategy<Value = File> {
    // Nobody but root can read, and compare, a file of mode 0.
    let least = if rustix::process::geteuid().is_root() { 0o000 } else { 0o400 };
    let mode = select(vec![0o600, 0o640, 0o644, 0o755, 0o400, 0o2755, least]);
    (vec(any::<u8>(), 0..200), mode, 0..4_000_000_000_u64, 0..1_000_000_000_u32)
        .prop_map(|(bytes, mode, seconds, nanoseconds)| File { bytes, mode, seconds, nanoseconds })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..200).prop_map(Deed::Write),
        1 => vec(any::<u8>(), 0..200).prop_map(Deed::Program),
        1 => select(vec!["modules", "../etc/modules", "nowhere"]).prop_map(Deed::Link),
        2 => Just(Deed::Remove),
    ]
}

fn lay_out(root: &Path, files: &[Option<File>]) {
    for (path, file) in PATHS.iter().zip(files) {
        let Some(file) = file else { continue };
        let at = root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, &file.bytes).unwrap();
        let time = UNIX_EPOCH + Duration::new(file.seconds, file.nanoseconds);
        fs::File::options().write(true).open(&at).unwrap().set_modified(time).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(file.mode)).unwrap();
    }
    symlink("modules", root.join("etc/link")).unwrap();
}

/// Everything but the state directory, without the times of links and directories.
fn look(root: &Path) -> Tree {
    Tree::read(root).unwrap().without(&["var"]).without_link_times().without_directory_times()
}

/// The same without any times: a file that is written again has one of its own.
fn contents(root: &Path) -> Tree {
    let mut tree = look(root);
    tree.0.values_mut().for_each(|fingerprint| fingerprint.mtime_ns = 0);
    tree
}

fn plan(root: &Root, deeds: &BTreeMap<usize, Deed>) -> Result<Plan> {
    let mut draft = Draft::new(root);
    for (&at, deed) in deeds {
        match deed {
            Deed::Write(bytes) => draft.write(PATHS[at], bytes.clone())?,
            Deed::Program(bytes) => draft.write_executable(PATHS[at], bytes.clone())?,
            Deed::Link(to) => draft.symlink(PATHS[at], to),
            Deed::Remove => draft.remove(PATHS[at]),
        }
    }
    draft.finish("chance")
}

static CALM: Interrupt = Interrupt::new();

fn settings() -> Settings<'static> {
    let wait = Duration::from_millis(100);
    Settings { rebuilder: &NoRebuild, verify: None, interrupt: &CALM, wait, progress: &|_| () }
}

fn recorded(root: &Root) -> Vec<Plan> {
    change::history(root).unwrap().into_iter().map(|operation| operation.plan).collect()
}

fn undo(root: &Root) -> Option<u32> {
    change::undo(root, OnConflict::Stop, &settings()).unwrap().map(|undone| undone.id)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn undo_is_the_inverse_of_apply(
        files in vec(option::weighted(0.7, file()), PATHS.len()),
        history in vec(prop::collection::btree_map(0..PATHS.len(), deed(), 1..5), 1..4),
        at_once in any::<bool>(),
    ) {
        let memory = tempfile::tempdir_in("/dev/shm");
        let dir = memory.or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir_all(dir.path().join("etc/default")).unwrap();
        lay_out(dir.path(), &files);
        let root = Root::open(dir.path()).unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for deeds in &history {
            let planned = match plan(&root, deeds) {
                Ok(plan) if plan.is_empty() => continue,
                // The one thing here that is refused.
                Err(Error::Refused { because, .. })
                    if NO_WAY.iter().any(|why| because == [*why]) =>
                {
                    continue;
                }
                plan => plan.unwrap(),
            };
            before.push(look(dir.path()));
            change::apply(&root, &planned, &settings()).unwrap();
            after.push(contents(dir.path()));
            prop_assert!(plan(&root, deeds).unwrap().is_empty(), "it is in place");
        }
        let records = recorded(&root);
        prop_assert_eq!(records.len(), before.len());
        if at_once {
            change::undo_all(&root, OnConflict::Stop, &settings()).unwrap();
        } else {
            for at in (0..before.len()).rev() {
                prop_assert!(undo(&root).is_some());
                prop_assert_eq!(&look(dir.path()), &before[at]);
                prop_assert!(change::redo(&root, &settings()).unwrap().is_some());
                prop_assert_eq!(&contents(dir.path()), &after[at]);
                prop_assert!(undo(&root).is_some());
                prop_assert_eq!(&look(dir.path()), &before[at]);
            }
        }
        if let Some(first) = before.first() {
            prop_assert_eq!(&look(dir.path()), first);
        }
        prop_assert_eq!(undo(&root), None);
        prop_assert_eq!(recorded(&root), records);
        let history = change::history(&root).unwrap();
        prop_assert!(history.iter().all(|operation| operation.state == State::Undone));
    }
}

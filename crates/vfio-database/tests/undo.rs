//! The file is written by the engine like any other: journalled, and taken back.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{fs, time::Duration};

use vfio_core::{
    Root,
    change::{self, Draft, Interrupt, NoRebuild, OnConflict, Settings},
    host::Machine,
};
use vfio_database::{Database, FILE, consult};

static CALM: Interrupt = Interrupt::new();

#[test]
fn b17_undo_takes_the_file_away() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let text = include_str!("../../vfio-core/tests/fixtures/snapshot-v1.json");
    let mut machine = Machine::from_snapshot(&text.replace("vfio-pci", "nvidia")).unwrap();
    let mut draft = Draft::new(&root);
    consult(&mut draft, &mut machine, None).unwrap();
    let plan = draft.finish("x").unwrap();
    assert!(plan.rebuilds().is_empty());

    let wait = Duration::from_millis(100);
    let settings =
        Settings { rebuilder: &NoRebuild, verify: None, interrupt: &CALM, wait, progress: &|_| () };
    change::apply(&root, &plan, &settings).unwrap();
    let written = fs::read(dir.path().join(FILE)).unwrap();
    assert_eq!(Database::parse(&written).unwrap(), Database::of(&machine).unwrap());
    let mut again = Draft::new(&root);
    consult(&mut again, &mut machine, None).unwrap();
    assert!(again.finish("x").unwrap().is_empty());

    change::undo(&root, OnConflict::Stop, &settings).unwrap();
    assert!(!dir.path().join("etc").exists());
}

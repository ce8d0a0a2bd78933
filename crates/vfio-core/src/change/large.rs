//! The laws for programs, of which the journal keeps a copy only where an undo needs one.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{fs, path::Path};

use super::*;
use crate::{
    Advice, Error, Exit, Root,
    change::{
        disk::Disk,
        engine::Work,
        laws::{self, Fake, assert_same, content, settings, tree},
    },
};

const NEW: &str = "usr/bin/new";
const OLD: &str = "usr/bin/old";
const GONE: &str = "usr/bin/gone";
const CALM: Fake = Fake { fail: false };

/// A program of one letter, larger than what is kept everywhere.
fn program(letter: u8) -> Vec<u8> {
    [&[0x7f][..], &[letter; 5000], &[0]].concat()
}

fn machine() -> (tempfile::TempDir, Root) {
    let (dir, root) = laws::machine();
    fs::create_dir(dir.path().join("usr/bin")).unwrap();
    fs::write(dir.path().join(OLD), program(b'o')).unwrap();
    fs::write(dir.path().join(GONE), program(b'g')).unwrap();
    (dir, root)
}

fn plan(root: &Root) -> Plan {
    let mut draft = Draft::new(root);
    draft.write_executable(NEW, program(b'n')).unwrap();
    draft.write_executable(OLD, program(b'p')).unwrap();
    draft.remove(GONE);
    draft.write("usr/share/man/new.1", ".TH NEW 1\n").unwrap();
    draft.finish("install").unwrap()
}

/// The files of at least a program's size below a directory, without their numbers' zeros.
fn copies(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let large = names.filter(|entry| entry.metadata().unwrap().len() > 5000);
    let mut names: Vec<_> = large.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_put_in_place_is_kept_nowhere_else_and_undo_restores_every_byte() {
    let (dir, root) = machine();
    let old = tree(dir.path());
    apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    let record = dir.path().join("var/lib/deploy-vfio/tx/000001");
    assert_eq!(copies(&record.join("post")), [""; 0]);
    assert_eq!(copies(&record.join("pre")), ["0000", "0002"], "what went, and what was replaced");
    assert_eq!(fs::read(dir.path().join(OLD)).unwrap(), program(b'p'));
    assert!(plan(&root).is_empty(), "the same again changes nothing");

    let operation = history(&root).unwrap().remove(0);
    let standings = standing(&root, &operation).unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::InPlace), "{standings:?}");
    let shown = diff(&operation.plan);
    assert!(shown.contains("new file mode 100755\nBinary file: 5002 bytes\n"), "{shown}");
    assert!(shown.contains("Binary files differ: 5002 and 5002 bytes\n"), "{shown}");

    undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap().unwrap();
    assert_same(&tree(dir.path()), &old, "after undo");
    assert_eq!(copies(&record.join("undo-0001/pre")), ["0001"], "the new one only goes");
    assert_eq!(copies(&record.join("undo-0001/post")), [""; 0]);
}

#[test]
fn what_the_journal_does_not_hold_is_no_redo() {
    let (dir, root) = machine();
    apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap();
    let old = tree(dir.path());
    let refused = redo(&root, &settings(&NoRebuild)).unwrap_err();
    assert_eq!(preview_redo(&root).unwrap_err().to_string(), refused.to_string());
    assert_eq!(refused.exit(), Exit::Refused);
    assert_eq!(refused.help(), ["`deploy-vfio install` once more"]);
    assert_same(&tree(dir.path()), &old, "after the refusal");

    // What only went away can go again.
    let mut draft = Draft::new(&root);
    draft.remove(GONE);
    apply(&root, &draft.finish("uninstall").unwrap(), &settings(&NoRebuild)).unwrap();
    let without = content(dir.path());
    undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap();
    assert_eq!(fs::read(dir.path().join(GONE)).unwrap(), program(b'g'));
    redo(&root, &settings(&NoRebuild)).unwrap().unwrap();
    assert_same(&content(dir.path()), &without, "after redo");
}

#[test]
fn an_edit_of_a_program_is_never_lost() {
    let (dir, root) = machine();
    apply(&root, &plan(&root), &settings(&NoRebuild)).unwrap();
    fs::write(dir.path().join(NEW), program(b'e')).unwrap();
    let stopped = undo(&root, OnConflict::Stop, &settings(&NoRebuild)).unwrap_err();
    assert!(matches!(&stopped, Error::Conflict { paths, .. } if *paths == [NEW]), "{stopped}");
    undo(&root, OnConflict::Restore, &settings(&NoRebuild)).unwrap().unwrap();
    let kept = dir.path().join("var/lib/deploy-vfio/tx/000001/undo-0001/pre");
    let edit = copies(&kept).into_iter().map(|name| fs::read(kept.join(name)).unwrap());
    assert!(edit.into_iter().any(|bytes| bytes == program(b'e')), "the edit is in the journal");
}

#[test]
fn a_power_cut_anywhere_leaves_the_old_programs_or_the_new() {
    laws::cut_applies((machine, plan), |root, calls| {
        let now = root.bytes(OLD).unwrap().unwrap();
        assert!(now == program(b'o') || now == program(b'p'), "torn at {calls}");
    });
}

#[test]
fn a_power_cut_in_an_undo_leaves_it_undone() {
    laws::cut_undos((machine, plan));
}

/// An undo is cut off, and then somebody removes the program that it had displaced.
#[test]
fn what_somebody_took_from_an_interrupted_undo_stays_away() {
    let mut tried = 0;
    for calls in 0.. {
        let (dir, root) = machine();
        apply(&root, &plan(&root), &settings(&CALM)).unwrap();
        let disk = Disk::cut_after(calls);
        if Work::new(&root, &disk, &settings(&CALM)).undo(OnConflict::Stop, 1).is_ok() {
            break;
        }
        let displaced = dir.path().join("usr/bin/.new.dv-000001.swp~");
        if history(&root).unwrap()[0].state != State::Undoing || !displaced.exists() {
            continue;
        }
        fs::remove_file(displaced).unwrap();
        recover(&root, &settings(&CALM)).unwrap();
        assert_eq!(history(&root).unwrap()[0].state, State::Undone, "cut at {calls}");
        assert!(!dir.path().join(NEW).exists());
        assert_eq!(fs::read(dir.path().join(OLD)).unwrap(), program(b'o'));
        tried += 1;
    }
    assert!(tried > 5, "only {tried} cuts left something to take");
}

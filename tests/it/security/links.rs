//! T8: links and races in /etc, in the state directory and on the way to them.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use vfio_testkit::Tree;

use super::*;

/// A machine, and a directory outside it that must stay as it is.
fn with_outside() -> (Stage, tempfile::TempDir, Tree) {
    let outside = private();
    fs::write(outside.path().join("victim"), "outside\n").unwrap();
    let tree = Tree::read(outside.path()).unwrap();
    (stage(), outside, tree)
}

fn unharmed(outside: &tempfile::TempDir, before: &Tree) {
    assert_eq!(before.diff(&Tree::read(outside.path()).unwrap()), "");
}

#[test]
fn sec_t8_a_link_out_of_the_root_stays_in_it() {
    let (stage, outside, before) = with_outside();
    let link = stage.path().join("etc/modprobe.d/x.conf");
    symlink(outside.path().join("victim"), &link).unwrap();
    let output = apply(stage.path(), "etc/modprobe.d/x.conf", "written\n");
    assert!(matches!(output.status.code(), Some(0 | 1 | 6)), "{output:?}");
    unharmed(&outside, &before);
}

#[test]
fn sec_t8_nor_does_one_by_dots() {
    let (stage, outside, before) = with_outside();
    let up = "../".repeat(20);
    let to = format!("{up}{}/victim", outside.path().display());
    symlink(to, stage.path().join("etc/modprobe.d/x.conf")).unwrap();
    let output = apply(stage.path(), "etc/modprobe.d/x.conf", "written\n");
    assert!(matches!(output.status.code(), Some(0 | 1 | 6)), "{output:?}");
    unharmed(&outside, &before);
}

#[test]
fn sec_t8_a_directory_that_is_a_link_out_is_refused_or_inside() {
    let (stage, outside, before) = with_outside();
    fs::remove_dir_all(stage.path().join("etc/modprobe.d")).unwrap();
    symlink(outside.path(), stage.path().join("etc/modprobe.d")).unwrap();
    let output = apply(stage.path(), "etc/modprobe.d/x.conf", "written\n");
    assert!(matches!(output.status.code(), Some(0 | 1 | 6)), "{output:?}");
    unharmed(&outside, &before);
}

#[test]
fn sec_t8_a_file_with_two_names_is_refused() {
    let (stage, dir) = (stage(), private());
    let file = stage.path().join("etc/modprobe.d/x.conf");
    fs::write(&file, "old\n").unwrap();
    let other = stage.path().join("etc/other");
    fs::hard_link(&file, &other).unwrap();
    assert!(said(&apply(stage.path(), "etc/modprobe.d/x.conf", "new\n"), 6).contains("hard links"));
    assert_eq!(fs::read_to_string(other).unwrap(), "old\n");
    drop(dir);
}

#[test]
fn sec_t8_a_temporary_name_that_is_there_is_not_written_to() {
    let (stage, outside, before) = with_outside();
    for name in [".x.conf.dv-000001.new~", ".x.conf.dv-000001.swp~"] {
        symlink(outside.path().join("victim"), stage.path().join("etc/modprobe.d").join(name))
            .unwrap();
    }
    let output = apply(stage.path(), "etc/modprobe.d/x.conf", "written\n");
    assert!(matches!(output.status.code(), Some(0 | 1 | 5 | 6)), "{output:?}");
    unharmed(&outside, &before);
}

#[test]
fn sec_t8_a_state_directory_of_others_is_refused() {
    let stage = stage();
    let state = stage.path().join("var/lib/deploy-vfio");
    fs::create_dir_all(&state).unwrap();
    mode(&state, 0o777);
    assert!(
        said(&apply(stage.path(), "etc/modprobe.d/x.conf", "x\n"), 6).contains("open to other")
    );
}

#[test]
fn sec_t8_a_state_directory_that_is_a_link_is_refused_or_inside() {
    let (stage, outside, before) = with_outside();
    let state = stage.path().join("var/lib/deploy-vfio");
    let _ = fs::remove_dir_all(&state);
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    symlink(outside.path(), &state).unwrap();
    let output = apply(stage.path(), "etc/modprobe.d/x.conf", "x\n");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    unharmed(&outside, &before);
}

#[test]
fn sec_t8_a_fifo_or_a_directory_in_a_file_s_place_is_refused() {
    let stage = stage();
    let path = stage.path().join("etc/modprobe.d/x.conf");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let text = said(&apply(stage.path(), "etc/modprobe.d/x.conf", "x\n"), 6);
    assert!(text.contains("not a regular file"), "{text}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let text = said(&apply(stage.path(), "etc/modprobe.d/x.conf", "x\n"), 6);
    assert!(text.contains("not a regular file"), "{text}");
}

/// Somebody exchanges the directory for a link out of the root, over and over.
#[test]
fn sec_t8_a_directory_that_turns_into_a_link_leads_nowhere() {
    let (stage, outside, before) = with_outside();
    let dir = stage.path().join("etc/modprobe.d");
    let (real, link) = (stage.path().join("etc/real"), stage.path().join("etc/link"));
    symlink(outside.path(), &link).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Gone for an instant, then a link, then itself again.
                let _ = fs::rename(&dir, &real);
                let _ = fs::rename(&link, &dir);
                let _ = fs::rename(&dir, &link);
                let _ = fs::rename(&real, &dir);
            }
        });
        for n in 0..60 {
            let output = apply(stage.path(), "etc/modprobe.d/x.conf", &format!("{n}\n"));
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!text.contains("panicked") && output.status.code() != Some(124), "{text}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    unharmed(&outside, &before);
}

//! T10: what is in files that only root may read.

use std::fs;

use super::*;

const SECRET: &str = "vnc_password = \"hunter2\"\n";

fn with_secret() -> Stage {
    let stage = stage();
    let file = stage.path().join("etc/libvirt/secret.conf");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, SECRET).unwrap();
    mode(&file, 0o600);
    stage
}

#[test]
fn sec_t10_a_diff_does_not_show_what_root_alone_may_read() {
    let (stage, dir) = (with_secret(), private());
    let draft = draft(dir.path(), "etc/libvirt/secret.conf", &format!("{SECRET}more = 1\n"));
    for words in [&["--dry-run"][..], &["--dry-run", "--verbose"], &["--dry-run", "--json"]] {
        let words = [&["apply", draft.to_str().unwrap()], words].concat();
        let text = said(&run(stage.path(), &words), 0);
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn sec_t10_nor_does_an_undo() {
    let stage = with_secret();
    said(&apply(stage.path(), "etc/libvirt/secret.conf", "other\n"), 0);
    for words in
        [&["undo", "--dry-run"][..], &["undo", "--dry-run", "--verbose"], &["log"], &["status"]]
    {
        let output = run(stage.path(), words);
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat())
            .into_owned();
        assert!(!text.contains("hunter2"), "{words:?}: {text}");
    }
    said(&run(stage.path(), &["undo", "--yes", "--no-rebuild"]), 0);
    let file = stage.path().join("etc/libvirt/secret.conf");
    assert_eq!(fs::read_to_string(&file).unwrap(), SECRET);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn sec_t10_the_copy_is_no_more_open_than_the_file() {
    let stage = with_secret();
    said(&apply(stage.path(), "etc/libvirt/secret.conf", "other\n"), 0);
    let mut todo = vec![stage.path().join("var/lib/deploy-vfio")];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if fs::read(&path).unwrap().windows(7).any(|part| part == b"hunter2") {
            assert_eq!(meta.mode() & 0o077, 0, "{}", path.display());
        }
    }
}

#[test]
fn sec_t10_what_is_new_in_a_private_file_stays_private() {
    let stage = with_secret();
    said(&apply(stage.path(), "etc/libvirt/secret.conf", "other\n"), 0);
    let meta = fs::metadata(stage.path().join("etc/libvirt/secret.conf")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
}

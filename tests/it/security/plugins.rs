//! T1: programs that somebody planted.

use std::{fs, os::unix::fs::symlink};

use super::*;

const MARK: &str = "#!/bin/sh\necho PLANTED\n";

/// What `deploy-vfio planted` says with this PATH.
fn planted(path: &str) -> Output {
    let stage = stage();
    command(path, stage.path(), &["planted"]).output().unwrap()
}

fn refused_as_root(output: &Output, why: &str) {
    match is_root() {
        true => assert!(said(output, 6).contains(why), "{output:?}"),
        false => assert!(said(output, 0).contains("PLANTED")),
    }
}

#[test]
fn sec_t1_a_program_in_a_directory_that_nobody_else_may_write_to_runs() {
    let dir = private();
    script(&dir.path().join("deploy-vfio-planted"), MARK);
    assert!(said(&planted(dir.path().to_str().unwrap()), 0).contains("PLANTED"));
}

#[test]
fn sec_t1_a_program_that_others_may_change_is_not_run() {
    let dir = private();
    let file = dir.path().join("deploy-vfio-planted");
    script(&file, MARK);
    mode(&file, 0o757);
    refused_as_root(&planted(dir.path().to_str().unwrap()), "others may write to");
}

#[test]
fn sec_t1_a_directory_above_that_others_may_write_to_counts() {
    let dir = private();
    let inner = dir.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    script(&inner.join("deploy-vfio-planted"), MARK);
    mode(&dir.path().join("a"), 0o775);
    refused_as_root(&planted(inner.to_str().unwrap()), "others may write to");
}

#[test]
fn sec_t1_a_link_to_a_program_that_others_may_change_is_not_run() {
    let (dir, other) = (private(), private());
    let real = other.path().join("real");
    script(&real, MARK);
    mode(&real, 0o777);
    symlink(&real, dir.path().join("deploy-vfio-planted")).unwrap();
    refused_as_root(&planted(dir.path().to_str().unwrap()), "others may write to");
}

#[test]
fn sec_t1_a_link_that_others_may_change_is_not_followed() {
    let (dir, other) = (private(), private());
    script(&other.path().join("real"), MARK);
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    symlink(other.path().join("real"), open.join("deploy-vfio-planted")).unwrap();
    mode(&open, 0o777);
    refused_as_root(&planted(open.to_str().unwrap()), "others may write to");
}

#[test]
fn sec_t1_a_program_of_another_user_s_is_not_run() {
    if !is_root() {
        return;
    }
    let dir = private();
    let file = dir.path().join("deploy-vfio-planted");
    script(&file, MARK);
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let output = planted(dir.path().to_str().unwrap());
    assert!(said(&output, 6).contains("belongs to user 65534"), "{output:?}");
}

#[test]
fn sec_t1_the_current_directory_is_never_searched() {
    let dir = private();
    script(&dir.path().join("deploy-vfio-planted"), MARK);
    for path in ["", ".", ":/usr/bin", "/usr/bin:", "/usr/bin::/bin", "./", "bin:../x"] {
        let stage = stage();
        let mut command = command(path, stage.path(), &["planted"]);
        let output = command.current_dir(dir.path()).output().unwrap();
        assert!(said(&output, 2).contains("no command `planted`"), "{path}");
    }
}

#[test]
fn sec_t1_no_word_leaves_the_directory_of_programs() {
    let dir = private();
    script(&dir.path().join("deploy-vfio-planted"), MARK);
    let stage = stage();
    for word in ["../deploy-vfio-planted", "x/../planted", "/bin/sh", "planted\n", "PLANTED", ""] {
        let path = dir.path().to_str().unwrap();
        let output = command(path, stage.path(), &[word]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{word:?}: {output:?}");
    }
}

#[test]
fn sec_t1_a_command_of_ours_cannot_be_replaced_from_path() {
    let dir = private();
    for name in ["undo", "status", "recover", "apply", "multiboot", "list"] {
        script(&dir.path().join(format!("deploy-vfio-{name}")), MARK);
        let stage = stage();
        let path = dir.path().to_str().unwrap();
        let output = command(path, stage.path(), &[name, "--help"]).output().unwrap();
        assert!(!said(&output, 0).contains("PLANTED"), "{name}");
    }
}

#[test]
fn sec_t1_list_and_completion_run_nothing() {
    let dir = private();
    let ran = dir.path().join("ran");
    script(
        &dir.path().join("deploy-vfio-planted"),
        &format!("#!/bin/sh\ntouch {}\n", ran.display()),
    );
    let stage = stage();
    let path = dir.path().to_str().unwrap();
    said(&command(path, stage.path(), &["list"]).output().unwrap(), 0);
    let mut asked = command(path, stage.path(), &["planted", ""]);
    let _ = asked.env("DEPLOY_VFIO_ASK", "complete").output().unwrap();
    assert!(!ran.exists());
}

/// Generators are found in the tree's own directories.
#[test]
fn sec_t1_a_generator_on_path_is_not_run() {
    let dir = private();
    for name in ["update-grub", "grub-mkconfig", "mkinitramfs", "update-initramfs", "lsinitramfs"] {
        script(&dir.path().join(name), MARK);
    }
    let stage = stage();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let words = ["hugepages", "2M", "64", "--yes", "--no-rebuild"];
    let output = command(&path, stage.path(), &words).output().unwrap();
    assert!(!said(&output, 0).contains("PLANTED"));
}

#[test]
fn sec_t1_a_generator_that_others_may_change_does_not_count() {
    let stage = stage();
    for name in ["usr/sbin/mkinitramfs", "usr/sbin/update-grub", "usr/sbin/grub-mkconfig"] {
        mode(&stage.path().join(name), 0o777);
    }
    let output = run(stage.path(), &["multiboot", "last", "--yes"]);
    assert!(matches!(output.status.code(), Some(1 | 6)), "{output:?}");
    assert!(!stage.path().join("etc/grub.d/45_deploy-vfio").exists(), "{output:?}");
}

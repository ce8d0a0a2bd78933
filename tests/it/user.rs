//! What somebody who is not root can do on a system that root has deployed something on.
//!
//! Needs root, to become somebody else; says so and passes without.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use vfio_testkit::{Description, Edits, Outcome, Programs, Stage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");

/// A machine on which root has deployed huge pages, in a tree that others may look into.
fn deployed() -> Stage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    let stage = Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap();
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["hugepages", "2M", "512", "--yes", "--no-rebuild"];
    let done = Programs::new(Path::new(PROGRAM)).run(stage.path(), &words).unwrap();
    assert_eq!(done.code, 0, "{}", done.stderr);
    stage
}

fn outcome(output: Output) -> Option<Outcome> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (code, stderr) = (output.status.code()?, text(output.stderr));
    // What these programs say when they do not get as far as ours.
    if ["setpriv: ", "unshare: ", "chroot: ", "mount: "].iter().any(|who| stderr.starts_with(who)) {
        eprintln!("skipped: {stderr}");
        return None;
    }
    Some(Outcome { code, stdout: text(output.stdout), stderr })
}

/// Runs the program as user 65534 on another tree; `None` where nobody can become that user.
fn as_nobody(root: &Path, words: &[&str]) -> Option<Outcome> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, "--root"]);
    outcome(command.env_clear().arg(root).args(words).output().ok()?)
}

/// `status` as that user, where the tree is the system itself.
fn status_at_home(stage: &Stage) -> Option<Outcome> {
    const SCRIPT: &str = r#"for dir in usr lib lib64; do
            [ -e /$dir ] || continue
            mkdir -p "$1/$dir" && mount --rbind "/$dir" "$1/$dir" || exit
        done
        mkdir -p "$1/programs" && mount --rbind "$2" "$1/programs" || exit
        exec chroot --userspec=65534:65534 "$1" /programs/deploy-vfio-status"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
    command.arg(stage.path()).arg(Path::new(PROGRAM).parent()?);
    outcome(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().ok()?)
}

#[test]
fn a_dry_run_needs_no_journal() {
    const UNSEEN: &str =
        "note: not root: whether an earlier operation is unfinished was not looked at\n";
    let stage = deployed();
    let Some(dry) = as_nobody(stage.path(), &["hugepages", "2M", "64", "--dry-run"]) else {
        return;
    };
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stdout.contains(" hugepagesz=2M hugepages=64\n"), "{}", dry.stdout);
    assert!(dry.stderr.ends_with(UNSEEN), "{}", dry.stderr);
    let same = as_nobody(stage.path(), &["hugepages", "2M", "512", "--dry-run"]).unwrap();
    assert_eq!((same.code, same.stdout.as_str()), (0, "Nothing to do.\n"));
    assert!(UNSEEN.ends_with(&same.stderr) && !same.stderr.is_empty(), "{}", same.stderr);
    let json = as_nobody(stage.path(), &["hugepages", "2M", "64", "--dry-run", "--json"]).unwrap();
    assert!(json.stdout.contains("is unfinished was not looked at"), "{}", json.stdout);
}

#[test]
fn what_needs_the_journal_says_who_may_read_it() {
    let stage = deployed();
    for words in [&["log"][..], &["log", "1"], &["undo", "--dry-run"], &["status"]] {
        let Some(refused) = as_nobody(stage.path(), words) else { return };
        assert_eq!((refused.code, refused.stdout.as_str()), (6, ""), "{words:?}");
        assert!(refused.stderr.contains("/var/lib/deploy-vfio"), "{}", refused.stderr);
        assert!(
            refused.stderr.ends_with("help: run it as root, with sudo\n"),
            "{}",
            refused.stderr
        );
    }
    let real = as_nobody(stage.path(), &["hugepages", "off", "--yes"]).unwrap();
    assert_eq!(real.code, 6);
    assert!(real.stderr.ends_with("help: sudo deploy-vfio hugepages off\n"), "{}", real.stderr);
    let toml = as_nobody(stage.path(), &["log", "--as-toml"]).unwrap();
    assert_eq!(toml.stdout, "[hugepages]\nsize = \"2M\"\ncount = 512\n");
}

#[test]
fn status_tells_about_the_kernel_what_it_can() {
    let stage = deployed();
    let Some(status) = status_at_home(&stage) else { return };
    let (first, rest) = status.stdout.split_once('\n').unwrap_or_default();
    let note = "note not root: whether the files are as deployed was not looked at";
    assert_eq!(first, note, "{status:?}");
    // The pages are not there yet: this machine has not booted since.
    assert!(status.code == 1 && rest.starts_with("FAIL "), "{status:?}");
    assert!(!status.stdout.contains("nothing is deployed"), "{}", status.stdout);
}

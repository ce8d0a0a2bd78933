//! The journal as the programs show it: records of earlier versions, and damaged ones.

use std::{fs, path::Path};

use vfio_testkit::{Outcome, Programs};

#[path = "../../crates/vfio-core/tests/fixtures/state.rs"]
mod state;

const FIXTURE: &str = "crates/vfio-core/tests/fixtures/journal-format-1";

/// An empty tree with the state directory that an earlier version left.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    state::lay_out(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE), dir.path());
    dir
}

fn run(root: &Path, words: &[&str]) -> Outcome {
    Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio"))).run(root, words).unwrap()
}

#[test]
fn log_shows_what_an_earlier_version_did() {
    let dir = tree();
    let log = run(dir.path(), &["log"]);
    let rows: Vec<Vec<&str>> =
        log.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(log.code, 0, "{}", log.stderr);
    assert_eq!(rows[1], ["3", "2026-11-22T21:32:26Z", "applied", "hugepages", "2M", "512"]);
    assert_eq!(rows[2][2..], ["applied", "static", "file"]);
    assert_eq!(rows[3][2..], ["rolled", "back", "static", "file"]);
    let one = run(dir.path(), &["log", "3"]);
    assert!(one.stdout.contains("\n+# >>> deploy-vfio >>>\n"), "{}", one.stdout);
}

/// What a program printed, with the tree's path and what is beside the point left out.
fn ended(outcome: &Outcome, code: i32, text: &str) {
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.code, code, "{said}");
    assert!(said.contains(text), "not `{text}` in:\n{said}");
}

#[test]
fn a_damaged_record_has_a_way_out_that_loses_nothing() {
    let dir = tree();
    let run = |words: &[&str]| run(dir.path(), words);
    let tx = dir.path().join("var/lib/deploy-vfio/tx");
    let journal = fs::read(tx.join("000003/journal")).unwrap();
    fs::write(tx.join("000003/journal"), &journal[..40]).unwrap();
    let out = "`deploy-vfio recover --set-aside 3` keeps the record under another name";
    for words in [&["undo", "--yes"][..], &["redo"], &["recover"], &["recover", "--dry-run"]] {
        ended(&run(words), 3, out);
    }
    ended(&run(&["status"]), 1, "`deploy-vfio recover --set-aside 3`");
    ended(&run(&["log"]), 0, "damaged");

    for id in ["2", "9"] {
        ended(&run(&["recover", "--set-aside", id, "--yes"]), 6, "help: `deploy-vfio ");
    }
    let aside = ["recover", "--set-aside", "3"];
    let dry = run(&[&aside[..], &["--dry-run"]].concat());
    ended(&dry, 0, "rename to /var/lib/deploy-vfio/tx/000003.damaged");
    ended(&dry, 0, "stay as they are:\n  /etc/default/grub\n");
    ended(&run(&aside), 6, "there is nobody to ask");
    assert!(tx.join("000003").exists() && !tx.join("000003.damaged").exists());

    let done = run(&[&aside[..], &["--yes"]].concat());
    ended(&done, 0, "Done: the record of operation 3 is set aside");
    assert_eq!(fs::read(tx.join("000003.damaged/journal")).unwrap(), journal[..40]);
    ended(&run(&["recover"]), 0, "Nothing to do.");
    let log = run(&["log"]);
    assert!(log.code == 0 && !log.stdout.contains("damaged"), "{}", log.stdout);
    // The files of the older operation are not there, so it is a conflict: the usual question.
    ended(&run(&["undo", "--yes", "--no-rebuild"]), 4, "--keep");
}

/// A power cut leaves a journal without its end.
/// With `--all`, on it goes; else the one that was interrupted is the one that is taken back.
#[test]
fn an_undo_recovers_first_what_was_interrupted() {
    for all in [false, true] {
        let dir = tree();
        let run = |words: &[&str]| run(dir.path(), words);
        let tx = dir.path().join("var/lib/deploy-vfio/tx");
        for id in ["000002", "000003"] {
            fs::remove_dir_all(tx.join(id)).unwrap();
        }
        fs::create_dir_all(dir.path().join("etc/default")).unwrap();
        let document = dir.path().join("plan.json");
        let apply = |path: &str| {
            let draft = format!(r#"{{"format":1,"files":{{"{path}":"x\n"}}}}"#);
            fs::write(&document, draft).unwrap();
            ended(&run(&["apply", document.to_str().unwrap(), "--yes", "--no-rebuild"]), 0, "Done");
        };
        apply("etc/modprobe.d/x.conf");
        apply("etc/modprobe.d/y.conf");
        let journal = fs::read_to_string(tx.join("000003/journal")).unwrap();
        let begun: String = journal.lines().take(2).map(|line| format!("{line}\n")).collect();
        fs::write(tx.join("000003/journal"), begun).unwrap();
        ended(&run(&["status"]), 1, "operation 3 was interrupted");
        ended(&run(&["undo", "--dry-run"]), 3, "run `deploy-vfio recover`");
        let words: &[&str] = if all { &["undo", "--all"] } else { &["undo"] };
        let undone = run(&[words, &["--yes", "--no-rebuild"]].concat());
        ended(&undone, 0, "Operation 3 was interrupted, and is recovered first.");
        ended(&undone, 0, "Operation 3: ");
        assert!(!dir.path().join("etc/modprobe.d/y.conf").exists());
        assert_eq!(dir.path().join("etc/modprobe.d/x.conf").exists(), !all);
        let end = if all { "operation 2 is taken back" } else { "Nothing else is taken back" };
        ended(&undone, 0, end);
        ended(&run(&["recover"]), 0, "Nothing to do.");
    }
}

#[test]
fn an_undo_takes_back_what_was_only_not_tidied_up() {
    let dir = tree();
    let run = |words: &[&str]| run(dir.path(), words);
    let journal = dir.path().join("var/lib/deploy-vfio/tx/000003/journal");
    let text = fs::read_to_string(&journal).unwrap();
    let whole = text.lines().count();
    let kept = text.lines().take(whole - 1).map(|line| format!("{line}\n"));
    fs::write(&journal, kept.collect::<String>()).unwrap();
    let undone = run(&["undo", "--keep", "--yes", "--no-rebuild"]);
    ended(&undone, 0, "Operation 3: cleaned up.");
    ended(&undone, 0, "operation 3 is taken back");
}

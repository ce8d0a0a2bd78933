//! Whatever became of a trial, each way out of it leads out.

use std::fs;

use vfio_core::layout::{TRIAL, TRIAL_ENTRY};
use vfio_testkit::{Description, Edits, Outcome, Stage, Tree};

use super::{home, programs};

fn stage() -> Stage {
    let machine = Description::read(&home("machines").join("two-gpus.json")).unwrap();
    Stage::new(&machine, Edits::None).unwrap()
}

fn run(stage: &Stage, line: &str) -> Outcome {
    let words: Vec<&str> = line.split(' ').chain(["--yes", "--no-rebuild"]).collect();
    programs().run(stage.path(), &words).unwrap()
}

fn ok(stage: &Stage, line: &str) -> Outcome {
    let outcome = run(stage, line);
    assert_eq!(outcome.code, 0, "{line}: {outcome:?}");
    outcome
}

/// Everything but the journal and what became of directories that hold it.
fn tree(stage: &Stage) -> Tree {
    Tree::read(stage.path()).unwrap().without(&[vfio_testkit::STATE]).without_directory_times()
}

#[test]
fn a_setup_on_trial_without_a_menu_goes_by_its_own_off_and_stays_with_the_menu_s() {
    let stage = stage();
    let before = tree(&stage);
    ok(&stage, "static grub --trial");
    let outcome = ok(&stage, "multiboot off");
    assert!(outcome.stdout.contains("Nothing to do."), "{outcome:?}");
    ok(&stage, "static off");
    assert_eq!(before.diff(&tree(&stage)), "", "nothing of it becomes the normal entry's");
}

#[test]
fn a_trial_s_file_that_nobody_can_read_is_no_obstacle() {
    for text in
        ["format = 9\n", "attempt = \"x\"\n", "", "\u{0}\u{1}\n", "format = 1\nattempt = 1\n"]
    {
        for (deploy, left) in [("multiboot last --trial", true), ("static grub --trial", false)] {
            let stage = stage();
            let before = tree(&stage);
            ok(&stage, deploy);
            fs::write(stage.path().join(TRIAL), text).unwrap();
            let outcome = run(&stage, "trial confirm");
            assert_eq!(outcome.code, 6, "{text:?}: {outcome:?}");
            assert!(outcome.stderr.contains("`deploy-vfio trial off` ends"), "{outcome:?}");
            ok(&stage, "trial off");
            let entries = stage.path().join("etc/deploy-vfio/entries.d");
            assert!(!entries.join(format!("{TRIAL_ENTRY}.conf")).exists(), "{text:?}");
            assert_eq!(entries.exists(), left, "{text:?}: the entries of a menu stay");
            assert_eq!(before.diff(&tree(&stage)).is_empty(), !left, "{text:?}");
        }
    }
}

#[test]
fn an_entry_that_the_menu_does_not_have_cannot_become_its_default() {
    let stage = stage();
    ok(&stage, "multiboot last --trial");
    let entry = "etc/deploy-vfio/entries.d/deploy-vfio-0000:04:00.0.conf";
    fs::remove_file(stage.path().join(entry)).unwrap();
    let outcome = run(&stage, "trial confirm");
    assert_eq!(outcome.code, 6, "{outcome:?}");
    assert!(outcome.stderr.contains("the menu has no such entry"), "{outcome:?}");
}

/// What was judged before says nothing about a trial that was deployed anew.
#[test]
fn an_old_verdict_is_not_a_new_one() {
    let stage = stage();
    ok(&stage, "multiboot last --trial");
    let verdict = stage.path().join("var/lib/deploy-vfio/trial");
    fs::write(verdict, "format=1\nattempt=1\nan old reason\n").unwrap();
    ok(&stage, "undo");
    ok(&stage, "multiboot last --trial");
    let text = fs::read_to_string(stage.path().join(TRIAL)).unwrap();
    assert!(text.contains("attempt = 2\n"), "{text}");
    assert!(run(&stage, "multiboot last --trial").stdout.contains("Nothing to do."));
}

//! Whatever became of a trial, each way out of it leads out.

use std::fs;

use vfio_core::layout::{TRIAL, TRIAL_CONF, TRIAL_ENTRY};
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

/// A menu takes the parameters of the normal entry, which a trial is to leave as it is.
#[test]
fn a_menu_is_not_tried_over_what_the_normal_entry_has() {
    for deployed in ["hugepages 2M 512", "static grub"] {
        let stage = stage();
        ok(&stage, deployed);
        let before = tree(&stage);
        let outcome = run(&stage, "multiboot last --trial");
        assert_eq!(outcome.code, 6, "{deployed}: {outcome:?}");
        assert!(outcome.stderr.contains("`deploy-vfio undo --all` first"), "{outcome:?}");
        assert_eq!(before.diff(&tree(&stage)), "", "{deployed}");
        ok(&stage, "multiboot last");
    }
}

/// What an undo left to be done by hand is not forgotten.
#[test]
fn status_says_what_an_undo_left_to_be_done() {
    let stage = stage();
    ok(&stage, "hugepages 2M 512");
    ok(&stage, "undo");
    let status = programs().run(stage.path(), &["status"]).unwrap();
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains("FAIL still to do by hand: chroot "), "{status:?}");
    // Somebody did it.
    let menu = stage.path().join("boot/grub/grub.cfg");
    fs::write(&menu, fs::read(&menu).unwrap()).unwrap();
    let status = programs().run(stage.path(), &["status"]).unwrap();
    assert!(!status.stdout.contains("by hand"), "{status:?}");
}

#[test]
fn a_trial_whose_file_is_gone_is_told_and_ended() {
    for deploy in ["multiboot last --trial", "static grub --trial"] {
        let stage = stage();
        ok(&stage, deploy);
        fs::remove_file(stage.path().join(TRIAL)).unwrap();
        let told = programs().run(stage.path(), &["trial"]).unwrap();
        assert!(told.stdout.contains("`deploy-vfio trial off` ends it"), "{told:?}");
        ok(&stage, "trial off");
        assert!(!stage.path().join(TRIAL_CONF).exists(), "{deploy}");
        let told = programs().run(stage.path(), &["trial"]).unwrap();
        assert_eq!(told.stdout, "nothing is on trial\n");
    }
}

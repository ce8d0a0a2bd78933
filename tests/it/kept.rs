//! What somebody wrote into a file of the system since: nothing of it is lost in silence.

use std::fs;

use vfio_testkit::Stage;

use crate::original::{done, run, stage};

const CONF: &str = "etc/libvirt/qemu.conf";

/// A machine whose `qemu.conf` lets guests open keyboards and mice.
fn shared() -> Stage {
    let stage = stage("old-libvirt");
    done(&stage, "evdev --qemu-conf --user bert --yes");
    stage
}

fn conf(stage: &Stage) -> String {
    fs::read_to_string(stage.path().join(CONF)).unwrap()
}

fn edit(stage: &Stage, from: &str, to: &str) {
    let text = conf(stage);
    assert!(text.contains(from), "{text}");
    fs::write(stage.path().join(CONF), text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_member_that_was_added_to_our_list_stays_when_ours_go() {
    let stage = stage("old-libvirt");
    fs::write(stage.path().join(CONF), "# mine\n").unwrap();
    done(&stage, "evdev --qemu-conf --user bert --yes");
    edit(&stage, "    \"/dev/kvm\"", "    \"/dev/mine\",\n    \"/dev/kvm\"");
    done(&stage, "evdev off --yes");
    let now = conf(&stage);
    assert!(now.contains("\"/dev/mine\"") && !now.contains("/dev/input/"), "{now}");
    assert!(!now.contains("deploy-vfio"), "{now}");
}

#[test]
fn a_list_that_cannot_be_read_is_never_said_to_be_clean() {
    let stage = shared();
    let list = conf(&stage);
    let end = list.rfind(']').expect("a list");
    let broken = [&list[..end], &list[end + 1..]].concat();
    fs::write(stage.path().join(CONF), &broken).unwrap();
    for (line, code) in [("evdev off --yes", 6), ("undo --yes", 4)] {
        let refused = run(&stage, line);
        assert_eq!(refused.code, code, "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("/etc/libvirt/qemu.conf"), "{line}: {}", refused.stderr);
        assert_eq!(conf(&stage), broken, "{line}");
    }
    fs::write(stage.path().join(CONF), list).unwrap();
    done(&stage, "evdev off --yes");
}

#[test]
fn without_the_record_of_what_is_ours_nothing_is_taken_for_gone() {
    let stage = shared();
    let record = stage.path().join("etc/deploy-vfio/evdev.conf");
    fs::remove_file(&record).unwrap();
    for line in ["evdev off --yes", "evdev --qemu-conf --user bert --yes"] {
        let refused = run(&stage, line);
        assert_eq!(refused.code, 6, "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("`deploy-vfio undo`"), "{line}: {}", refused.stderr);
    }
    done(&stage, "undo --restore --yes");
    assert!(!conf(&stage).contains("/dev/input/"));
}

#[test]
fn the_drivers_that_a_setup_wrote_down_go_with_it() {
    let stage = stage("two-gpus");
    done(&stage, "--xml --parse vga --multiboot last --skip-pre-setup --yes");
    let file = stage.path().join("etc/deploy-vfio/database.xml");
    assert!(file.exists());
    done(&stage, "--uninstall-vfio-setup --skip-pre-setup --yes");
    assert!(!file.exists());
    let refused = run(&stage, "--xml /a\nb --skip-pre-setup --skip-vfio-setup -n");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}

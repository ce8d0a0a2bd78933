//! T3: drafts of other programs, and where they may write.

use super::*;

/// `apply` refuses these, and nothing is written.
fn refused(paths: &[&str]) {
    let stage = stage();
    for path in paths {
        let output = apply(stage.path(), path, "x\n");
        assert!(said(&output, 6).contains("a draft may not write"), "{path}");
    }
    assert!(!stage.path().join("var/lib/deploy-vfio/tx").exists());
}

#[test]
fn sec_t3_a_draft_writes_where_guests_are_made_ready() {
    let stage = stage();
    for place in deploy_vfio::PLACES {
        let path = match place.ends_with('/') {
            true => format!("{place}90-x.conf"),
            false => place.to_owned(),
        };
        // What stands in a setup file of ours is looked at besides.
        if place.contains("entries.d") {
            continue;
        }
        said(&apply(stage.path(), &path, "# x\n"), 0);
    }
}

#[test]
fn sec_t3_who_may_log_in_is_not_a_draft_s_business() {
    refused(&[
        "etc/passwd",
        "etc/shadow",
        "etc/group",
        "etc/gshadow",
        "etc/sudoers",
        "etc/sudoers.d/x",
        "etc/pam.d/su",
        "etc/ssh/sshd_config",
        "etc/subuid",
        "etc/securetty",
        "etc/login.defs",
        "etc/polkit-1/rules.d/x.rules",
        "etc/doas.conf",
        "etc/security/access.conf",
    ]);
}

#[test]
fn sec_t3_nor_is_what_others_load_or_run() {
    refused(&[
        "etc/ld.so.preload",
        "etc/ld.so.conf.d/x.conf",
        "etc/profile",
        "etc/profile.d/x.sh",
        "etc/environment",
        "etc/bash.bashrc",
        "etc/cron.d/x",
        "etc/crontab",
        "etc/rc.local",
        "etc/apt/sources.list",
        "etc/apt/apt.conf.d/x",
        "etc/kernel/postinst.d/x",
        "etc/NetworkManager/dispatcher.d/x",
        "etc/grub.d/99_x",
        "etc/nsswitch.conf",
        "etc/hosts",
    ]);
}

#[test]
fn sec_t3_nor_is_what_deploy_vfio_keeps_itself() {
    refused(&[
        "etc/deploy-vfio/default-entry",
        "etc/deploy-vfio/trial.toml",
        "etc/deploy-vfio/setup.d/x.toml",
        "etc/deploy-vfio/hooks.toml",
        "var/lib/deploy-vfio/lock",
        "var/lib/deploy-vfio/tx/000001/plan",
    ]);
}

#[test]
fn sec_t3_no_way_leads_out_of_its_place() {
    refused(&[
        "/etc/modprobe.d/x",
        "etc/modprobe.d/../shadow",
        "etc/modprobe.d//x",
        "etc/modprobe.d/./x",
        "etc/modprobe.d/",
        "etc/modprobe.d",
        "etc/modprobe.dx/x",
        "./etc/modprobe.d/x",
        "",
        "etc/modprobe.d/a\nb",
        "etc/modprobe.d/\u{1b}[31m",
        "etc/modprobe.d/a\0b",
        "boot/grub/grub.cfg",
        "usr/lib/modprobe.d/x.conf",
        "root/.ssh/authorized_keys",
        "home/x/.bashrc",
        "dev/x",
        "proc/x",
    ]);
}

#[test]
fn sec_t3_one_bad_file_stops_the_whole_draft() {
    let (stage, dir) = (stage(), private());
    let text = r#"{"format":1,"files":{"etc/modprobe.d/x.conf":"x\n","etc/shadow":null}}"#;
    let file = dir.path().join("draft.json");
    fs::write(&file, text).unwrap();
    said(&run(stage.path(), &["apply", "--yes", "--no-rebuild", file.to_str().unwrap()]), 6);
    assert!(!stage.path().join("etc/modprobe.d/x.conf").exists());
}

#[test]
fn sec_t3_a_name_as_long_as_names_can_be_is_refused_or_written() {
    let stage = stage();
    for (length, code) in [(100, 0), (300, 6), (100_000, 6)] {
        let path = format!("etc/modprobe.d/{}", "x".repeat(length));
        let dir = private();
        let draft = draft(dir.path(), &path, "# x\n");
        let words = ["apply", "--yes", "--no-rebuild", draft.to_str().unwrap()];
        said(&run(stage.path(), &words), code);
    }
}

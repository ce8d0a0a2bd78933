//! What the original got wrong about its words, the machine and the devices that are chosen; each
//! test is named after the number of the mistake.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use vfio_testkit::{Description, Edits, Outcome, Programs, STATE, Stage, Tree};

use crate::tools;

const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");

/// A sample machine.
pub fn stage(machine: &str) -> Stage {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    let described = Description::read(&machines.join(format!("{machine}.json"))).unwrap();
    Stage::new(&described, Edits::User).unwrap()
}

/// Everything but the journal.
pub fn tree(stage: &Stage) -> Tree {
    Tree::read(stage.path()).unwrap().without(&[STATE]).without_directory_times()
}

/// Runs a line without rebuilding anything; words are separated by spaces.
pub fn run(stage: &Stage, line: &str) -> Outcome {
    let words: Vec<&str> = ["--no-rebuild"].into_iter().chain(line.split(' ')).collect();
    Programs::new(Path::new(PROGRAM)).run(stage.path(), &words).unwrap()
}

/// The same for a line that has to work.
pub fn done(stage: &Stage, line: &str) -> Outcome {
    let outcome = run(stage, line);
    assert_eq!(outcome.code, 0, "{line}: {}{}", outcome.stdout, outcome.stderr);
    outcome
}

/// The devices that the one entry or setup of a plan binds, in its order.
fn bound(plan: &str) -> Vec<&str> {
    let mut lines = plan.lines().filter_map(|line| line.split("deploy_vfio.bind=").nth(1));
    let list = lines.next().unwrap_or_default().split([' ', '"']).next().unwrap_or_default();
    list.split(',').filter_map(|device| device.split('=').next()).collect()
}

#[test]
fn b1_programs_run_by_the_name_that_is_documented() {
    let dir = Path::new(PROGRAM).parent().unwrap();
    for name in tools::programs() {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        let output = Command::new(&name).env("PATH", dir).arg("--version").output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy-vfio-quiet-boot");
    assert!(fs::read_to_string(&example).unwrap().starts_with("#!/bin/sh\n"));
    assert_eq!(fs::metadata(&example).unwrap().permissions().mode() & 0o111, 0o111);
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn b2_who_may_not_change_the_system_is_told_so_and_may_look() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let stage = stage("two-gpus");
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = tree(&stage);
    let nobody = |line: &str| {
        let mut command = Command::new(PROGRAM);
        command.env_clear().stdin(Stdio::null()).uid(65534).arg("--root").arg(stage.path());
        command.args(line.split(' ')).output()
    };
    let Ok(refused) = nobody("--multiboot last --hugepages 2M 64 --yes") else {
        eprintln!("skipped: nobody else can reach {PROGRAM}");
        return;
    };
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{told}");
    assert!(told.contains("only root may change this system"), "{told}");
    assert!(told.contains("help: sudo deploy-vfio setup --multiboot last"), "{told}");
    for line in ["groups", "host", "status", "log", "--multiboot last -h 2M 64 --dry-run"] {
        let looked = nobody(line).unwrap();
        assert!(looked.status.success(), "{line}: {looked:?}");
    }
    assert_eq!(before.diff(&tree(&stage)), "");
}

#[test]
fn b7a_a_system_is_told_by_what_it_has_and_not_by_its_name() {
    for release in [
        Some("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
        Some("ID=pop\nID_LIKE=\"ubuntu debian\"\n"),
        Some("ID=mx\n"),
        Some("ID='\n"),
        None,
    ] {
        let stage = stage("two-gpus");
        let file = stage.path().join("etc/os-release");
        match release {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let plan = done(&stage, "multiboot last --dry-run");
        assert!(plan.stdout.contains("etc/deploy-vfio/entries.d/"), "{release:?}: {}", plan.stdout);
    }
}

#[test]
fn b7b_exit_statuses_say_how_it_went_and_failures_never_call_themselves_done() {
    let stage = stage("two-gpus");
    assert_eq!(run(&stage, "--help").code, 0);
    assert_eq!(run(&stage, "setup --help").code, 0);
    let nothing = run(&stage, "--skip-pre-setup --skip-vfio-setup --skip-post-setup");
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, "Nothing to do.\n"));
    for (line, code) in [
        ("--bogus", 2),
        ("--hugepages 1G 999 --skip-vfio-setup --yes", 6),
        ("--parse 99 --static grub --yes", 6),
        ("--cpu --skip-vfio-setup", 6),
    ] {
        let failed = run(&stage, line);
        assert_eq!(failed.code, code, "{line}: {}", failed.stderr);
        assert!(!failed.stderr.contains("Done"), "{line}: {}", failed.stderr);
    }
    let done = done(&stage, "--cpu --skip-vfio-setup --yes");
    assert!(done.stderr.contains("Done: operation 1."), "{}", done.stderr);
}

#[test]
fn b9_groups_can_be_chosen_by_number_on_the_command_line() {
    let stage = stage("two-gpus");
    for line in ["--static grub --parse 1", "-p 1 -s grub", "static grub --parse 1"] {
        let plan = done(&stage, &format!("{line} --dry-run"));
        let card = ["0000:01:00.0", "0000:01:00.1", "0000:01:00.2", "0000:01:00.3"];
        assert_eq!(bound(&plan.stdout), card, "{line}: {}", plan.stdout);
    }
}

#[test]
fn b10_ranges_hold_both_ends_and_a_reversed_one_is_told() {
    let stage = stage("two-gpus");
    let plan = done(&stage, "static grub --parse 11-12 --dry-run");
    assert_eq!(bound(&plan.stdout), ["0000:04:00.0", "0000:04:00.1", "0000:05:00.0"]);
    let reversed = run(&stage, "static grub --parse 12-11 --dry-run");
    assert_eq!(reversed.code, 2, "{}", reversed.stderr);
    assert!(reversed.stderr.contains("`12-11` is not a selection"), "{}", reversed.stderr);
}

#[test]
fn b11_the_host_keeps_all_that_is_not_chosen_and_nothing_is_there_twice() {
    let stage = stage("two-gpus");
    let plan = done(&stage, "static grub --parse 12,11-12,12,11 --dry-run");
    assert_eq!(bound(&plan.stdout), ["0000:04:00.0", "0000:04:00.1", "0000:05:00.0"]);
}

#[test]
fn b11a_no_vga_is_all_without_the_cards() {
    let stage = stage("two-gpus");
    let of = |parse: &str| {
        let plan = done(&stage, &format!("static grub --parse {parse} --host 1 --dry-run"));
        bound(&plan.stdout).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = of("all");
    let rest: Vec<_> = all.iter().filter(|at| !at.starts_with("0000:04:")).cloned().collect();
    assert!(rest.len() < all.len() && !rest.is_empty(), "{all:?}");
    assert_eq!(of("no-vga"), rest);
}

#[test]
fn b16b_usb_controllers_go_the_way_of_all_devices() {
    let stage = stage("two-gpus");
    let grub = done(&stage, "static grub --parse 1 --dry-run --verbose").stdout;
    assert!(bound(&grub).contains(&"0000:01:00.2"), "{grub}");
    let file = done(&stage, "static file --parse 1 --dry-run --verbose").stdout;
    let ids = file.lines().find(|line| line.contains("options vfio-pci ids=")).unwrap();
    assert!(ids.contains("10de:1ada"), "{ids}");
    for plan in [grub, file] {
        assert!(!plan.contains("pci_stub") && !plan.contains("pci-stub"), "{plan}");
    }
}

#[test]
fn b26_an_entry_that_is_not_there_is_never_the_default() {
    let stage = stage("two-gpus");
    for group in ["12", "99", "0"] {
        let refused = run(&stage, &format!("multiboot {group} --dry-run"));
        assert_eq!(refused.code, 6, "{group}: {}", refused.stderr);
        assert!(refused.stderr.contains(&format!("group {group}")), "{}", refused.stderr);
        assert_eq!(refused.stdout, "", "{group}");
    }
    // The default goes by an id that holds no name and no kernel.
    let plan = done(&stage, "multiboot 11 --dry-run").stdout;
    let default: Vec<_> = plan.lines().filter(|line| line.contains("GRUB_DEFAULT")).collect();
    assert_eq!(default, ["+GRUB_DEFAULT=deploy-vfio-0000:04:00.0"], "{plan}");
    let normal = done(&stage, "multiboot default --dry-run").stdout;
    assert!(!normal.contains("GRUB_DEFAULT"), "{normal}");
}

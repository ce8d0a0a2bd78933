//! The wizard, by somebody at a terminal of 80 columns and 24 lines without colours.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use vfio_testkit::{Description, STATE, Tree};

const ENTER: &str = "\r";
const DOWN: &str = "\x1b[B";
/// From the first choice to the last, which gives up, and to the one before, which goes back.
const ABORT: &str = "\x1b[A\r";
const BACK: &str = "\x1b[A\x1b[A\r";
const CTRL_C: &str = "\x03";

/// The questions in their order.
const QUESTIONS: [&str; 8] = [
    "Which devices are for guests?",
    "Which entry boots by itself?",
    "Memory for guests?",
    "CPUs for guests?",
    "Keyboard and mouse for guests?",
    "Compressed swap?",
    "Which card for the desktop?",
    "While guests run?",
];

struct Somebody {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Somebody {
    fn at(root: &Path, words: &[&str]) -> Self {
        Self::at_lines(24, root, words)
    }

    fn at_lines(ws_row: u16, root: &Path, words: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
        command.env_clear().env("TERM", "vt100").env("NO_COLOR", "1");
        command.arg("--root").arg(root).arg("--no-rebuild").args(words);
        let child =
            command.stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().unwrap();
        let keys = File::from(master);
        let mut reader = keys.try_clone().unwrap();
        let (to, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if to.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, screen, seen: String::new() }
    }

    /// Waits until `text` is on the screen, and forgets what stood before it.
    fn sees(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            let Ok(more) = self.screen.recv_timeout(left) else {
                panic!("`{text}` never came; instead: {}", self.seen);
            };
            self.seen += &String::from_utf8_lossy(&more);
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types `keys` until `text` is on the screen: what comes before the program reads the keyboard
    /// itself is lost.
    fn presses(&mut self, keys: &str, text: &str) {
        for _ in 0..40 {
            let _ = self.keys.write_all(keys.as_bytes());
            let wait = Duration::from_millis(200);
            while let Ok(more) = self.screen.recv_timeout(wait) {
                self.seen += &String::from_utf8_lossy(&more);
            }
            if self.seen.contains(text) {
                break;
            }
        }
        self.sees(text);
    }

    /// Gives up with `keys`, again and again: what comes before the program reads the keyboard
    /// itself goes to the terminal, which has nobody to interrupt.
    fn gives_up(mut self, keys: &str) -> i32 {
        for _ in 0..40 {
            if self.child.try_wait().unwrap().is_some() {
                break;
            }
            let _ = self.keys.write_all(keys.as_bytes());
            std::thread::sleep(Duration::from_millis(200));
        }
        self.ends()
    }

    /// The exit status; -1 for an end by a signal.
    fn ends(mut self) -> i32 {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().unwrap();
        let more: Vec<u8> = self.screen.try_iter().flatten().collect();
        panic!("it waits for something: {}{}", self.seen, String::from_utf8_lossy(&more));
    }
}

fn machine(dir: &Path) -> PathBuf {
    machine_of(dir, "many-inputs")
}

fn machine_of(dir: &Path, name: &str) -> PathBuf {
    let root = dir.join("root");
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    Description::read(&machines.join(format!("{name}.json"))).unwrap().lay_out(&root).unwrap();
    root
}

fn tree(root: &Path) -> Tree {
    Tree::read(root).unwrap().without(&[STATE]).without_directory_times()
}

#[test]
fn b16a_a_whole_run_is_one_operation_and_one_question_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let before = tree(&root);

    for (answer, code) in [("n", 1), (ENTER, 1), ("y", 0)] {
        assert_eq!(before.diff(&tree(&root)), "", "nothing is written before the last yes");
        let mut person = Somebody::at(&root, &["setup"]);
        person.sees(QUESTIONS[0]);
        person.types(ENTER);
        person.sees(QUESTIONS[1]);
        person.types(&format!("{DOWN}{ENTER}"));
        person.sees(QUESTIONS[2]);
        person.types(&format!("{DOWN}{ENTER}"));
        person.sees("Size and number of pages");
        person.types("1G 999\r");
        person.sees("do not fit");
        person.types("2M 512\r");
        person.sees(QUESTIONS[3]);
        person.types(&format!("{DOWN}{ENTER}"));
        person.sees(QUESTIONS[4]);
        person.types(&format!("{}{ENTER}", DOWN.repeat(2)));
        person.sees("Which keys switch?");
        person.types(&format!("{DOWN}{ENTER}"));
        for question in &QUESTIONS[5..] {
            person.sees(question);
            person.types(&format!("{DOWN}{ENTER}"));
        }
        person.sees("etc/deploy-vfio/entries.d/");
        person.sees("Apply these changes?");
        person.types(answer);
        assert_eq!(person.ends(), code);
    }
    let log = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"))
        .arg("--root")
        .arg(&root)
        .args(["log", "--as-toml"])
        .output()
        .unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("count = 512") && log.contains("[cpu]"), "{log}");
    assert!(log.contains("[zram-swap]") && log.contains("[auto-xorg]\norder = \"first\""), "{log}");
    assert!(log.contains("[evdev]\ntoggle = \"alt-alt\""), "{log}");
    assert!(log.contains("entry = \"") && log.contains("parse = \"vga\""), "{log}");
}

#[test]
fn back_leads_to_the_question_before() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let mut person = Somebody::at(&root, &["setup"]);
    for question in &QUESTIONS[..7] {
        person.sees(question);
        person.types(ENTER);
    }
    for question in QUESTIONS.iter().rev() {
        person.sees(question);
        person.types(BACK);
    }
    // Before the first there is none.
    person.sees(QUESTIONS[0]);
    person.types(ABORT);
    person.sees("nothing was changed");
    assert_eq!(person.ends(), 1);
}

#[test]
fn giving_up_at_any_question_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let before = tree(&root);
    for (way, code) in [(ABORT, 1), (CTRL_C, 130)] {
        for at in 0..QUESTIONS.len() {
            let mut person = Somebody::at(&root, &["setup"]);
            for question in &QUESTIONS[..at] {
                person.sees(question);
                person.types(ENTER);
            }
            person.sees(QUESTIONS[at]);
            assert_eq!(person.gives_up(way), code, "{}", QUESTIONS[at]);
        }
    }
    let mut person =
        Somebody::at(&root, &["--multiboot", "last", "--skip-pre-setup", "--skip-post-setup"]);
    person.sees("Apply these changes?");
    assert_eq!(person.gives_up(CTRL_C), 130);
    assert_eq!(before.diff(&tree(&root)), "");
}

#[test]
fn who_gives_up_gets_the_cursor_back_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let mut person = Somebody::at(&root, &["setup"]);
    person.sees(QUESTIONS[0]);
    person.sees("Abort");
    person.presses(CTRL_C, "\u{1b}[?25h");
    person.sees("nothing was changed");
    assert_eq!(person.ends(), 130);

    for lines in [1, 3] {
        let mut person = Somebody::at_lines(lines, &root, &["setup"]);
        person.sees(&format!("the terminal has {lines} lines, a choice takes 4"));
        assert_eq!(person.ends(), 6);
    }
}

#[test]
fn groups_are_shown_where_they_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let mut person = Somebody::at(&root, &["setup"]);
    person.sees(QUESTIONS[0]);
    person.types(&format!("{}{ENTER}", DOWN.repeat(3)));
    person.sees("0000:01:00.0");
    person.sees("Groups, like");
    person.types("99\r");
    person.sees("there is no IOMMU group 99");
    person.types("1\r");
    person.sees(QUESTIONS[1]);
    person.types(ABORT);
    assert_eq!(person.ends(), 1);
}

#[test]
fn without_a_terminal_it_names_the_options_instead() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
        let output = command.arg("--root").arg(&root).args(words).stdin(Stdio::null()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run(&["setup"]);
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("no terminal") && told.contains("--multiboot last"), "{told}");
    // What is named without what it needs is not left out in silence.
    let (code, told) = run(&["--parse", "all", "--skip-pre-setup", "--yes"]);
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("--multiboot last"), "{told}");
    // What is not named is left alone.
    let (code, told) = run(&["--multiboot", "last", "--dry-run"]);
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn b16a_a_question_without_a_choice_is_passed_over_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    // Its only input device is a keyboard: there is no mouse to share.
    let root = machine_of(dir.path(), "two-gpus");
    let mut person = Somebody::at(&root, &["setup"]);
    person.sees("Step 1 of 7");
    person.sees(QUESTIONS[0]);
    // No devices for guests: the question how they get them has no sense.
    person.types(&format!("{}{ENTER}", DOWN.repeat(4)));
    person.sees(QUESTIONS[2]);
    person.types(BACK);
    person.sees(QUESTIONS[0]);
    person.types(&format!("{}{ENTER}", DOWN.repeat(4)));
    for question in QUESTIONS[2..4].iter().chain(&QUESTIONS[5..]) {
        person.sees(question);
        person.types(ENTER);
    }
    person.sees("Nothing to do.");
    assert_eq!(person.ends(), 0);
}

#[test]
fn keys_that_cannot_be_had_are_told_and_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine_of(dir.path(), "old-libvirt");
    let mut person =
        Somebody::at(&root, &["--evdev", "--skip-vfio-setup", "--skip-post-setup", "--dry-run"]);
    person.sees("who is to join the groups");
    assert_eq!(person.ends(), 6);

    let mut person = Somebody::at(&root, &["--skip-vfio-setup", "--skip-post-setup"]);
    for question in &QUESTIONS[2..4] {
        person.sees(question);
        person.types(ENTER);
    }
    person.sees(QUESTIONS[4]);
    person.types(&format!("{DOWN}{ENTER}"));
    person.sees("who is to join the groups");
    person.sees(QUESTIONS[4]);
    person.types(ENTER);
    person.sees("Nothing to do.");
    assert_eq!(person.ends(), 0);
}

#[test]
fn what_is_named_without_what_it_needs_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let mut person = Somebody::at(&root, &["--static", "--skip-pre-setup"]);
    person.sees(QUESTIONS[1]);
    person.types(ABORT);
    assert_eq!(person.ends(), 1);
    // What cannot be had is no question, and no end of questions.
    let mut person = Somebody::at(&root, &["--parse", "99", "--skip-pre-setup"]);
    person.sees("there is no IOMMU group 99");
    assert_eq!(person.ends(), 6);
}

#[test]
fn programs_that_are_the_way_back_go_after_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let build = dir.path().join("build");
    std::fs::create_dir(&build).unwrap();
    std::fs::write(build.join("deploy-vfio"), "#!/bin/sh\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(build.join("deploy-vfio"), mode).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
        let output = command.arg("--root").arg(&root).args(["--yes", "--no-rebuild"]).args(words);
        assert!(output.output().unwrap().status.success(), "{words:?}");
    };
    run(&["install", "--from", build.to_str().unwrap()]);
    run(&["hugepages", "2M", "64"]);
    let before = tree(&root);

    for (way, code) in [(ABORT, 1), (BACK, 1), (CTRL_C, 130)] {
        let mut person = Somebody::at(&root, &["uninstall"]);
        person.sees("operation 2: hugepages 2M 64");
        person.sees("What is to become of it?");
        assert_eq!(person.gives_up(way), code);
        assert_eq!(before.diff(&tree(&root)), "");
    }
    let mut person = Somebody::at(&root, &["uninstall"]);
    person.sees("What is to become of it?");
    person.types(ENTER);
    person.sees("Take all of this back?");
    person.types("y");
    assert_eq!(person.ends(), 0);
    assert!(!root.join("usr/local/bin/deploy-vfio").exists());
    assert!(!root.join("etc/deploy-vfio/cmdline.d/20-hugepages.conf").exists());
}

//! Manual pages: complete, without a complaint of groff or mandoc, and with examples that are true.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use vfio_testkit::Description;

use crate::{
    by_hand::has_mkinitcpio,
    tools::{has, programs},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");

/// One of the programs, away from the terminal and environment of the test.
fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(PROGRAM).with_file_name(name));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn page(name: &str) -> String {
    let output = program(name).env("DEPLOY_VFIO_ASK", "man").arg("--help").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    text(&output.stdout)
}

#[test]
fn every_program_has_a_whole_page() {
    for name in programs() {
        let page = page(&name);
        let title = format!(".TH {} 1 ", name.to_uppercase());
        assert!(page.contains(&title), "{name}: {page}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"GLOBAL OPTIONS\""] {
            assert!(page.contains(&format!(".SH {section}\n")), "{name} has no {section}");
        }
        for section in ["\"EXIT STATUS\"", "\"SEE ALSO\""] {
            assert!(page.contains(&format!(".SH {section}\n")), "{name} has no {section}");
        }
        assert!(!page.contains('`'), "{name}: code is bold in a page");
    }
}

#[test]
fn pages_refer_to_pages_that_there_are() {
    let there = programs();
    for name in &there {
        let page = page(name);
        let (_, others) = page.split_once(".SH \"SEE ALSO\"\n").unwrap();
        for other in others.lines() {
            let other = other.trim_end_matches(',').trim_start_matches(r"\fB");
            let other = other.trim_end_matches(r"\fR(1)").replace(r"\-", "-");
            assert!(there.contains(&other), "{name} refers to {other}");
            assert_ne!(name, &other, "a page refers to itself");
        }
    }
}

#[test]
fn groff_and_mandoc_have_no_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let checks = [
        ("groff", &["-k", "-ww", "-z", "-man", "-Tutf8"][..]),
        // No page has a date: the same version makes the same page.
        ("mandoc", &["-T", "lint", "-W", "warning"]),
    ];
    for (tool, arguments) in checks.into_iter().filter(|(tool, _)| has(tool)) {
        for name in programs() {
            let file = dir.path().join(format!("{name}.1"));
            fs::write(&file, page(&name)).unwrap();
            let output = Command::new(tool).args(arguments).arg(&file).output().unwrap();
            let said = text(&output.stdout) + &text(&output.stderr);
            let said: Vec<&str> = said.lines().filter(|l| !l.contains("missing date")).collect();
            assert!(said.is_empty(), "{tool}:\n{}", said.join("\n"));
        }
    }
}

/// What `--help` shows below `Examples:`, without the explanations.
fn examples(name: &str) -> Vec<String> {
    let help = text(&program(name).arg("--help").output().unwrap().stdout);
    let below = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let section = below.take_while(|line| line.is_empty() || line.starts_with(' '));
    let items = section.filter_map(|line| line.strip_prefix("  "));
    items.filter(|line| !line.starts_with(' ') && !line.is_empty()).map(str::to_owned).collect()
}

/// The sample machine, at `name` in `dir`.
fn laid_out(dir: &Path, name: &str) -> PathBuf {
    let root = dir.join(name);
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    Description::read(&machine).unwrap().lay_out(&root).unwrap();
    root
}

/// A machine with one operation, and a directory with a draft to stand in.
fn deployed(dir: &Path) -> PathBuf {
    let root = laid_out(dir, "root");
    fs::write(dir.join("draft.json"), r#"{"format":1,"files":{"etc/sysctl.d/x.conf":"x\n"}}"#)
        .unwrap();
    fs::copy(root.join("etc/libvirt/qemu/win10.xml"), dir.join("win10.xml")).unwrap();
    let mut command = program("deploy-vfio");
    command.arg("--root").arg(&root).args(["--yes", "--no-rebuild", "multiboot", "last"]);
    assert!(command.output().unwrap().status.success());
    root
}

/// A machine that is not served.
fn unserved(dir: &Path) -> PathBuf {
    let root = laid_out(dir, "unserved");
    has_mkinitcpio(&root);
    root
}

/// Runs a line of an example in a shell, as a dry run on `root`.
fn run(line: &str, dir: &Path, root: &Path) -> Output {
    let path = format!("{}:/usr/bin:/bin", Path::new(PROGRAM).parent().unwrap().display());
    let mut command = Command::new("sh");
    command.current_dir(dir).arg("-c").arg(line.replace("/mnt", root.to_str().unwrap()));
    command.env_clear().env("PATH", path).env("DEPLOY_VFIO_DRY_RUN", "1").stdin(Stdio::null());
    if !line.contains("--machine") {
        command.env("DEPLOY_VFIO_ROOT", root);
    }
    command.output().unwrap()
}

#[test]
fn examples_are_true() {
    let dir = tempfile::tempdir().unwrap();
    let (root, unserved) = (deployed(dir.path()), unserved(dir.path()));
    fs::write(root.join("etc/passwd"), "anna:x:1000:1000::/home/anna:/bin/sh\n").unwrap();
    for name in programs() {
        // What a shell reads at its start is tested where the shells are.
        for line in examples(&name).iter().filter(|line| !line.contains("source")) {
            assert!(line.contains("deploy-vfio"), "{name}: {line}");
            let root = if line.contains("--by-hand") { &unserved } else { &root };
            let output = run(line, dir.path(), root);
            // Nothing is rebuilt here: what looks at the boot menu finds it old.
            let looks = name == "deploy-vfio-status" || name == "deploy-vfio-verify";
            let wanted = output.status.success() || (looks && output.status.code() == Some(1));
            assert!(wanted, "{line}: {output:?}");
        }
    }
}

#[test]
fn whatever_changes_something_has_two_examples() {
    let names = [
        "apply",
        "audio-loopback",
        "auto-xorg",
        "cpu",
        "doctor",
        "dynamic",
        "evdev",
        "guest",
        "hugepages",
        "install",
        "libvirt-hooks",
        "looking-glass",
        "multiboot",
        "recover",
        "redo",
        "scream",
        "setup",
        "static",
        "trial",
        "undo",
        "uninstall",
        "zram-swap",
    ];
    for name in names {
        let examples = examples(&format!("deploy-vfio-{name}"));
        assert!(examples.len() >= 2, "{name}: {examples:?}");
    }
}

#[test]
fn help_is_the_page_on_a_terminal_and_plain_text_in_a_pipe() {
    let piped = program("deploy-vfio").args(["help", "undo"]).output().unwrap();
    assert!(text(&piped.stdout).contains("Usage: deploy-vfio undo"), "{piped:?}");
    if !(has("man") && has("script")) {
        return;
    }
    let mut script = program("/usr/bin/script");
    let line = format!("'{PROGRAM}' help undo");
    script.env("MANPAGER", "cat").env("TERM", "dumb").env("LC_ALL", "C.UTF-8");
    let shown = script.args(["-qec", &line, "/dev/null"]).output().unwrap();
    // Bold is a letter printed over itself.
    let (shown, mut plain) = (text(&shown.stdout), String::new());
    for c in shown.chars() {
        if c == '\u{8}' { _ = plain.pop() } else { plain.push(c) }
    }
    assert!(plain.contains("DEPLOY-VFIO-UNDO(1)") && plain.contains("\nEXIT STATUS"), "{plain}");
}

//! What real shells make of deploy-vfio's words when TAB is pressed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use vfio_testkit::Description;

use crate::tools::has;

const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");
const CARD: &str = "NVIDIA GeForce RTX 2070 and 4 more";

/// A place with a machine and a directory, when there is the shell to try there.
fn place(shell: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    if !has(shell) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    fs::create_dir(dir.path().join("directory")).unwrap();
    Some((dir, root))
}

fn machine(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    Description::read(&machine).unwrap().lay_out(&root).unwrap();
    // The names of some cards; not every system has the file.
    let ids = "10de  NVIDIA Corporation\n\t1f02  TU106 [GeForce RTX 2070]\n";
    fs::create_dir_all(root.join("usr/share/misc")).unwrap();
    fs::write(root.join("usr/share/misc/pci.ids"), ids).unwrap();
    root
}

/// A command of the system with the programs on PATH, and nothing else of the test's environment.
fn command(name: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    let mut command = Command::new(name);
    command.env_clear().env("PATH", format!("{programs}:{}:/usr/bin:/bin", dir.display()));
    command.env("HOME", dir).env("LC_ALL", "C.UTF-8").current_dir(dir).stdin(Stdio::null());
    command
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// What the programs answer to the shells' scripts.
fn ask(dir: &Path, words: &[&str]) -> Vec<String> {
    let output = command(PROGRAM, dir).env("DEPLOY_VFIO_ASK", "complete").args(words).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    lines(&output)
}

#[test]
fn groups_come_from_the_tree_on_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let root = root.to_str().unwrap();
    let card = format!("1\t{CARD}");
    for words in [
        &["--root", root, "multiboot", "1"][..],
        &["multiboot", "--root", root, "1"],
        &["multiboot", "--root", "~/root", "--yes", "1"],
    ] {
        let found = ask(dir.path(), words);
        assert_eq!(found[0], card, "{words:?}: {found:?}");
        assert_eq!(found.len(), 2, "groups of a display device: {found:?}");
    }
    let found = ask(dir.path(), &["--root", root, "groups", "vga,1"]);
    assert_eq!(found[0], format!("vga,1\t{CARD}"), "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
    let snapshot = command(PROGRAM, dir.path()).args(["--root", root, "host", "--json"]).output();
    fs::write(dir.path().join("machine.json"), snapshot.unwrap().stdout).unwrap();
    let found = ask(dir.path(), &["--machine", "machine.json", "multiboot", "1"]);
    assert_eq!(found[0], card, "{found:?}");
}

#[test]
fn nothing_is_told_that_goes_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        &["multiboot", "--root", "/nonexistent", "1"][..],
        &["--machine", "/nonexistent", "multiboot", "1"],
        &["multiboot", "--none", "--parse", "99"],
        &["hugepages", "1G", ""],
        &["multiboot", "last", ""],
        &["\u{1b}x"],
        &[],
    ] {
        assert_eq!(ask(dir.path(), words), [""; 0], "{words:?}");
    }
}

/// A plugin that knows nothing of completion would take the words for an order.
#[test]
fn a_plugin_is_not_run_to_complete_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("deploy-vfio-seven");
    fs::write(&plugin, "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ask(dir.path(), &["sev"]), ["seven"]);
    assert_eq!(ask(dir.path(), &["seven", ""]), ["\tpaths"]);
    assert!(!dir.path().join("deploy-vfio-seven.ran").exists(), "TAB ran a plugin");
    // One that does know has the variable's name in its file.
    fs::write(&plugin, "#!/bin/sh\n[ \"$DEPLOY_VFIO_ASK\" ] && echo eight\n").unwrap();
    assert_eq!(ask(dir.path(), &["seven", ""]), ["eight"]);
}

#[test]
fn bash_completes() {
    let Some((dir, root)) = place("bash") else { return };
    let script = r#"
        source <(deploy-vfio completions bash)
        try() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            "$(complete -p deploy-vfio | cut -d' ' -f3)" deploy-vfio
            echo "${COMPREPLY[*]}"
        }
        try deploy-vfio multi
        try deploy-vfio multiboot --pa
        try deploy-vfio multiboot ''
        try deploy-vfio multiboot --parse vga,11
        try deploy-vfio multiboot --parse = vga,11
        try deploy-vfio --color=al
        try deploy-vfio nothing ''"#;
    let mut bash = command("bash", dir.path());
    let output = bash.env("DEPLOY_VFIO_ROOT", root).arg("-c").arg(script).output().unwrap();
    let words = ["multiboot", "--parse", "first last default 1 11 off", "vga,11", "vga,11"];
    assert_eq!(lines(&output), [&words[..], &["always", ""]].concat());
}

#[test]
fn fish_completes() {
    let Some((dir, root)) = place("fish") else { return };
    let complete = |line: &str| {
        let mut fish = command("fish", dir.path());
        let script = "deploy-vfio completions fish | source; complete -C $argv[1]";
        fish.env("DEPLOY_VFIO_ROOT", &root).args(["-c", script, line]);
        lines(&fish.output().unwrap())
    };
    assert_eq!(complete("deploy-vfio multi"), ["multiboot"]);
    assert!(complete("deploy-vfio multiboot --pa")[0].starts_with("--parse\tGroups for guests"));
    let groups = complete("deploy-vfio multiboot ");
    assert!(groups.contains(&format!("1\t{CARD}")), "{groups:?}");
    assert_eq!(complete("deploy-vfio --color=al"), ["--color=always"]);
    let below = complete("deploy-vfio --root dir");
    assert!(below[0].starts_with("directory/"), "{below:?}");
}

/// Types into a zsh on a terminal of its own: `zle` alone calls completion.
#[test]
fn zsh_completes() {
    let Some((dir, root)) = place("zsh") else { return };
    // ^X writes the line as it stands and empties it.
    let setup = r#"
        autoload -U compinit && compinit -u -D
        source <(deploy-vfio completions zsh)
        report() { print -r -- $BUFFER >> lines; BUFFER= }
        zle -N report && bindkey '^X' report
        : > lines"#;
    fs::write(dir.path().join("setup"), setup).unwrap();
    let script = r#"
        zmodload zsh/zpty && zpty shell zsh -f -i
        # Until the file has so many lines; zsh reads ahead what is typed meanwhile.
        wait_for() { repeat 600 { [[ -e lines && $(wc -l < lines) -ge $1 ]] && return; sleep 0.05 } }
        zpty -w shell 'source ./setup' && wait_for 0
        for line in "$@"; do
            zpty -w -n shell "$line"$'\t\x18'
            wait_for $((++typed))
        done
        cat lines"#;
    let mut zsh = command("zsh", dir.path());
    zsh.env("DEPLOY_VFIO_ROOT", root).env("TERM", "dumb").args(["-f", "-c", script, "zsh"]);
    let typed = ["multi", "multiboot --pa", "multiboot 11", "multiboot --parse=vga,11", "--root d"];
    let output = zsh.args(typed.map(|words| format!("deploy-vfio {words}"))).output().unwrap();
    let wanted = ["multiboot", "multiboot --parse", "multiboot 11", "multiboot --parse=vga,11"];
    let mut wanted: Vec<_> = wanted.iter().map(|words| format!("deploy-vfio {words} ")).collect();
    wanted.push("deploy-vfio --root directory/".into());
    assert_eq!(lines(&output), wanted);
}

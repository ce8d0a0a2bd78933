//! What no command may do on any machine: panic, refuse without a reason, bind what the host
//! needs, split a group or a card, or leave the host without a display.
//!
//! `DEPLOY_VFIO_MACHINES` names a directory with more machines than the project's own.

use std::{collections::BTreeSet, fmt::Write};

use vfio_testkit::{Description, Edits, Outcome, Stage, laws::laws, safety, synthetic};

use super::{all, files, home, programs};

/// Of so many groups each is tried; of more, those with a display and some of the others.
const ALL_GROUPS: usize = 40;

#[test]
fn no_command_harms_any_machine() {
    let dir = std::env::var_os("DEPLOY_VFIO_MACHINES").map_or(home("machines"), Into::into);
    let mut machines: Vec<Description> = files(&dir, "json")
        .iter()
        .map(|file| Description::read(file).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    assert!(!machines.is_empty(), "no machines in {}", dir.display());
    machines.push(synthetic(49));
    all(&machines, |machine| {
        let broken = try_all(machine).map_err(|error| format!("{}: {error}", machine.name))?;
        if broken.is_empty() { Ok(()) } else { Err(format!("{}:\n{broken}", machine.name)) }
    });
}

/// Everything that is tried on one machine; what went wrong, one a line.
fn try_all(machine: &Description) -> std::io::Result<String> {
    let stage = Stage::new(machine, Edits::None)?;
    let mut broken = String::new();
    for words in ["groups", "groups all", "groups --json", "host --json", "status", "doctor"] {
        let words: Vec<&str> = words.split(' ').collect();
        let outcome = programs().run(stage.path(), &words)?;
        note(&mut broken, &words, reading(&words, &outcome));
    }
    for command in [multiboots(machine), statics(machine)].concat() {
        let words: Vec<&str> = command.split(' ').collect();
        let run = [&words[..], &["--yes", "--no-rebuild"]].concat();
        let outcome = programs().run(stage.path(), &run)?;
        note(&mut broken, &words, changing(machine, &stage, &outcome));
        stage.reset()?;
    }
    for command in [
        "multiboot last",
        "multiboot first --parse all",
        "static grub",
        "static file --parse all",
        "cpu",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        note(&mut broken, &words, laws(&programs(), stage.path(), &words));
        stage.reset()?;
    }
    Ok(broken)
}

fn note(broken: &mut String, words: &[&str], result: Result<(), String>) {
    if let Err(error) = result {
        let _ = writeln!(broken, "  deploy-vfio {}: {error}", words.join(" "));
    }
}

/// The groups with a display, and as many of the others as are tried.
fn groups(machine: &Description) -> (BTreeSet<u32>, Vec<u32>) {
    let group = |display: bool| {
        let devices = machine.devices.iter().filter(move |d| d.is_display() == display);
        devices.filter_map(|device| device.iommu_group).collect::<BTreeSet<u32>>()
    };
    let displays = group(true);
    let others: Vec<u32> = group(false).difference(&displays).copied().collect();
    let step = others.len().div_ceil(ALL_GROUPS).max(1);
    (displays, others.into_iter().step_by(step).collect())
}

/// The commands to try: every choice of host card, then every choice of devices.
fn multiboots(machine: &Description) -> Vec<String> {
    let (displays, others) = groups(machine);
    let hosts = ["first", "last", "default"].map(str::to_owned);
    let hosts: Vec<String> = hosts.into_iter().chain(displays.iter().map(u32::to_string)).collect();
    let sets = ["vga", "no-vga", "all"].map(str::to_owned).into_iter();
    let single = others.iter().chain(&displays).map(u32::to_string);
    let mut commands: Vec<String> = hosts.iter().map(|host| format!("multiboot {host}")).collect();
    commands.extend(hosts.iter().map(|host| format!("multiboot {host} --parse all")));
    commands.extend(sets.chain(single).map(|set| format!("multiboot last --parse {set}")));
    commands
}

/// The same for setups without a menu, of each kind.
fn statics(machine: &Description) -> Vec<String> {
    let (displays, others) = groups(machine);
    let mut words: Vec<String> = ["", " --parse no-vga", " --parse all"].map(str::to_owned).into();
    for group in &displays {
        words.extend([format!(" --host {group}"), format!(" --host {group} --parse all")]);
    }
    words.extend(others.iter().chain(&displays).map(|group| format!(" --parse {group}")));
    let kinds = ["grub", "grub --by-id", "file", "file --blacklist"];
    let of_kind = |kind: &str| words.iter().map(|w| format!("static {kind}{w}")).collect();
    kinds.iter().flat_map(|kind| -> Vec<String> { of_kind(kind) }).collect()
}

fn reading(words: &[&str], outcome: &Outcome) -> Result<(), String> {
    sane(outcome)?;
    if words.contains(&"--json") && outcome.code == 0 {
        let parsed = serde_json::from_str::<serde_json::Value>(&outcome.stdout);
        parsed.map_err(|error| format!("prints no JSON: {error}"))?;
    }
    Ok(())
}

/// A `because:` line; or, where the first line says what is not there, what there is instead; or
/// the same in JSON.
fn names_a_reason(stderr: &str) -> bool {
    let first = stderr.lines().next().unwrap_or_default();
    let json = stderr.contains("\"because\": [\n") || first.contains("\"because\":[\"");
    let choices = ["; there are ", "; the only one is ", "; there is none"];
    json || choices.iter().any(|choice| first.contains(choice))
        || stderr.lines().any(|line| line.starts_with("because: "))
}

/// An exit status that is promised, and a reason for every refusal.
fn sane(outcome: &Outcome) -> Result<(), String> {
    let Outcome { code, stderr, .. } = outcome;
    if stderr.contains("panicked") || !matches!(code, 0 | 1 | 2 | 6) {
        return Err(format!("exit {code}\n{stderr}"));
    }
    if *code == 6 && !names_a_reason(stderr) {
        return Err(format!("refuses without a reason\n{stderr}"));
    }
    Ok(())
}

fn changing(machine: &Description, stage: &Stage, outcome: &Outcome) -> Result<(), String> {
    sane(outcome)?;
    let problem = |error: std::io::Error| error.to_string();
    let mut setups = safety::entries(stage.path()).map_err(problem)?;
    if let Some(bound) = safety::fixed(machine, stage.path()).map_err(problem)? {
        safety::check_blacklist(machine, stage.path(), &bound)?;
        setups.push(("static".to_owned(), bound));
    }
    if outcome.code != 0 && !setups.is_empty() {
        return Err(format!("exit {} and something was written", outcome.code));
    }
    for (name, bound) in setups {
        safety::check(machine, stage.roles(), &bound)
            .map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

//! C18: programs of the distribution that do what they should not.
//!
//! In a case `grub-mkconfig/full-pipe` that program is replaced by one that misbehaves in that way. Then
//! everything goes back, with a documented exit code and a word that says whose fault it is; or, where
//! what it did harms nobody, the operation is done. What it did to other files stays.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::lab::{Bench, Desk, Stage, sane};
use super::scenario::Verb;
use super::tracer::Exit;
use super::tree;

/// The scenario whose operation it is.
const SCENARIO: &str = "boot-apply";
/// A file of the user's that no plan is about.
const OTHER: &str = "etc/modprobe.d/other.conf";

/// What comes of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Back,
    Done,
    /// The operation is done, and so is what the program did to [`OTHER`].
    Edited,
}

use Fate::{Back, Done, Edited};

/// Name, what the program does before or instead of its work (`$out` is its result, `real` its work),
/// and what comes of it.
const BUILDERS: &[(&str, &str, Fate)] = &[
    ("fails", "exit 1", Back),
    ("writes-nothing", "exit 0", Back),
    ("writes-empty", ": >\"$out\"", Back),
    ("half-made", "echo x >\"$out.new\"; echo x >\"$out\"", Back),
    ("fails-late", "real; exit 3", Back),
    ("crashes", "real; busybox kill -SEGV $$", Back),
    ("is-killed", "busybox kill -KILL $$", Back),
    ("full-pipe", "busybox yes | busybox head -c 100000000; real", Done),
    ("shouts", "busybox yes | busybox head -c 100000000 >&2; real", Done),
    ("leaves-a-daemon", "busybox sleep 3 & real", Done),
    ("directory", "busybox mkdir \"$out\"", Back),
    ("pipe", "busybox mkfifo \"$out\"", Back),
    ("link", "busybox ln -s /etc/passwd \"$out\"", Back),
    ("edits", "echo edited >>/etc/modprobe.d/other.conf; real", Edited),
    ("removes-itself", "busybox rm \"$0\"; real", Done),
    ("closes-everything", "exec 0<&- 1>&- 2>&-; real", Done),
];

/// The same for programs that look at what was built.
const LOOKERS: &[(&str, &str, &str, Fate)] = &[
    ("grub-script-check", "refuses", "exit 1", Back),
    ("grub-script-check", "crashes", "busybox kill -SEGV $$", Back),
    ("grub-script-check", "shouts", "busybox yes | busybox head -c 100000000", Done),
    ("grub-script-check", "empties", ": >\"$1\"", Back),
    ("lsinitramfs", "fails", "exit 1", Done),
    ("lsinitramfs", "shouts", "busybox yes | busybox head -c 100000000", Done),
];

const MAKERS: [&str; 2] = ["grub-mkconfig", "mkinitramfs"];

/// Every program with every misbehaviour.
pub fn list(stage: &Stage) -> Vec<String> {
    if stage.scenario.name != SCENARIO {
        return Vec::new();
    }
    let makers = MAKERS
        .iter()
        .flat_map(|maker| BUILDERS.iter().map(move |(name, ..)| format!("{maker}/{name}")));
    makers.chain(LOOKERS.iter().map(|(tool, name, ..)| format!("{tool}/{name}"))).collect()
}

/// Runs one case.
pub fn run((bench, stage, desk): (&Bench, &Stage, &Desk), case: &str) -> Result<()> {
    let Some((tool, name)) = case.split_once('/') else { bail!("no such case") };
    bench.set(stage, desk)?;
    let fate = misbehave(&desk.root, tool, name)?;
    let before = tree::read(&desk.root, false)?;
    let ran = bench.run(stage.scenario, stage.scenario.verb, desk)?;
    sane(&ran)?;
    let (said, now) = (ran.output.trim(), tree::read(&desk.root, false)?);
    // The plan comes first.
    let said = said.split_once("then rebuild").map_or(said, |(_, end)| end);
    let tools: Vec<_> = ["usr", "usr/bin", "usr/sbin"].map(Path::new).to_vec();
    let paths = [format!("usr/bin/{tool}"), format!("usr/sbin/{tool}")];
    let but: Vec<&Path> =
        tools.into_iter().chain(paths.iter().map(Path::new)).chain([Path::new(OTHER)]).collect();
    let found = stage.ends.end_but(&now, &but)?;
    match (fate, ran.exit) {
        (Back, Exit::Code(1 | 7)) => {
            ensure!(found.old && now == before, "not all went back: {said}");
            // The menu's maker is started by another program.
            let blamed =
                [tool, "update-grub", "the boot menu that"].iter().any(|it| said.contains(it));
            ensure!(blamed, "nobody says whose fault it is: {said}");
        }
        (Done | Edited, Exit::Code(0)) => ensure!(found.new, "done, and yet not: {said}"),
        (fate, exit) => bail!("{exit:?} where {fate:?} was expected: {said}"),
    }
    let other = fs::read_to_string(desk.root.join(OTHER))?;
    ensure!(other.ends_with("edited\n") == (fate == Edited), "an edit was lost: {other:?}");
    let again = bench.run(stage.scenario, Verb::Recover, desk)?;
    ensure!(again.output.contains("Nothing to do."), "left behind: {}", again.output.trim());
    Ok(())
}

/// Puts a misbehaving program in the place of a good one.
fn misbehave(root: &Path, tool: &str, name: &str) -> Result<Fate> {
    let builder = BUILDERS.iter().find(|row| MAKERS.contains(&tool) && row.0 == name);
    let looker = LOOKERS.iter().find(|row| (row.0, row.1) == (tool, name));
    let Some((words, fate)) = builder
        .map(|(_, words, fate)| (*words, *fate))
        .or_else(|| looker.map(|(_, _, words, fate)| (*words, *fate)))
    else {
        bail!("no such case")
    };
    let path = ["usr/sbin", "usr/bin"].map(|dir| root.join(dir).join(tool));
    let Some(path) = path.iter().find(|path| path.exists()) else { bail!("there is no {tool}") };
    let good = fs::read_to_string(path)?;
    let (shebang, body) = good.split_once('\n').unwrap_or(("#!/bin/sh", ""));
    let head = match looker {
        Some(_) => String::new(),
        None => format!("real() {{\nset -- \"$@\"\n{}\n}}\n", body.trim_end()),
    };
    let arguments =
        "args=\"$*\"; out=; prev=; for a; do [ \"$prev\" = -o ] && out=$a; prev=$a; done\n";
    let words = words.replace("real", "real $args");
    fs::write(path, format!("{shebang}\n{head}{arguments}{words}\n"))?;
    Ok(fate)
}

//! Runs the programs under test on copies of prepared trees.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::calls::Call;
use super::commands;
use super::judge::Ends;
use super::power::{self, Record};
use super::scenario::{self, Scenario, Step, Verb};
use super::tracer::{self, Action, Exit, Ran, Watch};
use super::tree;

/// The programs under test, and where trees are made for them.
#[derive(Debug)]
pub struct Bench {
    /// Holds `deploy-vfio-apply` and the others.
    pub programs: PathBuf,
    pub scratch: PathBuf,
    /// A defect planted in the programs.
    pub defect: Option<&'static str>,
}

/// A scenario, ready: its tree before the operation, and both ends of it.
#[derive(Debug)]
pub struct Stage {
    pub scenario: &'static Scenario,
    /// Its tree before the operation.
    pub template: PathBuf,
    pub ends: Ends,
    /// Exit code of the undisturbed operation.
    pub code: i32,
    /// Every change of the undisturbed operation.
    pub calls: Vec<String>,
    /// The same for the power-cut model.
    pub record: Record,
}

/// One worker's place: a tree, and what programs printed.
#[derive(Debug)]
pub struct Desk {
    pub root: PathBuf,
    pub spare: PathBuf,
    pub log: PathBuf,
}

impl Desk {
    pub fn new(bench: &Bench, name: &str) -> Result<Self> {
        let dir = bench.scratch.join(name);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self { root: dir.join("root"), spare: dir.join("spare"), log: dir.join("log") })
    }
}

impl Bench {
    /// A command on the tree `root`, ready to be started.
    pub fn command(&self, scenario: &Scenario, verb: Verb, root: &Path) -> Command {
        let (name, words) = match verb {
            Verb::Apply(_) => ("apply", Vec::new()),
            Verb::Undo => ("undo", Vec::new()),
            Verb::UndoAll => ("undo", vec!["--all"]),
            Verb::UndoKeep => ("undo", vec!["--keep"]),
            Verb::Redo => ("redo", Vec::new()),
            Verb::Recover => ("recover", Vec::new()),
            Verb::Words(line) => commands::program(line),
        };
        let programs = match name {
            "install" => self.scratch.join(commands::FEW),
            _ => self.programs.clone(),
        };
        let mut command = Command::new(programs.join(format!("deploy-vfio-{name}")));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("HOME", "/root");
        command.envs(self.defect.map(|defect| ("DEPLOY_VFIO_DEFECT", defect)));
        command.arg("--root").arg(root).arg("--yes").current_dir("/");
        if !scenario.rebuilds() {
            command.arg("--no-rebuild");
        }
        command.args(words);
        if let Verb::Apply(plan) = verb {
            command.arg(self.scratch.join(format!("{plan}.json")));
        }
        command
    }

    /// Runs a command on the desk's tree without faults.
    pub fn run(&self, stage: &Scenario, verb: Verb, desk: &Desk) -> Result<Ran> {
        self.run_in(stage, verb, &desk.root)
    }

    /// The same on any tree.
    pub fn run_in(&self, scenario: &Scenario, verb: Verb, root: &Path) -> Result<Ran> {
        self.run_within(&["-s", "KILL", "10"], &self.command(scenario, verb, root))
    }

    /// The same, asked to stop after a second.
    pub fn run_briefly(&self, scenario: &Scenario, verb: Verb, root: &Path) -> Result<Ran> {
        self.run_within(&["--preserve-status", "1"], &self.command(scenario, verb, root))
    }

    fn run_within(&self, limit: &[&str], command: &Command) -> Result<Ran> {
        // The environment must be that of the command, not ours.
        let mut guarded = Command::new("/usr/bin/timeout");
        guarded.args(limit).arg(command.get_program()).args(command.get_args());
        guarded.env_clear().current_dir("/").stdin(std::process::Stdio::null());
        guarded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = guarded.output().context("cannot start `timeout`")?;
        let exit = match (output.status.code(), output.status.signal()) {
            (Some(137), _) | (None, Some(9)) => Exit::Hung,
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(Signal::try_from(signal.unwrap_or(0))?),
        };
        let text = [output.stdout, output.stderr].concat();
        Ok(Ran { exit, calls: 0, output: String::from_utf8_lossy(&text).into_owned() })
    }

    /// Runs a command on the desk's tree, `watch` deciding at every change.
    pub fn trace(
        &self,
        scenario: &Scenario,
        verb: Verb,
        desk: &Desk,
        watch: &mut dyn Watch,
    ) -> Result<Ran> {
        tracer::trace(&self.command(scenario, verb, &desk.root), &desk.root, &desk.log, watch)
    }

    /// Prepares a scenario.
    pub fn stage(&self, scenario: &'static Scenario) -> Result<Stage> {
        let prepared = self.prepare(scenario);
        prepared.with_context(|| format!("cannot prepare {}", scenario.name))
    }

    fn prepare(&self, scenario: &'static Scenario) -> Result<Stage> {
        let template = self.scratch.join(scenario.name);
        self.lay_out(scenario, &template)?;
        for step in scenario.before {
            match step {
                Step::Run(verb) => done(&self.run_in(scenario, *verb, &template)?, 0)?,
                Step::Edit(path) => append(&template.join(path), b"a user's line\n")?,
            }
        }
        let desk = Desk::new(self, "reference")?;
        tree::copy(&template, &desk.root)?;
        let old = tree::read(&desk.root, false)?;
        let mut calls = Vec::new();
        let mut list = |_: usize, call: &Call| {
            calls.push(call.show());
            Action::Go
        };
        let ran = self.trace(scenario, scenario.verb, &desk, &mut list)?;
        let Exit::Code(code @ (0 | 4)) = ran.exit else { bail!("{:?}: {}", ran.exit, ran.output) };
        let new = tree::read(&desk.root, false)?;
        let ends = Ends::new(old, new, scenario.verb.is_fresh());
        if code == 0 && ends.targets().is_empty() {
            bail!("nothing changed: {}", ran.output);
        }
        let record = power::record(self, scenario, &template, code)?;
        Ok(Stage { scenario, template, ends, code, calls, record })
    }

    fn lay_out(&self, scenario: &Scenario, root: &Path) -> Result<()> {
        tree::remove(root)?;
        if scenario.is_command() {
            return commands::lay_out(root, &self.programs, &self.scratch);
        }
        let mut base = scenario::tree();
        if scenario.rebuilds() {
            scenario::add_generators(&mut base);
        }
        tree::write(root, &base)?;
        if scenario.rebuilds() {
            fs::create_dir(root.join("bin"))?;
            fs::copy("/bin/busybox", root.join("bin/busybox"))
                .context("apt-get install busybox-static")?;
            for tool in ["sh", "cat", "rm", "test", "mkdir", "env"] {
                symlink("busybox", root.join("bin").join(tool))?;
            }
        }
        for verb in scenario.before.iter().filter_map(Step::verb).chain([scenario.verb]) {
            if let Verb::Apply(plan) = verb {
                let document = self.scratch.join(format!("{plan}.json"));
                fs::write(document, scenario::document(plan))?;
            }
        }
        Ok(())
    }

    /// Puts the scenario's tree, as it is before the operation, on the desk.
    pub fn set(&self, stage: &Stage, desk: &Desk) -> Result<()> {
        tree::copy(&stage.template, &desk.root)
    }
}

impl Step {
    fn verb(&self) -> Option<Verb> {
        match self {
            Self::Run(verb) => Some(*verb),
            Self::Edit(_) => None,
        }
    }
}

/// Fails unless a program ended with `code` and did not panic.
pub fn done(ran: &Ran, code: i32) -> Result<()> {
    sane(ran)?;
    if ran.exit != Exit::Code(code) {
        bail!("{:?} instead of {code}: {}", ran.exit, ran.output.trim());
    }
    Ok(())
}

/// Fails if a program panicked, hung, died, or ended with a code that nobody documented.
pub fn sane(ran: &Ran) -> Result<()> {
    let text = ran.output.trim();
    match ran.exit {
        _ if text.contains("panicked at") => bail!("panic: {text}"),
        Exit::Code(0 | 1 | 3..=7) => Ok(()),
        exit => bail!("{exit:?}: {text}"),
    }
}

/// Appends to a file, in place, as an editor's `>>` does.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    Ok(file.write_all(bytes)?)
}

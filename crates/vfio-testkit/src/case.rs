//! Text files with commands and what they print.
//!
//! ```text
//! # A comment.
//! machine two-gpus user-edits
//!
//! $ deploy-vfio multiboot last --yes --no-rebuild
//!   a line of standard output
//! 2> a line of standard error
//! ? 6
//! ```
//!
//! `machine NAME [user-edits|crlf]` lays out `machines/NAME.json` anew. A `$` line is one command,
//! its words split as a shell would; all commands up to the next machine work on the same tree:
//!
//! * `deploy-vfio …` and `deploy-vfio-NAME …`: the programs under test, with `--root` set;
//! * `cat PATH…`: prints files of the tree; `list DIR`: prints the names in a directory;
//! * `append PATH TEXT`, `write PATH TEXT`, `program PATH TEXT`, `remove PATH`: change the tree as a
//!   user would; a program can be run;
//! * `menu [TEXT…]`: prints what `grub-mkconfig` makes of the tree, or its lines with a TEXT.
//!
//! What is printed follows: lines of standard output indented by two blanks, then lines of
//! standard error behind `2>`, then `? CODE` unless it is 0. Blanks at the end of a line and empty
//! lines at the end of an output are not compared. `[ROOT]` stands for the tree's path, `[TIME]`
//! for any time, and `[VERSION]` for the version of the programs.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    Description, Edits, Stage,
    filter::Filters,
    laws::{laws, mutating},
    run::{Outcome, Programs, boot_menu},
};

/// Runs cases.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The programs under test.
    pub programs: Programs,
    /// The directory with the machines that cases name.
    pub machines: PathBuf,
    /// Whether to write what was printed into the case, instead of comparing.
    pub update: bool,
}

#[derive(Debug)]
enum Line {
    /// A comment or an empty line.
    Text(String),
    Machine {
        line: String,
        name: String,
        edits: Edits,
    },
    Command {
        line: String,
        words: Vec<String>,
    },
}

impl Runner {
    /// Runs one case; the error is a diff between what it says and what was printed.
    pub fn run(&self, case: &Path) -> Result<(), String> {
        let problem = |error: String| format!("{}: {error}", case.display());
        let said = fs::read_to_string(case).map_err(|error| problem(error.to_string()))?;
        let lines = parse(&said).map_err(problem)?;
        let printed = self.play(&lines).map_err(problem)?;
        if normal(&said) == normal(&printed) {
            return Ok(());
        }
        if self.update {
            return fs::write(case, printed).map_err(|error| problem(error.to_string()));
        }
        let diff = similar::TextDiff::from_lines(&said, &printed);
        let (name, now) = (case.display().to_string(), "what is printed (UPDATE=1 takes it)");
        Err(diff.unified_diff().header(&name, now).to_string())
    }

    /// Holds every command of a case that changes files against the laws, each on a fresh tree
    /// where the commands before it were run; all that is broken.
    pub fn laws(&self, case: &Path) -> Result<(), String> {
        let problem = |error: String| format!("{}: {error}", case.display());
        let said = fs::read_to_string(case).map_err(|error| problem(error.to_string()))?;
        let mut before: Vec<Vec<String>> = Vec::new();
        let mut on: Option<(Description, Edits)> = None;
        let mut broken = String::new();
        for line in parse(&said).map_err(problem)? {
            match line {
                Line::Text(_) => {}
                Line::Machine { name, edits, .. } => {
                    on = Some((self.machine(&name).map_err(problem)?, edits));
                    before.clear();
                }
                Line::Command { words, .. } => {
                    if let Some((machine, edits)) = &on
                        && let Err(error) = self.law(machine, *edits, &before, &words)
                    {
                        let _ = writeln!(broken, "{}: {error}", case.display());
                    }
                    before.push(words);
                }
            }
        }
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }

    /// One command against the laws, when they are about it, after those before it were run.
    fn law(
        &self,
        machine: &Description,
        edits: Edits,
        before: &[Vec<String>],
        words: &[String],
    ) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ["deploy-vfio", words @ ..] = words.as_slice() else { return Ok(()) };
        if !mutating(words) {
            return Ok(());
        }
        let stage = Stage::new(machine, edits).map_err(|error| error.to_string())?;
        for words in before {
            self.command(&stage, words)?;
        }
        laws(&self.programs, stage.path(), words)
    }

    fn play(&self, lines: &[Line]) -> Result<String, String> {
        let mut stage: Option<Stage> = None;
        let mut text = String::new();
        for line in lines {
            match line {
                Line::Text(line) => text += &format!("{line}\n"),
                Line::Machine { line, name, edits } => {
                    let machine = self.machine(name)?;
                    stage = Some(Stage::new(&machine, *edits).map_err(|error| error.to_string())?);
                    text += &format!("{line}\n");
                }
                Line::Command { line, words } => {
                    let stage = stage.as_ref().ok_or("a command before the first `machine`")?;
                    let outcome = self.command(stage, words)?;
                    text += &format!("{line}\n{}", show(&outcome, stage.path()));
                }
            }
        }
        Ok(text)
    }

    fn machine(&self, name: &str) -> Result<Description, String> {
        let file = self.machines.join(format!("{name}.json"));
        Description::read(&file).map_err(|error| error.to_string())
    }

    fn command(&self, stage: &Stage, words: &[String]) -> Result<Outcome, String> {
        let root = stage.path();
        let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = match borrowed.as_slice() {
            ["deploy-vfio", rest @ ..] => self.programs.run(root, rest),
            [name, rest @ ..] if name.starts_with("deploy-vfio-") => {
                self.programs.run_program(name, root, rest)
            }
            ["menu", rest @ ..] => boot_menu(root).map(|menu| only(menu, rest)),
            other => Ok(builtin(root, other).unwrap_or_else(|error| Outcome {
                code: 1,
                stderr: format!("{}: {error}\n", other[0]),
                ..Outcome::default()
            })),
        };
        done.map_err(|error| format!("`{}`: {error}", words.join(" ")))
    }
}

/// The lines that hold one of the texts; all when there is none.
fn only(menu: Outcome, texts: &[&str]) -> Outcome {
    let wanted = |line: &&str| texts.is_empty() || texts.iter().any(|text| line.contains(text));
    let lines = menu.stdout.lines().filter(wanted).map(|line| format!("{line}\n"));
    Outcome { stdout: lines.collect(), ..menu }
}

/// What a user would do with other programs.
fn builtin(root: &Path, words: &[&str]) -> io::Result<Outcome> {
    let mut stdout = String::new();
    match words {
        ["cat", paths @ ..] => {
            for path in paths {
                stdout += &String::from_utf8_lossy(&fs::read(root.join(path))?);
            }
        }
        ["list", dir] => {
            let mut names = Vec::new();
            for entry in fs::read_dir(root.join(dir))? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            stdout = names.iter().map(|name| format!("{name}\n")).collect();
        }
        ["append", path, text] => {
            let mut bytes = fs::read(root.join(path))?;
            bytes.extend(format!("{text}\n").as_bytes());
            fs::write(root.join(path), bytes)?;
        }
        ["write", path, text] => {
            fs::create_dir_all(root.join(path).parent().unwrap_or(root))?;
            fs::write(root.join(path), format!("{text}\n"))?;
        }
        ["program", path, text] => {
            builtin(root, &["write", path, text])?;
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755))?;
        }
        ["remove", path] => fs::remove_file(root.join(path))?,
        _ => return Err(io::Error::other("no such command in a case")),
    }
    Ok(Outcome { stdout, ..Outcome::default() })
}

/// An outcome as a case writes it.
fn show(outcome: &Outcome, root: &Path) -> String {
    let filters = Filters::new(root);
    let lines = |text: &str, prefix: &str| {
        let text = filters.apply(text);
        let lines = text.trim_end().lines().map(|line| format!("{prefix}{line}"));
        lines.map(|line| format!("{}\n", line.trim_end())).collect::<String>()
    };
    let mut text = lines(&outcome.stdout, "  ") + &lines(&outcome.stderr, "2> ");
    if outcome.code != 0 {
        let _ = writeln!(text, "? {}", outcome.code);
    }
    text
}

/// Blanks at the end of a line mean nothing.
fn normal(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Keeps what is not output.
///
/// An empty line belongs to the output when more of it follows, and else to the text after it.
fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let (mut empty, mut output) = (0, false);
    for (number, line) in (1..).zip(text.lines()) {
        let is_output = line.starts_with("  ") || line.starts_with("2>") || line.starts_with("? ");
        if line.trim().is_empty() {
            empty += 1;
        } else if is_output && output {
            empty = 0;
        } else {
            lines.extend((0..empty).map(|_| Line::Text(String::new())));
            empty = 0;
            let line = self::line(line).map_err(|error| format!("line {number}: {error}"))?;
            output = matches!(line, Line::Command { .. });
            lines.push(line);
        }
    }
    Ok(lines)
}

fn line(line: &str) -> Result<Line, String> {
    let whole = line.to_owned();
    if line.starts_with('#') {
        return Ok(Line::Text(whole));
    }
    if let Some(command) = line.strip_prefix("$ ") {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        return Ok(Line::Command { line: whole, words: words.ok_or("not a command")? });
    }
    let edits = |word: Option<&str>| match word {
        None => Ok(Edits::None),
        Some("user-edits") => Ok(Edits::User),
        Some("crlf") => Ok(Edits::Crlf),
        Some(other) => Err(format!("no edits are called `{other}`")),
    };
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("machine"), Some(name)) => {
            Ok(Line::Machine { line: whole, name: name.to_owned(), edits: edits(words.next())? })
        }
        _ => Err(format!("neither comment, machine, command nor output: `{line}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(update: bool) -> Runner {
        let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../machines");
        Runner { programs: Programs::new(Path::new("/bin/false")), machines, update }
    }

    #[test]
    fn a_case_that_holds_is_left_alone_and_one_that_does_not_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.case");
        let case = "# What a sample machine looks like.\nmachine two-gpus\n\n\
            $ cat etc/debian_version\n  12.12\n\n$ append etc/debian_version 'by hand'\n\
            $ list etc/modprobe.d\n\n# After it:\n$ cat etc/debian_version\n  12.12\n";
        fs::write(&file, case).unwrap();
        let error = runner(false).run(&file).unwrap_err();
        assert!(error.contains("+  by hand") && !error.contains("-  12.12"), "{error}");
        runner(true).run(&file).unwrap();
        runner(false).run(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), case.to_owned() + "  by hand\n");
    }

    #[test]
    fn a_case_with_a_line_that_means_nothing_is_an_error() {
        for case in ["machine two-gpus\n\n  output\n", "machine\n", "$ cat 'x\n", "machine a b\n"] {
            assert!(parse(case).is_err(), "{case}");
        }
    }

    #[test]
    fn the_menu_of_a_sample_machine_is_debian_like() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.case");
        fs::write(&file, "machine two-gpus user-edits\n$ menu menuentry linux\n").unwrap();
        runner(true).run(&file).unwrap();
        let menu = fs::read_to_string(&file).unwrap();
        let linux = "linux	/boot/vmlinuz-6.1.0-28-amd64 root=UUID=5a3d0e8c-7c1f-4d52-9b60-2f8e4c6a9d13 \
                     ro  zswap.enabled=0 quiet splash amdgpu.ppfeaturemask=0xffffffff";
        assert!(menu.contains(linux), "{menu}");
        assert!(menu.contains("$menuentry_id_option 'gnulinux-simple-5a3d0e8c"), "{menu}");
        assert!(menu.contains("'gnulinux-6.1.0-26-amd64-recovery-5a3d0e8c"), "{menu}");
    }
}

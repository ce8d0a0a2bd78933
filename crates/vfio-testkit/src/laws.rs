//! What must hold for every command that changes files, whatever it changes.
//!
//! 1. `--dry-run` leaves the tree as it is, times included.
//! 2. A command that is refused (exit 2 or 6) does, too; so it is with and without `--dry-run`.
//! 3. The same command again says "Nothing to do." and changes nothing.
//! 4. `undo` brings back every byte, mode, owner and time, but for the journal, and the times of
//!    directories and links.

use std::{io, path::Path};

use crate::{
    run::{Outcome, Programs},
    tree::{STATE, Tree},
};

/// What a command that has nothing to change prints.
pub const NOTHING: &str = "Nothing to do.";

/// Options that decide whether files are changed: the laws set them themselves.
const MODES: &[&str] = &["--yes", "-y", "--dry-run", "-n", "--no-rebuild"];

/// Commands that change no file of the system, or that are what the laws are made of.
const READ_ONLY: &[&str] = &[
    "groups", "doctor", "host", "status", "log", "list", "help", "verify", "recover", "undo",
    "redo",
];

/// Commands that print unless one of [`CHANGES`] is among their words.
const PRINTS: [&str; 2] = ["guest", "trial"];
const CHANGES: [&str; 4] = ["--define", "--patch", "confirm", "off"];

/// Whether the laws are about this command.
#[must_use]
pub fn mutating(words: &[&str]) -> bool {
    let asks = |word: &&str| matches!(*word, "--dry-run" | "-n" | "--help" | "--version" | "-V");
    let command = words.iter().find(|word| !word.starts_with('-'));
    let changes = words.iter().any(|word| CHANGES.contains(word));
    let prints =
        |command: &str| READ_ONLY.contains(&command) || (PRINTS.contains(&command) && !changes);
    let command = command.filter(|command| !prints(command));
    command.is_some() && !words.iter().any(asks)
}

/// Holds one command against the laws, on a tree that was laid out for nothing else.
pub fn laws(programs: &Programs, root: &Path, command: &[&str]) -> Result<(), String> {
    let words: Vec<&str> = command.iter().copied().filter(|w| !MODES.contains(w)).collect();
    let law = Law { programs, root, words: &words };
    law.check().unwrap_or_else(|error| Err(error.to_string()))
}

struct Law<'a> {
    programs: &'a Programs,
    root: &'a Path,
    words: &'a [&'a str],
}

impl Law<'_> {
    fn check(&self) -> io::Result<Result<(), String>> {
        let before = Tree::read(self.root)?;
        let dry = self.run(self.words, &["--dry-run"])?;
        let after = Tree::read(self.root)?;
        if before != after {
            return self.broken("a dry run changed something", &dry, &before.diff(&after));
        }
        let really = ["--yes", "--no-rebuild"];
        let first = self.run(self.words, &really)?;
        let applied = Tree::read(self.root)?;
        if first.code != dry.code {
            let what = format!("a dry run ended with {}, not like this", dry.code);
            return self.broken(&what, &first, &dry.stderr);
        }
        let nothing = first.code == 0 && first.stdout.contains(NOTHING);
        match first.code {
            0 if !nothing => {}
            0 | 2 | 6 if before == applied => return Ok(Ok(())),
            0 | 2 | 6 => {
                let what = "it refused or had nothing to do, and changed something";
                return self.broken(what, &first, &before.diff(&applied));
            }
            _ => return self.broken("it failed", &first, ""),
        }
        let second = self.run(self.words, &really)?;
        let again = Tree::read(self.root)?;
        if second.code != 0 || !second.stdout.contains(NOTHING) {
            return self.broken("the second run finds something to do", &second, "");
        }
        if applied != again {
            return self.broken("the second run changed something", &second, &applied.diff(&again));
        }
        self.undone(&before, &really)
    }

    fn undone(&self, before: &Tree, really: &[&str]) -> io::Result<Result<(), String>> {
        let undo = self.run(&["undo"], really)?;
        let comparable =
            |tree: Tree| tree.without(&[STATE]).without_directory_times().without_link_times();
        let (before, undone) = (comparable(before.clone()), comparable(Tree::read(self.root)?));
        if undo.code != 0 {
            return self.broken("it cannot be undone", &undo, "");
        }
        let diff = before.diff(&undone);
        if diff.is_empty() {
            return Ok(Ok(()));
        }
        self.broken("undo does not bring back what was there", &undo, &diff)
    }

    fn run(&self, words: &[&str], more: &[&str]) -> io::Result<Outcome> {
        self.programs.run(self.root, &[words, more].concat())
    }

    fn broken(&self, what: &str, run: &Outcome, detail: &str) -> io::Result<Result<(), String>> {
        let words = self.words.join(" ");
        let Outcome { code, stdout, stderr } = run;
        Ok(Err(format!(
            "law broken by `deploy-vfio {words}`: {what}\n{detail}\
             --- exit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn knows_what_changes_files() {
        assert!(mutating(&["multiboot", "last", "--yes"]));
        assert!(mutating(&["--yes", "hugepages", "off"]));
        assert!(!mutating(&["groups"]) && !mutating(&["--json", "host"]));
        assert!(!mutating(&["multiboot", "last", "--dry-run"]) && !mutating(&["--help"]));
    }

    /// Runs the laws against a shell script in place of the dispatcher.
    fn against(script: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("deploy-vfio");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        laws(&Programs::new(&program), &root, &["do", "--yes"])
    }

    const HONEST: &str = r#"
        case "$*" in
        *--dry-run*) echo plan ;;
        *undo*) rm etc/new ;;
        *) if [ -e etc/new ]; then echo "Nothing to do."; else echo x >etc/new; fi ;;
        esac"#;

    #[test]
    fn every_law_can_be_broken() {
        against(HONEST).unwrap();
        against("echo because: no >&2; exit 6").unwrap();
        let broken = |script: &str| against(script).unwrap_err();
        assert!(broken("touch etc/new").contains("a dry run changed"));
        assert!(broken(&HONEST.replace("rm etc/new", "true")).contains("undo does not"));
        assert!(broken(&HONEST.replace("Nothing to do.", "Done.")).contains("second run finds"));
        assert!(broken("exit 1").contains("it failed"));
        let late = r#"case "$*" in *--dry-run*) ;; *) touch etc/x; esac; exit 6"#;
        assert!(broken(late).contains("it refused"));
    }
}

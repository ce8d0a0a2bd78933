//! `deploy-vfio [GLOBAL] COMMAND [ARGS]`: finds the program `deploy-vfio-COMMAND` and becomes it.
//!
//! Options without a command are the original's command line: they go to `deploy-vfio-setup`.

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use vfio_cli::{Global, programs};

const MORE: &str = "\
`deploy-vfio list` names all commands, `deploy-vfio help COMMAND` explains one. A program
`deploy-vfio-NAME` on PATH is the command NAME. As root a program is run only if it and every
directory above it belong to root and nobody else may write to them.

Examples:
  deploy-vfio groups
      Which devices can be told apart, and which must stay with the host.
  deploy-vfio multiboot last --dry-run
      Plan a boot menu with an entry for each GPU, and change nothing.
  deploy-vfio multiboot last
      Make it so, after a question.
  deploy-vfio undo
      Take it back.

Files:
  /etc/deploy-vfio/
      What is deployed: kernel parameters and boot entries.
  /var/lib/deploy-vfio/
      The journal of all operations, with what was there before.

See also:
  deploy-vfio groups
  deploy-vfio help
  deploy-vfio multiboot";

/// Hands PCI devices to virtual machines, safely: every change is shown first and can be taken
/// back byte for byte.
#[derive(Parser)]
#[command(
    name = "deploy-vfio",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "`deploy-vfio list` names all commands, \
          `deploy-vfio help COMMAND` explains one.",
    after_long_help = MORE
)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The command's word, then its own.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if !vfio_cli::is_asked() && has_no_command(&words) {
        return become_program("setup", &Global::default(), &words);
    }
    let line: Line = match vfio_cli::line() {
        Ok(line) => line,
        Err(code) => return code,
    };
    let Command::Other(words) = line.command;
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    become_program(&name, &line.global, &words[1..])
}

fn become_program(name: &str, global: &Global, words: &[OsString]) -> ExitCode {
    let failure = match programs::find(name) {
        Ok(program) => programs::exec(&program, global, words),
        Err(failure) => failure,
    };
    failure.tell("deploy-vfio", global.json);
    ExitCode::from(failure.exit())
}

/// Whether an option that is nobody's but the original's comes before any command.
fn has_no_command(words: &[OsString]) -> bool {
    let global = Global::augment_args(clap::Command::new("global"));
    let mut words = words.iter().map(|word| word.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            return false;
        };
        if let Some(long) = option.strip_prefix('-') {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            match global.get_arguments().find(|arg| arg.get_long() == Some(name)) {
                Some(arg) if arg.get_action().takes_values() && value.is_none() => {
                    words.next();
                }
                Some(_) => {}
                None => return !matches!(name, "" | "help" | "version"),
            }
            continue;
        }
        let ours = |c: char| global.get_arguments().any(|arg| arg.get_short() == Some(c));
        match option.chars().find(|c| !ours(*c)) {
            // `-h` alone is help, `-h 1G 16` is hugepages.
            Some('h') => return words.peek().is_some_and(|next| next.starts_with(is_digit)),
            Some('V') => return false,
            Some(_) => return true,
            None => {}
        }
    }
    false
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_command_is_the_original_s() {
        for (line, without) in [
            ("", false),
            ("-q", false),
            ("multiboot last", false),
            ("-n --root /x multiboot --parse all", false),
            ("--root=/x -yq groups", false),
            ("--help", false),
            ("-h", false),
            ("-V", false),
            ("-h multiboot", false),
            ("-h 1G 16", true),
            ("-q --parse all", true),
            ("--root /x -u", true),
            ("-yc", true),
            ("--bogus", true),
            ("--color never --cpu", true),
        ] {
            let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            assert_eq!(has_no_command(&words), without, "{line}");
        }
    }
}

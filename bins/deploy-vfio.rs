//! `deploy-vfio [GLOBAL] COMMAND [ARGS]`: finds the program `deploy-vfio-COMMAND` and becomes it.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
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
    let line: Line = match vfio_cli::line() {
        Ok(line) => line,
        Err(code) => return code,
    };
    let Command::Other(words) = line.command;
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let failure = match programs::find(&name) {
        Ok(program) => programs::exec(&program, &line.global, &words[1..]),
        Err(failure) => failure,
    };
    failure.tell("deploy-vfio", line.global.json);
    ExitCode::from(failure.exit())
}

//! `deploy-vfio [GLOBAL] COMMAND [ARGS]`: finds the program `deploy-vfio-COMMAND` and becomes it.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use vfio_cli::{Global, programs};

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
          `deploy-vfio help COMMAND` explains one."
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
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
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

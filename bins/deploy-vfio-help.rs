//! `deploy-vfio help [COMMAND]`: explains one command, or how to find them.

use std::process::ExitCode;

use vfio_cli::programs;

const MORE: &str = "\
On a terminal the manual page is shown, where `man` is installed; else the command's own help. A
plugin that has no manual page is asked for its help.

Examples:
  deploy-vfio help multiboot
      The page deploy-vfio-multiboot(1).";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// The command to explain
    command: Option<String>,
}

fn main() -> ExitCode {
    vfio_cli::main("help", "Explain a command", |_, args: Args| {
        programs::explain(&match args.command.as_deref() {
            Some(name) => programs::find(name)?,
            None => programs::dispatcher(),
        })
    })
}

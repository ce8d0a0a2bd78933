//! `deploy-vfio help [COMMAND]`: explains one command, or how to find them.

use std::process::ExitCode;

use vfio_cli::{Global, programs};

#[derive(clap::Args)]
struct Args {
    /// The command to explain
    command: Option<String>,
}

fn main() -> ExitCode {
    vfio_cli::main("help", "Explain a command", |_, args: Args| {
        let program = match args.command.as_deref() {
            Some(name) => programs::find(name)?,
            None => programs::dispatcher(),
        };
        Err(programs::exec(&program, &Global::default(), &["--help".into()]))
    })
}

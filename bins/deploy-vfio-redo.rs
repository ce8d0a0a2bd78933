//! `deploy-vfio redo`: does the newest undone operation again.

use std::process::ExitCode;

#[derive(clap::Args)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("redo", "Do the newest undone operation again", |cx, Args {}| cx.redo())
}

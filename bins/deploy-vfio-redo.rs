//! `deploy-vfio redo`: does the newest undone operation again.

use std::process::ExitCode;

const MORE: &str = "\
What `deploy-vfio undo` took back is put in place again, the newest first.

Examples:
  deploy-vfio redo --dry-run
      Show what would be put in place again.
  deploy-vfio redo
      Do it, after a question.";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("redo", "Do the newest undone operation again", |cx, Args {}| cx.redo())
}

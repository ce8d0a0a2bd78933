//! `deploy-vfio undo`: takes back the newest operation that is not taken back yet.

use std::process::ExitCode;

use vfio_core::change::{self, OnConflict};

#[derive(clap::Args)]
struct Args {
    /// Take back every operation, down to the machine as it was before deploy-vfio
    #[arg(long)]
    all: bool,
    /// Leave files that were edited since as they are
    #[arg(long, conflicts_with = "restore")]
    keep: bool,
    /// Bring old files back even where they were edited since
    #[arg(long)]
    restore: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("undo", "Take back the newest operation, byte for byte", |cx, args: Args| {
        let on_conflict = match (args.keep, args.restore) {
            (true, _) => OnConflict::Keep,
            (_, true) => OnConflict::Restore,
            _ => OnConflict::Stop,
        };
        cx.undo(on_conflict)?;
        let more = || change::preview_undo(cx.root(), on_conflict);
        while args.all && !cx.global().dry_run && more()?.is_some() {
            cx.undo(on_conflict)?;
        }
        Ok(())
    })
}

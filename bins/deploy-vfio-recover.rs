//! `deploy-vfio recover`: makes the tree whole after an operation that was cut off.

use std::process::ExitCode;

use vfio_cli::{Context, Failure};
use vfio_core::change;

#[derive(clap::Args)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("recover", "Finish or take back an interrupted operation", |cx, Args {}| run(cx))
}

fn run(cx: &Context) -> Result<(), Failure> {
    if cx.global().dry_run {
        cx.print(match change::interrupted(cx.root())? {
            Some(id) => format!("Operation {id} would be recovered."),
            None => "Nothing to do.".into(),
        });
        return Ok(());
    }
    if change::interrupted(cx.root())?.is_none() {
        cx.print("Nothing to do.");
        return Ok(());
    }
    for recovered in cx.engine(None, |settings| change::recover(cx.root(), settings))? {
        cx.print(format!("Operation {}: {}.", recovered.id, recovered.outcome));
        for path in &recovered.kept {
            cx.print(format!("Kept as you edited it: /{path}"));
        }
    }
    Ok(())
}

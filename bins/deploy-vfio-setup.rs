//! `deploy-vfio setup`: several features in one operation, by options or by answers.
//!
//! `deploy-vfio --parse vga --multiboot last …`, without a command, is the same with options.

use std::process::ExitCode;

use deploy_vfio::{Original, Setup, wizard};
use vfio_cli::{Context, Failure};
use vfio_core::change::OnConflict;

fn main() -> ExitCode {
    vfio_cli::main("setup", "Set up all of a machine, by questions or by options", run)
}

fn run(cx: &Context, line: Original) -> Result<(), Failure> {
    if line.undo {
        return cx.undo(OnConflict::Stop);
    }
    let drivers = line.drivers.clone();
    let setup = wizard::complete(cx, line)?;
    if setup == Setup::default() && drivers.is_none() {
        cx.print("Nothing to do.");
        return Ok(());
    }
    setup.carry_out_with(cx, drivers.as_ref())
}

//! `deploy-vfio looking-glass` or `deploy-vfio looking-glass off`.

use std::process::ExitCode;

use deploy_vfio::{LookingGlass, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Show a guest's screen in a window";
    vfio_cli::main("looking-glass", about, |cx, wanted: Wanted<LookingGlass>| {
        Setup { looking_glass: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

//! `deploy-vfio auto-xorg [first|last] [amd|intel|nvidia|other]` or `deploy-vfio auto-xorg off`.

use std::process::ExitCode;

use deploy_vfio::{AutoXorg, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Choose the desktop's card at every boot";
    vfio_cli::main("auto-xorg", about, |cx, wanted: Wanted<AutoXorg>| {
        Setup { auto_xorg: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

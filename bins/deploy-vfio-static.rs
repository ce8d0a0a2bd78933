//! `deploy-vfio static grub|file [--parse SELECTION] [--host GROUP]`, or `off`.

use std::process::ExitCode;

use deploy_vfio::{Setup, Static, Wanted};

fn main() -> ExitCode {
    let about = "Bind devices for guests at every boot, without a menu";
    vfio_cli::main("static", about, |cx, wanted: Wanted<Static>| {
        Setup { fixed: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

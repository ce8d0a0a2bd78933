//! `deploy-vfio multiboot [first|last|default|GROUP] [--parse SELECTION]`, or `off`.

use std::process::ExitCode;

use deploy_vfio::{Multiboot, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Offer a boot entry for each GPU that can drive the desktop";
    vfio_cli::main("multiboot", about, |cx, wanted: Wanted<Multiboot>| {
        Setup { multiboot: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

//! `deploy-vfio scream` or `deploy-vfio scream off`.

use std::process::ExitCode;

use deploy_vfio::{Scream, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Hear a Windows guest";
    vfio_cli::main("scream", about, |cx, wanted: Wanted<Scream>| {
        Setup { scream: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

//! `deploy-vfio dynamic` or `deploy-vfio dynamic off`.

use std::process::ExitCode;

use deploy_vfio::{Dynamic, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Take devices when guests start, and give them back";
    vfio_cli::main("dynamic", about, |cx, wanted: Wanted<Dynamic>| {
        Setup { dynamic: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

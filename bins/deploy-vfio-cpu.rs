//! `deploy-vfio cpu [--host-cores N | --guest LIST | --host LIST]`, or `deploy-vfio cpu off`.

use std::process::ExitCode;

use deploy_vfio::{Cpu, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Keep CPUs for guests, and the host off them";
    vfio_cli::main("cpu", about, |cx, wanted: Wanted<Cpu>| {
        Setup { cpu: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

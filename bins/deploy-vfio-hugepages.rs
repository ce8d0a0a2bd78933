//! `deploy-vfio hugepages 1G 16 [--node 0=8,1=8]`, `deploy-vfio hugepages 2M 512 --runtime`, or
//! `deploy-vfio hugepages off`.

use std::process::ExitCode;

use deploy_vfio::{Hugepages, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Reserve huge pages for guests";
    vfio_cli::main("hugepages", about, |cx, wanted: Wanted<Hugepages>| {
        Setup { hugepages: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

//! `deploy-vfio libvirt-hooks` or `deploy-vfio libvirt-hooks off`.

use std::process::ExitCode;

use deploy_vfio::{LibvirtHooks, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Set the host up while guests run";
    vfio_cli::main("libvirt-hooks", about, |cx, wanted: Wanted<LibvirtHooks>| {
        Setup { libvirt_hooks: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

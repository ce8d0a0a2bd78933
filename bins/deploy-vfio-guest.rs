//! `deploy-vfio guest GUEST`: what one guest needs in its definition.

use std::process::ExitCode;

use deploy_vfio::GuestWords;

fn main() -> ExitCode {
    let about = "Give a guest what is deployed: devices, CPUs, memory, inputs, screen, sound";
    vfio_cli::main("guest", about, |cx, words: GuestWords| deploy_vfio::guest(cx, &words))
}

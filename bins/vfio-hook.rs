//! What libvirt runs, behind `/etc/libvirt/hooks/qemu.d/50-deploy-vfio`, when guests start and stop.
//!
//! It is no command: `deploy-vfio libvirt-hooks` and `deploy-vfio dynamic` put it in place.

#![expect(clippy::print_stderr, reason = "libvirt shows its user what a failed hook wrote there")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    match vfio_hook::serve(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("deploy-vfio: {error}");
            ExitCode::FAILURE
        }
    }
}

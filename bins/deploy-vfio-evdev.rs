//! `deploy-vfio evdev [--device PATH…] [--toggle KEYS] [--qemu-conf] [--user NAME]`, or
//! `deploy-vfio evdev off`.

use std::process::ExitCode;

use deploy_vfio::{Evdev, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Share keyboard and mouse with guests, switched by a key";
    vfio_cli::main("evdev", about, |cx, wanted: Wanted<Evdev>| {
        Setup { evdev: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

//! `deploy-vfio audio-loopback` or `deploy-vfio audio-loopback off`.

use std::process::ExitCode;

use deploy_vfio::{AudioLoopback, Setup, Wanted};

fn main() -> ExitCode {
    let about = "Hear what comes in at line-in";
    vfio_cli::main("audio-loopback", about, |cx, wanted: Wanted<AudioLoopback>| {
        Setup { audio_loopback: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}

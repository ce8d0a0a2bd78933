//! `deploy-vfio multiboot [first|last|default|GROUP] [--parse SELECTION]`, or `off`.

use std::process::ExitCode;

use deploy_vfio::{Multiboot, Setup, Wanted};

#[derive(clap::Args, Debug)]
struct Words {
    #[command(flatten)]
    multiboot: Multiboot,
    /// On a system that is not served, print the files for a person to put in place
    #[arg(long, conflicts_with = "trial")]
    by_hand: bool,
}

fn main() -> ExitCode {
    let about = "Offer a boot entry for each GPU that can drive the desktop";
    vfio_cli::main("multiboot", about, |cx, wanted: Wanted<Words>| {
        let multiboot = match wanted {
            Wanted::Off => Wanted::Off,
            Wanted::On(Words { multiboot, by_hand: true }) => return multiboot.print_by_hand(cx),
            Wanted::On(words) => Wanted::On(words.multiboot),
        };
        Setup { multiboot: Some(multiboot), ..Setup::default() }.carry_out(cx)
    })
}

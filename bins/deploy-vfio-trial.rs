//! `deploy-vfio trial`: what became of a boot entry that is tried, and what is to become of it.

use std::process::ExitCode;

use vfio_cli::{Context, Failure};

const MORE: &str = "\
`deploy-vfio multiboot ENTRY --trial` leaves the default as it is and has the next boot try the new entry
once. That boot proves itself within three minutes when all is started, the host's card has its driver and a
screen if it had one, the other devices wait for guests, the disk can be written and the network's card
is there; then the entry becomes the default by itself. A boot that hangs, panics or stays dark is
followed by the earlier default, and `deploy-vfio status` and a login say what happened.

Examples:
  deploy-vfio trial
      How far it got.
  deploy-vfio trial confirm
      Make the entry the default now, whatever the judge says.
  deploy-vfio trial off
      Try nothing; the entries stay.

Files:
  /etc/deploy-vfio/trial.toml
      What is on trial, and what it must show.
  /boot/grub/grubenv
      GRUB's note of what to try once.

See also:
  deploy-vfio multiboot
  deploy-vfio status";

/// What is to become of it.
#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Make the entry the default.
    Confirm,
    /// Try nothing.
    Off,
    /// Watch this boot, and confirm it or note why not.
    #[value(hide = true)]
    Judge,
    /// What somebody who logs in must know.
    #[value(hide = true)]
    Report,
}

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// What is to become of it; without a word, how far it got is told
    #[arg(value_name = "confirm|off")]
    what: Option<What>,
}

fn main() -> ExitCode {
    vfio_cli::main("trial", "Show, confirm or call off the trial of a boot entry", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    match args.what {
        None => deploy_vfio::trial::report(cx, false),
        Some(What::Confirm) => deploy_vfio::trial::confirm(cx),
        Some(What::Off) => deploy_vfio::trial::off(cx),
        Some(What::Judge) => deploy_vfio::trial::judge(cx),
        Some(What::Report) => deploy_vfio::trial::report(cx, true),
    }
}

//! `deploy-vfio undo`: takes back the newest operation that is not taken back yet.

use std::process::ExitCode;

use vfio_core::change::OnConflict;

const MORE: &str = "\
Content, owner, mode, times and extended attributes come back as they were, also when the command
or the plugin that made the change is gone. The boot menu and the initramfs are generated again,
because kernels may have come since. Once more takes back the operation before.

A file that was edited since stops the undo with exit status 4, unless `--keep` or `--restore` is
given. What is shown is what is done: where another run or an edit comes in between, nothing is
changed, and the exit status is 5.

An operation that was interrupted is recovered first. With that one out of the way it ends, unless
`--all` is given. Where nothing is left to be taken back, what earlier undos left to be rebuilt is.

Examples:
  deploy-vfio undo --dry-run
      Show what would be taken back.
  deploy-vfio undo
      Take back the newest operation.
  deploy-vfio undo --all --yes
      Return to the machine as it was before deploy-vfio, without questions.
  deploy-vfio undo --root /mnt
      On a system that is mounted below /mnt, from a live medium.

Files:
  /var/lib/deploy-vfio/
      The journal: every operation, with what was there before.

See also:
  deploy-vfio recover
  deploy-vfio redo";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// Take back every operation, down to the machine as it was before deploy-vfio
    #[arg(long)]
    all: bool,
    /// Leave files that were edited since as they are
    #[arg(long, conflicts_with = "restore")]
    keep: bool,
    /// Bring old files back even where they were edited since
    #[arg(long)]
    restore: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("undo", "Take back the newest operation, byte for byte", |cx, args: Args| {
        let on_conflict = match (args.keep, args.restore) {
            (true, _) => OnConflict::Keep,
            (_, true) => OnConflict::Restore,
            _ => OnConflict::Stop,
        };
        if args.all { cx.undo_all(on_conflict) } else { cx.undo(on_conflict) }
    })
}

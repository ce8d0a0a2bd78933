//! `deploy-vfio recover`: makes the tree whole after an operation that was cut off, and sets a
//! record aside that cannot be read any more.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{Context, Failure};
use vfio_core::{Error, change};

const MORE: &str = "\
An operation that a power cut or a signal interrupted is finished where it had come so far that
everything was in place, else taken back. Until then other commands end with exit status 3;
`deploy-vfio undo` recovers first.

Examples:
  deploy-vfio recover --dry-run
      Name the operation that waits, if one does.
  deploy-vfio recover
      Make the files whole.
  deploy-vfio recover --root /mnt
      On a system that is mounted below /mnt, from a live medium.

See also:
  deploy-vfio verify";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// Keep the damaged record of operation N under another name, so that work can go on
    #[arg(long, value_name = "N")]
    set_aside: Option<u32>,
}

fn main() -> ExitCode {
    vfio_cli::main("recover", "Finish or take back an interrupted operation", |cx, args: Args| {
        match args.set_aside {
            Some(id) => cx.set_aside(id),
            None => run(cx),
        }
    })
}

fn run(cx: &Context) -> Result<(), Failure> {
    if cx.global().dry_run {
        let waiting = match change::ready(cx.root()) {
            Ok(()) => None,
            Err(Error::NeedsRecovery { id }) => Some(id),
            Err(error) => return Err(error.into()),
        };
        if cx.global().json {
            vfio_cli::json::print(json!({ "interrupted": waiting }));
            return Ok(());
        }
        cx.print(match waiting {
            Some(id) => format!("Operation {id} would be recovered."),
            None => "Nothing to do.".into(),
        });
        return Ok(());
    }
    // Even where no operation waits, one may have died before it was one: that is swept too.
    let all = cx.engine(None, |settings| change::recover(cx.root(), settings))?;
    if cx.global().json {
        let all: Vec<_> = all
            .iter()
            .map(|r| json!({ "id": r.id, "outcome": r.outcome.to_string(), "kept": r.kept }))
            .collect();
        vfio_cli::json::print(json!({ "recovered": all }));
        return Ok(());
    }
    if all.is_empty() {
        cx.print("Nothing to do.");
    }
    for recovered in all {
        cx.print(format!("Operation {}: {}.", recovered.id, recovered.outcome));
        for path in &recovered.kept {
            cx.print(format!("Kept as you edited it: /{path}"));
        }
    }
    Ok(())
}

//! `deploy-vfio uninstall`: takes away what `deploy-vfio install` put below a prefix.

use std::process::ExitCode;

use deploy_vfio::installation::{self, Prefix};
use vfio_cli::{Answer, Context, Failure, Usage};
use vfio_core::{
    Exit,
    change::{self, OnConflict, Operation, State},
};

const MORE: &str = "\
Only files that are as they were installed go; one that was changed since is named, and stays. It
is an operation like others: shown first, and taken back by `deploy-vfio undo` of another copy. For
that the journal keeps the programs.

While something is deployed, these programs are the way back. At a terminal there is a question;
else `--undo` or `--keep` says what is to become of it, which `--yes` does not. `--undo` takes
everything back as one change, the installation of these programs with it: all of it, or nothing.

Examples:
  deploy-vfio uninstall --undo
      Take back what is deployed, then remove the programs.
  deploy-vfio uninstall --keep --yes
      Remove the programs only, without a question: the machine boots as it does now.

Files:
  /var/lib/deploy-vfio/
      The journal stays: with it a deploy-vfio that is installed again can take everything back.

See also:
  deploy-vfio install";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// The directory that they were installed below
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: Prefix,
    /// First take back what is deployed
    #[arg(long)]
    undo: bool,
    /// Leave what is deployed as it is
    #[arg(long, conflicts_with = "undo")]
    keep: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("uninstall", "Remove these programs", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let there = installation::uninstall(&mut cx.draft(), &args.prefix)?;
    // Who says `--undo` wants that, wherever the programs are.
    let deployed = if there || args.undo { deployed(cx)? } else { Vec::new() };
    if !deployed.is_empty() && takes_back(cx, &args, &deployed)? {
        cx.undo_all(OnConflict::Stop).map_err(in_two_steps)?;
        if cx.global().dry_run || !installation::uninstall(&mut cx.draft(), &args.prefix)? {
            return Ok(());
        }
    }
    let mut draft = cx.draft();
    installation::uninstall(&mut draft, &args.prefix)?;
    cx.commit(draft, None)
}

/// What edited files leave to a person, who has no `--keep` or `--restore` of an undo here.
fn in_two_steps(failure: Failure) -> Failure {
    let help =
        "nothing was changed; `deploy-vfio undo --all` with `--keep` or `--restore` comes first";
    if failure.exit() == Exit::Conflict as u8 {
        Usage::refused(failure.to_string(), &[help]).exiting(Exit::Conflict).into()
    } else {
        failure
    }
}

/// The operations in force but for those that installed or removed programs, the newest first.
fn deployed(cx: &Context) -> Result<Vec<Operation>, Failure> {
    let mut operations = match change::history(cx.root()) {
        // What a dry run of somebody else did not look at is told with the plan.
        Err(error) if error.is_denied() && cx.global().dry_run => Vec::new(),
        read => read?,
    };
    let programs = |operation: &Operation| {
        matches!(operation.title.split(' ').next(), Some("install" | "uninstall"))
    };
    operations.retain(|operation| operation.state == State::Applied && !programs(operation));
    operations.reverse();
    Ok(operations)
}

/// Whether to take back what is deployed: as was said, else as somebody answers.
fn takes_back(cx: &Context, args: &Args, deployed: &[Operation]) -> Result<bool, Failure> {
    if args.undo || args.keep {
        return Ok(args.undo);
    }
    let name = |operation: &Operation| format!("operation {}: {}", operation.id, operation.title);
    let names: Vec<String> = deployed.iter().map(name).collect();
    if !cx.is_interactive() {
        let help = [
            "`--undo` takes it back first",
            "`--keep` leaves it in force, without the programs that could take it back",
        ];
        let refused = Usage::refused("something is still deployed", &help);
        return Err(refused.because(names).into());
    }
    cx.say(format!("Still deployed:\n  {}", names.join("\n  ")));
    let items = ["Take it back first", "Leave it in force"].map(str::to_owned);
    match cx.choose("These programs are the way back. What is to become of it?", &items, 0)? {
        Answer::Is(at) => Ok(at == 0),
        Answer::Back => {
            Err(Usage::refused("nothing was changed", &[]).exiting(Exit::Failed).into())
        }
    }
}

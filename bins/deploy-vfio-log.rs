//! `deploy-vfio log [N]`: what was done, and what it changed.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{Context, Failure, Usage, table};
use vfio_core::change::{self, Operation};

const MORE: &str = "\
Examples:
  deploy-vfio log
      All operations, the newest first.
  deploy-vfio log 1
      What the first one changed.

Files:
  /var/lib/deploy-vfio/
      The journal; it is kept for ever.

See also:
  deploy-vfio redo";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// Show the changes of this operation
    #[arg(value_name = "N")]
    operation: Option<u32>,
    /// Print what is deployed as a setup that `deploy-vfio apply` takes
    #[arg(long, conflicts_with = "operation")]
    as_toml: bool,
}

fn main() -> ExitCode {
    vfio_cli::main("log", "List operations, or show one", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    if args.as_toml {
        cx.print(deploy_vfio::declared(cx.root())?.to_toml()?.trim_end());
        return Ok(());
    }
    let history = change::history(cx.root())?;
    if let Some(id) = args.operation {
        let Some(operation) = history.iter().find(|operation| operation.id == id) else {
            let what = format!("there is no operation {id}");
            return Err(Usage::refused(what, &["`deploy-vfio log` lists them"]).into());
        };
        let diff = change::diff(&operation.plan);
        if cx.global().json {
            vfio_cli::json::print(json!({ "operation": document(operation), "diff": diff }));
        } else {
            cx.print(diff.trim_end());
        }
        return Ok(());
    }
    if cx.global().json {
        let operations: Vec<_> = history.iter().map(document).collect();
        vfio_cli::json::print(json!({ "operations": operations }));
        return Ok(());
    }
    if history.is_empty() {
        cx.print("No operations yet.");
        return Ok(());
    }
    let rows: Vec<_> = history.iter().rev().map(row).collect();
    cx.print(table(["#", "time", "state", "command"], &rows));
    Ok(())
}

fn row(operation: &Operation) -> [String; 4] {
    let Operation { id, time, state, title, .. } = operation;
    [id.to_string(), time.clone(), state.to_string(), title.clone()]
}

fn document(operation: &Operation) -> serde_json::Value {
    let files: Vec<_> = operation.plan.changes.iter().map(|c| format!("/{}", c.path)).collect();
    json!({
        "id": operation.id,
        "time": operation.time,
        "state": operation.state.to_string(),
        "command": operation.title,
        "files": files,
    })
}

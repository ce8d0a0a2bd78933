//! `deploy-vfio list`: the commands beside this program and on PATH; it runs none of them.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{programs, table};

const MORE: &str = "\
Every program `deploy-vfio-NAME` beside this program, in /usr/local/libexec/deploy-vfio, in
/usr/libexec/deploy-vfio or on PATH is a command. None of them is run.

Examples:
  deploy-vfio list
      All commands with their programs.";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("list", "List the commands there are", |cx, Args {}| {
        let all = programs::all();
        let shown = |path: &std::path::Path| path.to_string_lossy().into_owned();
        if cx.global().json {
            let commands: Vec<_> =
                all.iter().map(|p| json!({ "name": p.name, "path": shown(&p.path) })).collect();
            vfio_cli::json::print(json!({ "commands": commands }));
        } else {
            let rows: Vec<_> = all.iter().map(|p| [p.name.clone(), shown(&p.path)]).collect();
            cx.print(table(["command", "program"], &rows));
        }
        Ok(())
    })
}

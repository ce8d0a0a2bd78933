//! `deploy-vfio list`: the commands beside this program and on PATH; it runs none of them.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{programs, table};

#[derive(clap::Args)]
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

//! `deploy-vfio status`: the disk against the journal, and the running kernel against its promise.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    change::{self, Standing, State},
    host::Running,
};

const MORE: &str = "\
Compares the files with the journal, and the running kernel with what was promised: devices bound,
parameters in force, pages allocated. The exit status is 1 when something is not as it should be.
The journal is for root alone: anybody else is told about the kernel only.

Examples:
  deploy-vfio status
      One line for each finding, `ok` or `FAIL`.
  deploy-vfio status --json
      The same for a program.

See also:
  deploy-vfio verify";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {}

/// One line of the answer.
struct Line {
    ok: bool,
    text: String,
}

fn main() -> ExitCode {
    vfio_cli::main("status", "Show what is deployed, and whether it is in force", |cx, Args {}| {
        run(cx)
    })
}

fn run(cx: &Context) -> Result<(), Failure> {
    let runs = cx.root().is_host() || cx.global().machine.is_some();
    let (mut lines, journal) = match on_disk(cx) {
        Ok(lines) => (lines, true),
        Err(error) if runs && error.is_denied() => (Vec::new(), false),
        Err(error) => return Err(error.into()),
    };
    if runs {
        let findings = Running::read(cx.root(), &cx.machine()?)?.findings;
        lines.extend(
            findings.into_iter().map(|finding| Line { ok: finding.ok, text: finding.text }),
        );
    }
    let ok = lines.iter().all(|line| line.ok);
    if cx.global().json {
        let lines: Vec<_> = lines.iter().map(|l| json!({ "ok": l.ok, "text": l.text })).collect();
        vfio_cli::json::print(json!({ "ok": ok, "journal": journal, "findings": lines }));
    } else {
        if !journal {
            cx.print("note not root: whether the files are as deployed was not looked at");
        }
        for line in &lines {
            cx.print(format!("{} {}", if line.ok { "ok  " } else { "FAIL" }, line.text));
        }
    }
    if ok { Ok(()) } else { Err(Usage::found().into()) }
}

fn on_disk(cx: &Context) -> vfio_core::Result<Vec<Line>> {
    let mut lines = Vec::new();
    if let Some(id) = change::interrupted(cx.root())? {
        let text = format!("operation {id} was interrupted: run `deploy-vfio recover`");
        lines.push(Line { ok: false, text });
    }
    let mut newer = std::collections::BTreeSet::new();
    for operation in change::history(cx.root())?.iter().rev() {
        if let Some(why) = &operation.damage {
            let id = operation.id;
            let text = format!(
                "the record of operation {id} is damaged: {why}; \
                 `deploy-vfio recover --set-aside {id}` keeps it under another name"
            );
            lines.push(Line { ok: false, text });
        }
        let left = operation
            .by_hand
            .iter()
            .map(|command| Line { ok: false, text: format!("still to do by hand: {command}") });
        if operation.state != State::Applied {
            lines.extend(left);
            continue;
        }
        // A newer operation that changed the same file speaks for it.
        let standing = change::standing(cx.root(), operation)?;
        let mut standing: Vec<_> =
            standing.into_iter().filter(|(path, _)| newer.insert(path.clone())).collect();
        standing.retain(|(_, standing)| *standing != Standing::InPlace);
        let (ok, how) =
            (standing.is_empty(), if standing.is_empty() { "in place" } else { "not in place" });
        let text = format!("operation {}: {}: {how}", operation.id, operation.title);
        lines.push(Line { ok, text });
        lines.extend(
            standing
                .into_iter()
                .map(|(path, standing)| Line { ok: false, text: format!("/{path}: {standing}") }),
        );
        lines.extend(left);
    }
    if lines.is_empty() {
        lines.push(Line { ok: true, text: "nothing is deployed".into() });
    }
    Ok(lines)
}

//! `deploy-vfio apply [FILE]`: carries out a draft that another program wrote, as JSON.
//!
//! The document is `{"format":1,"files":{"etc/…":"text"|null}}`; `null` removes a file. Only files
//! below `/etc` may be named.

use std::{collections::BTreeMap, io::Read, process::ExitCode};

use serde::Deserialize;
use vfio_cli::{Context, Failure, Usage};

const LARGEST: u64 = 4 << 20;

#[derive(clap::Args)]
struct Args {
    /// The draft; `-` reads standard input
    #[arg(default_value = "-")]
    file: std::path::PathBuf,
}

/// What another program sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    #[serde(default)]
    title: Option<String>,
    files: BTreeMap<String, Option<String>>,
}

fn main() -> ExitCode {
    vfio_cli::main("apply", "Carry out a draft that another program wrote", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let wire = parse(&read(&args.file)?)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    for (path, text) in wire.files {
        allowed(&path)?;
        match text {
            Some(text) => draft.write(&path, text)?,
            None => draft.remove(&path),
        }
    }
    if let Some(title) = wire.title {
        draft.note(title);
    }
    deploy_vfio::finish(cx, draft, &machine)
}

fn parse(text: &str) -> Result<Wire, Failure> {
    let wire: Wire = serde_json::from_str(text).map_err(|error| {
        let help = [r#"a draft is {"format":1,"files":{"etc/…":"text"|null}}"#];
        Usage::new(format!("this is no draft: {error}"), &help)
    })?;
    if wire.format != 1 {
        let what = format!("draft format {} is unknown; this program reads format 1", wire.format);
        return Err(Usage::new(what, &[]).into());
    }
    Ok(wire)
}

/// What a draft may write: plain files below `/etc`, but not who may log in.
fn allowed(path: &str) -> Result<(), Failure> {
    const SECRETS: [&str; 7] = [
        "etc/passwd",
        "etc/shadow",
        "etc/group",
        "etc/gshadow",
        "etc/sudoers",
        "etc/pam.d",
        "etc/ssh",
    ];
    let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains(char::is_control);
    let secret = |s: &&str| {
        path.strip_prefix(*s).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    if plain && path.starts_with("etc/") && !SECRETS.iter().any(secret) {
        return Ok(());
    }
    let what = format!("a draft may not write `{}`", path.escape_debug());
    Err(Usage::refused(
        what,
        &["paths are relative, below etc/, without `..` or control characters"],
    )
    .into())
}

#[expect(clippy::disallowed_methods, reason = "the draft is a file of the user, not of a root")]
fn read(file: &std::path::Path) -> Result<String, Failure> {
    let mut text = String::new();
    let result = if file.as_os_str() == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    result
        .map_err(|error| Usage::refused(format!("cannot read {}: {error}", file.display()), &[]))?;
    if text.len() as u64 > LARGEST {
        return Err(Usage::refused("the draft is larger than 4 MiB", &[]).into());
    }
    Ok(text)
}

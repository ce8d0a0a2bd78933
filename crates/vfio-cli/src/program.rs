//! From `main` to an exit status.

use std::{ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Args, FromArgMatches};

use crate::{Context, Failure, Global, output};

/// Runs the program `deploy-vfio-<name>`: reads its words, calls `program`, tells a failure.
pub fn main<A: Args>(
    name: &'static str,
    about: &'static str,
    program: impl FnOnce(&Context, A) -> Result<(), Failure>,
) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let matches = match command::<A>(name, about).try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => return said(&error),
    };
    let (global, args) = match parse::<A>(&matches) {
        Ok(parsed) => parsed,
        Err(error) => return said(&error),
    };
    global.color.write_global();
    let json = global.json;
    let result = Context::new(name, global, words.get(1..).unwrap_or_default())
        .and_then(|cx| program(&cx, args));
    match result {
        Ok(()) if output::is_whole() => ExitCode::SUCCESS,
        Ok(()) => {
            output::error(&format!("deploy-vfio {name}: standard output could not be written"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            failure.tell(&format!("deploy-vfio {name}"), json);
            ExitCode::from(failure.exit())
        }
    }
}

fn command<A: Args>(name: &'static str, about: &'static str) -> clap::Command {
    let command = clap::Command::new(name)
        .bin_name(format!("deploy-vfio {name}"))
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100);
    // After the arguments: clap takes the doc comment of each `Args` for the program's own.
    Global::augment_args(A::augment_args(command)).about(about).long_about(None)
}

fn parse<A: Args>(matches: &ArgMatches) -> Result<(Global, A), clap::Error> {
    Ok((Global::from_arg_matches(matches)?, A::from_arg_matches(matches)?))
}

/// Help and usage errors are clap's to tell: 0 and 2.
pub(crate) fn said(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of its own.
    #[derive(Args)]
    struct None {}

    #[test]
    fn help_says_what_the_program_does() {
        let help = command::<None>("x", "Do x").render_long_help().to_string();
        assert!(help.starts_with("Do x\n"), "{help}");
    }
}

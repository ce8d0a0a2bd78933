//! From `main` to an exit status.

use std::{ffi::OsString, process::ExitCode};

use clap::{ArgMatches, Args, FromArgMatches, Parser};

use crate::{Context, Failure, Global, asked::Asked, complete, environment, manual, output};

/// Runs the program `deploy-vfio-<name>`: reads its words, calls `program`, tells a failure.
///
/// The program has a manual page and completes its words in a shell. What the page says beyond
/// `about` and the options, and `--help` below them, is an `after_long_help` of `A`: paragraphs,
/// then sections such as `Examples:` and `Files:`. Words are completed by their value names, of
/// which several are joined by `|`: `GROUP` (of a display device), `SELECTION` (of groups),
/// `COMMAND`, `FILE` and `DIR` stand for what there is, other names in capitals for nothing, and
/// whatever has a small letter or a digit (`off`, `2M`) for itself.
pub fn main<A: Args>(
    name: &'static str,
    about: &'static str,
    program: impl FnOnce(&Context, A) -> Result<(), Failure>,
) -> ExitCode {
    environment::no_core_file();
    let words: Vec<OsString> = std::env::args_os().collect();
    let matches = match matches(command::<A>(name, about), &words) {
        Ok(matches) => matches,
        Err(code) => return code,
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

/// The parsed words of a program that is no command, such as the dispatcher.
///
/// # Errors
///
/// The exit status, where help, an error or an answer was printed instead.
pub fn line<P: Parser>() -> Result<P, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let matches = matches(P::command(), &words)?;
    P::from_arg_matches(&matches).map_err(|error| said(&error))
}

fn matches(command: clap::Command, words: &[OsString]) -> Result<ArgMatches, ExitCode> {
    match Asked::read() {
        None => command.try_get_matches_from(words).map_err(|error| said(&error)),
        Some(Asked::Man) => Err(printed(manual::page(command).trim_end())),
        Some(Asked::Complete) => Err(printed(&complete::answer(command, words))),
    }
}

fn parse<A: Args>(matches: &ArgMatches) -> Result<(Global, A), clap::Error> {
    Ok((Global::from_arg_matches(matches)?, A::from_arg_matches(matches)?))
}

fn printed(text: &str) -> ExitCode {
    if !text.is_empty() {
        output::data(text);
    }
    ExitCode::from(u8::from(!output::is_whole()))
}

/// Help and usage errors are clap's to tell: 0 and 2.
fn said(error: &clap::Error) -> ExitCode {
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

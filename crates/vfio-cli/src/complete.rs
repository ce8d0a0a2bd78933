//! What the last word on a line can become, from the definitions that parse the line.
//!
//! The shell's script passes the words up to the cursor and gets a candidate a line, with its
//! description behind a tab; a line that begins with the tab asks the shell for paths. Nothing is
//! ever told that went wrong: the shell then has nothing to offer.
//!
//! clap_complete does the same behind `unstable-dynamic`, whose interface and whose scripts for
//! the shells change between its releases; what is needed of it is this file.

use std::ffi::OsString;

use clap::{Arg, Command, FromArgMatches, ValueHint};

use crate::{Context, Global, candidates, candidates::Candidate, programs};

/// Where the cursor is.
enum Place<'c> {
    /// In the value of an option.
    Value(&'c Arg),
    /// In a word that may be an option, or the value of an argument; at the first of them also a
    /// command of its own, as `off` is.
    Word { arg: Option<&'c Arg>, options: Options, first: bool },
    /// In the words of the command that the word at this index names.
    Of(usize),
}

/// Whether there may be options, or `--` ended them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Options {
    May,
    Ended,
}

/// The candidates for the last of `words`, a line each.
pub(crate) fn answer(mut command: Command, words: &[OsString]) -> String {
    command.build();
    let Some((typed, before)) = words.get(1..).and_then(<[OsString]>::split_last) else {
        return String::new();
    };
    let typed = typed.to_string_lossy();
    let text: Vec<_> = before.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (command, place) = place(&command, &text);
    let facts = || global(command, before).and_then(|global| Context::new("", global, &[]).ok());
    let found = match place {
        Place::Of(at) => {
            let global = global(command, &before[..at]).unwrap_or_default();
            pass_on(&text[at], &global, &words[at + 2..])
        }
        Place::Value(arg) => values(arg, &typed, facts),
        Place::Word { options: Options::May, .. } if typed.starts_with('-') => {
            option(command, &typed, facts)
        }
        Place::Word { .. } if command.is_allow_external_subcommands_set() => {
            let commands = programs::all().into_iter().map(|p| Candidate::new(p.name, ""));
            commands.filter(|candidate| candidate.begins(&typed)).collect()
        }
        Place::Word { arg, first, .. } => {
            let mut found = arg.map_or_else(Vec::new, |arg| values(arg, &typed, facts));
            let words = command.get_subcommands().map(|sub| Candidate::new(sub.get_name(), ""));
            found.extend(words.filter(|candidate| first && candidate.begins(&typed)));
            found
        }
    };
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Lets the program of a command complete its own words; one that cannot gets paths, as without
/// any of this.
fn pass_on(name: &str, global: &Global, words: &[OsString]) -> Vec<Candidate> {
    if let Ok(program) = programs::find(name)
        && programs::answers(&program)
    {
        let _ = programs::exec(&program, global, words);
    }
    vec![Candidate::paths()]
}

/// Walks over the words before the cursor.
fn place<'c>(mut command: &'c Command, before: &[String]) -> (&'c Command, Place<'c>) {
    let (mut options, mut position) = (Options::May, 1);
    let mut words = before.iter().enumerate();
    while let Some((at, word)) = words.next() {
        if options == Options::May && word == "--" {
            options = Options::Ended;
        } else if options == Options::May && word.len() > 1 && word.starts_with('-') {
            let Some(arg) = awaiting(command, word) else { continue };
            // Its values: as many words as it takes at least.
            let wanted = arg.get_num_args().map_or(1, |range| range.min_values());
            for _ in 0..wanted {
                if words.next().is_none() {
                    return (command, Place::Value(arg));
                }
            }
        } else if command.is_allow_external_subcommands_set() {
            return (command, Place::Of(at));
        } else if let Some(sub) = command.find_subcommand(word) {
            (command, position) = (sub, 1);
        } else {
            position += 1;
        }
    }
    let positional = |arg: &&Arg| {
        let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        arg.get_index().is_some_and(|index| index == position || (many && index < position))
    };
    let arg = command.get_positionals().find(positional);
    (command, Place::Word { arg, options, first: position == 1 })
}

/// The option at the end of `word` that takes the next word for its value.
fn awaiting<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let takes = |arg: &&Arg| arg.get_num_args().is_some_and(|range| range.takes_values());
    if let Some(long) = word.strip_prefix("--") {
        return command.get_arguments().find(|arg| arg.get_long() == Some(long)).filter(takes);
    }
    let mut shorts = word.chars().skip(1);
    let find = |short| command.get_arguments().find(|arg| arg.get_short() == Some(short));
    let arg = shorts.find_map(|short| find(short).filter(takes))?;
    shorts.next().is_none().then_some(arg)
}

/// `--na` becomes `--name`; of `--name=val` the value is completed.
fn option(
    command: &Command,
    typed: &str,
    facts: impl FnOnce() -> Option<Context>,
) -> Vec<Candidate> {
    if let Some((name, value)) = typed.split_once('=') {
        let Some(arg) = awaiting(command, name) else { return Vec::new() };
        let found = values(arg, value, facts).into_iter();
        return found.map(|candidate| candidate.behind(&format!("{name}="))).collect();
    }
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let named = shown.filter_map(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Candidate::new(format!("--{}", arg.get_long()?), &help))
    });
    named.filter(|candidate| candidate.begins(typed)).collect()
}

/// What the value of `arg` can be; of several, the last is completed.
fn values(arg: &Arg, typed: &str, facts: impl FnOnce() -> Option<Context>) -> Vec<Candidate> {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().flat_map(|name| name.split('|')).collect();
    let comma = names.contains(&"SELECTION").then_some(',');
    let delimiter = arg.get_value_delimiter().or(comma);
    let start = delimiter.and_then(|comma| typed.rfind(comma)).map_or(0, |at| at + 1);
    let (done, rest) = typed.split_at(start);

    let possible = arg.get_possible_values();
    let mut found: Vec<Candidate> = possible
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            Candidate::new(value.get_name(), &help)
        })
        .collect();
    if found.is_empty() {
        found = candidates::named(&names, facts);
    }
    let path = matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath);
    if found.is_empty() && path && arg.get_action().takes_values() {
        found.push(Candidate::paths());
    }
    let has = |candidate: &Candidate| done.split(',').any(|word| candidate.is(word));
    found.retain(|candidate| candidate.begins(rest) && !has(candidate));
    found.into_iter().map(|candidate| candidate.behind(done)).collect()
}

/// The global options among complete words; a `~` that the shell has not replaced yet is.
fn global(command: &Command, words: &[OsString]) -> Option<Global> {
    let line = [OsString::new()].into_iter().chain(words.iter().cloned());
    let lenient = command.clone().ignore_errors(true);
    let mut global = Global::from_arg_matches(&lenient.try_get_matches_from(line).ok()?).ok()?;
    for path in [&mut global.root, &mut global.machine].into_iter().flatten() {
        if let (Ok(rest), Some(home)) = (path.strip_prefix("~"), std::env::home_dir()) {
            *path = home.join(rest);
        }
    }
    Some(global)
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    /// Words of all kinds.
    #[derive(Args)]
    struct Words {
        #[arg(value_name = "2M|off|SIZE")]
        size: String,
        #[arg(value_name = "COUNT")]
        count: Option<String>,
        /// Something to lift
        #[arg(long, short, value_name = "disk|network", value_delimiter = ',')]
        allow: Vec<String>,
        #[arg(long, value_name = "DIR")]
        below: Option<std::path::PathBuf>,
        file: Option<std::path::PathBuf>,
        #[arg(long, hide = true)]
        secret: bool,
    }

    fn complete(words: &[&str]) -> String {
        let command = Words::augment_args(Command::new("x"));
        let words = ["x"].iter().chain(words).map(OsString::from);
        answer(command, &words.collect::<Vec<_>>()).replace('\t', "|").replace('\n', " ")
    }

    #[test]
    fn words_come_from_the_definitions() {
        for (words, wanted) in [
            (&[""][..], "2M off"),
            (&["o"], "off"),
            (&["2M", ""], ""),
            (&["2M", "4", ""], "|paths"),
            (&["--a"], "--allow|Something to lift"),
            (&["--below", ""], "|directories"),
            (&["--below=/e"], "|directories"),
            (&["--below", "x", "of"], "off"),
            (&["--allow", ""], "disk network"),
            (&["-a", "n"], "network"),
            (&["-adisk", "o"], "off"),
            (&["--allow=disk,n"], "--allow=disk,network"),
            (&["--allow", "disk,"], "disk,network"),
            (&["--", "--a"], ""),
            (&["--s"], ""),
            (&["--none", "o"], "off"),
            (&[], ""),
        ] {
            assert_eq!(complete(words), wanted, "{words:?}");
        }
    }
}

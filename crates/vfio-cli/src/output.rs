//! Standard output for data, standard error for talk.
//!
//! A write that fails is dropped: a reader that went away (`head`) or a full disk must never end
//! a program half way through an operation, as `println!` would.

use std::io::Write;

use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// Data, a line.
pub(crate) fn data(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

/// Talk, a line.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// The first line of an error.
pub(crate) fn error(line: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}{line}{RED:#}");
}

/// A further line of an error.
pub(crate) fn detail(label: &str, line: &str) {
    let _ = writeln!(anstream::stderr(), "{BOLD}{label}{BOLD:#} {line}");
}

/// Whole files longer than this are shown by their first lines.
const WHOLE: usize = 16;
const FIRST: usize = 8;

/// A unified diff. A whole new or removed file is shown by its beginning unless `all` is given:
/// the scripts that deploy-vfio brings would hide what matters.
pub(crate) fn diff(text: &str, all: bool) {
    let lines: Vec<&str> = text.lines().collect();
    let is_start = |line: &str| line.starts_with("diff a/");
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let next =
            rest.iter().skip(1).position(|line| is_start(line)).map_or(rest.len(), |at| at + 1);
        let (file, others) = rest.split_at(next);
        rest = others;
        let whole = file.iter().take(4).any(|line| line.ends_with(" /dev/null"));
        if all || !whole || file.len() <= WHOLE {
            coloured(file);
        } else {
            coloured(&file[..FIRST + 4]);
            data(&format!(" … {} more lines; --verbose shows them", file.len() - FIRST - 4));
        }
    }
}

fn coloured(lines: &[&str]) {
    let mut out = anstream::stdout();
    for line in lines {
        let style = match line.as_bytes() {
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => BOLD,
            [b'-', ..] => RED,
            [b'+', ..] => GREEN,
            [b'@', ..] => CYAN,
            _ => Style::new(),
        };
        let _ = writeln!(out, "{style}{line}{style:#}");
    }
}

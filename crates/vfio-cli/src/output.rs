//! Standard output for data, standard error for talk.
//!
//! A write that fails never ends a program half way through an operation, as `println!` would: a
//! reader that went away (`head`) is no fault, a full disk is told by the exit status at the end.

use std::{
    io::{self, ErrorKind, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// Whether data was lost: a full disk, not a reader that went away.
static LOST: AtomicBool = AtomicBool::new(false);

/// Data, a line.
pub(crate) fn data(line: &str) {
    // Looking for colours to leave out takes longer than writing a long table.
    note(if line.contains('\x1b') {
        writeln!(anstream::stdout(), "{line}")
    } else {
        writeln!(io::stdout(), "{line}")
    });
}

/// Whether standard output has all the data; `false` once a write of it failed.
pub(crate) fn is_whole() -> bool {
    note(anstream::stdout().flush());
    !LOST.load(Ordering::Relaxed)
}

fn note(written: io::Result<()>) {
    if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Talk, a line.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// The first line of an error.
pub(crate) fn error(line: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}{line}{RED:#}");
}

/// The first line of a warning.
pub(crate) fn warning(line: &str) {
    let _ = writeln!(anstream::stderr(), "{YELLOW}warning:{YELLOW:#} {line}");
}

/// A further line of an error or a warning.
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
        note(writeln!(out, "{style}{line}{style:#}"));
    }
}

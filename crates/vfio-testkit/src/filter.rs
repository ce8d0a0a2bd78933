//! Takes out of an output what differs from run to run.

use std::path::Path;

/// What to replace.
#[derive(Debug)]
pub(crate) struct Filters {
    root: String,
}

impl Filters {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.display().to_string() }
    }

    pub(crate) fn apply(&self, text: &str) -> String {
        let text = text.replace(&self.root, "[ROOT]");
        times(&sizes(&text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]")))
    }
}

/// Replaces the size, in a plan's table, of the program that is the same as one just built.
fn sizes(text: &str) -> String {
    let line = |line: &str| match line.trim_start().split_once("B  0755  ") {
        Some((_, rest)) if rest.ends_with("/guest-hook\n") => format!("  [SIZE]  0755  {rest}"),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Replaces every `YYYY-MM-DD HH:MM[:SS[.F]][ZONE]`, with a blank or a `T` in the middle.
fn times(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        done += before;
        match time(from) {
            Some(length) => {
                done += "[TIME]";
                rest = &from[length..];
            }
            None => {
                let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
                done += &from[..end];
                rest = &from[end..];
            }
        }
    }
    done + rest
}

/// How long the time is that the text begins with.
fn time(text: &str) -> Option<usize> {
    let fits = |at: usize, pattern: &str| {
        let bytes = text.as_bytes().get(at..at + pattern.len())?;
        let same = |(byte, wanted): (&u8, u8)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'_' => matches!(byte, b' ' | b'T'),
            b'+' => matches!(byte, b'+' | b'-'),
            other => *byte == other,
        };
        bytes.iter().zip(pattern.bytes()).all(same).then_some(at + pattern.len())
    };
    let mut end = fits(0, "0000-00-00_00:00")?;
    end = fits(end, ":00").unwrap_or(end);
    if let Some(mut fraction) = fits(end, ".0") {
        while let Some(next) = fits(fraction, "0") {
            fraction = next;
        }
        end = fraction;
    }
    let zones = ["Z", "+00:00", "+0000", " UTC"];
    Some(zones.iter().find_map(|zone| fits(end, zone)).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_shapes_are_found_and_addresses_are_not() {
        assert_eq!(times("7  2026-11-22 17:40  x"), "7  [TIME]  x");
        assert_eq!(times("at 2026-11-22T17:40:57.123+01:00."), "at [TIME].");
        assert_eq!(times("2026-11-22T17:40:57Z"), "[TIME]");
        assert_eq!(
            times("0000:01:00.0 has 10de:1b80, 2026-11"),
            "0000:01:00.0 has 10de:1b80, 2026-11"
        );
    }
}

//! Tables of plain text.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

/// Rows under a heading, in columns, without lines: the first column stands to the right, the others
/// to the left. A line break or another control character in a cell is written as an escape.
#[must_use]
pub fn table<const N: usize>(heading: [&str; N], rows: &[[impl AsRef<str>; N]]) -> String {
    let rows: Vec<[Cow<'_, str>; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| shown(cell.as_ref()))).collect();
    let mut widths = heading.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = String::with_capacity((rows.len() + 1) * (widths.iter().sum::<usize>() + 2 * N));
    line(&mut text, heading, &widths);
    for row in &rows {
        text.push('\n');
        line(&mut text, row.each_ref().map(AsRef::as_ref), &widths);
    }
    text
}

/// What a cell looks like in its row: names come from firmware, files and mount points.
fn shown(cell: &str) -> Cow<'_, str> {
    if is_plain(cell) || !cell.contains(char::is_control) {
        return Cow::Borrowed(cell);
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    Cow::Owned(cell.chars().map(escaped).collect())
}

/// Whether there is nothing but printable ASCII in it, as in most cells: told many bytes at a time.
fn is_plain(cell: &str) -> bool {
    cell.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

/// Every column but the first is filled up on the right, and the end of a line is left open.
fn line<const N: usize>(text: &mut String, cells: [&str; N], widths: &[usize; N]) {
    for (column, (cell, widest)) in cells.into_iter().zip(widths).enumerate() {
        let blanks = widest - width(cell);
        if column == 0 {
            text.push_str(&" ".repeat(blanks));
            text.push_str(cell);
        } else {
            text.push_str("  ");
            text.push_str(cell);
            text.push_str(&" ".repeat(blanks));
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
}

/// How many columns of a terminal `cell` takes.
fn width(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.width() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["7", "显卡", "x"]), row(["123", "é", ""]), row(["", "", "y"])];
        assert_eq!(
            table(["#", "name", "why"], &rows),
            "  #  name  why\n  7  显卡  x\n123  é\n           y"
        );
        assert_eq!(table(["a", "b"], &[["", ""], ["1", ""]]), "a  b\n\n1");
    }

    #[test]
    fn a_control_character_breaks_no_row() {
        let rows = [["1", "/mnt/a\nb", "x"], ["2", "\u{1b}[31mred", "\t\u{85}é"]];
        assert_eq!(
            table(["#", "at", "why"], &rows),
            "#  at             why\n1  /mnt/a\\nb      x\n2  \\u{1b}[31mred  \\t\\u{85}é"
        );
    }
}

//! Finds the lists in a file of libvirt's own configuration (`qemu.conf` and its kin).
//!
//! The grammar is that of libvirt's `virconf.c`: `key = value` a line or up to a `;`, comments from
//! `#`, but not inside a list; a value is a number, a string in `'…'`, `"…"` or `"""…"""` without
//! escapes, or a list of these (libvirt reads lists in lists, but no key of its own is one). Only
//! the last kind of string goes over several lines. `cargo xtask libvirt` asks real daemons.

use std::ops::Range;

use super::{edit::EditError, members::Found};

/// What a key is set to.
enum Value {
    /// A number or a string, without the quotes.
    One(Range<usize>),
    List(Found),
}

/// Every key in the order of the file, with its list if it is one.
///
/// # Errors
///
/// A text that libvirt could not read either.
pub(super) fn keys(text: &[u8]) -> Result<Vec<(String, Option<Found>)>, EditError> {
    let list = |(key, value)| match value {
        Value::List(found) => (key, Some(found)),
        Value::One(_) => (key, None),
    };
    Ok(statements(text)?.into_iter().map(list).collect())
}

/// What libvirt takes `key` for, where that is a number or a string: of several the first.
///
/// # Errors
///
/// A text that libvirt could not read either.
pub fn conf_value(text: &[u8], key: &str) -> Result<Option<String>, EditError> {
    let found = statements(text)?.into_iter().find(|(name, _)| name == key);
    Ok(found.and_then(|(_, value)| match value {
        Value::One(at) => Some(String::from_utf8_lossy(&text[at]).into_owned()),
        Value::List(_) => None,
    }))
}

fn statements(text: &[u8]) -> Result<Vec<(String, Value)>, EditError> {
    let mut reader = Reader { text, at: 0 };
    let mut statements = Vec::new();
    loop {
        reader.skip_to_statement();
        if reader.at == text.len() {
            return Ok(statements);
        }
        statements.push(reader.statement().ok_or(EditError::Grammar)?);
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Whether the next byte is `byte`; it is passed.
    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn skip_blanks_and_breaks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t') || is_break(byte));
    }

    fn skip_to_statement(&mut self) {
        loop {
            self.skip_blanks_and_breaks();
            if self.peek() != Some(b'#') {
                return;
            }
            self.skip(|byte| !is_break(byte));
        }
    }

    /// A key, its value, and what ends it: a line break, a comment, a semicolon.
    fn statement(&mut self) -> Option<(String, Value)> {
        let start = self.at;
        if !self.peek()?.is_ascii_alphabetic() {
            return None;
        }
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let key = String::from_utf8_lossy(self.text.get(start..self.at)?).into_owned();
        self.skip_blanks();
        if !self.take(b'=') {
            return None;
        }
        self.skip_blanks();
        let value = match self.peek()? {
            b'[' => Value::List(self.list()?),
            _ => Value::One(self.scalar()?),
        };
        self.skip_blanks();
        let ends = self.take(b';') || self.peek().is_none_or(|byte| byte == b'#' || is_break(byte));
        ends.then_some((key, value))
    }

    fn list(&mut self) -> Option<Found> {
        self.at += 1;
        let (open, mut items) = (self.at, Vec::new());
        loop {
            self.skip_blanks_and_breaks();
            if self.take(b']') {
                return Some(Found { open, items });
            }
            let start = self.at;
            let value = self.scalar()?;
            let value = String::from_utf8_lossy(&self.text[value]).into_owned();
            items.push((start..self.at, value));
            self.skip_blanks_and_breaks();
            if !self.take(b',') && self.peek() != Some(b']') {
                return None;
            }
        }
    }

    /// A number or a string: where its value stands, without the quotes.
    fn scalar(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let quote: &[u8] = match self.peek()? {
            b'0'..=b'9' | b'-' | b'+' => {
                self.at += 1;
                self.skip(|byte| byte.is_ascii_digit());
                let number = start..self.at;
                return self.text[self.at - 1].is_ascii_digit().then_some(number);
            }
            b'"' if self.text[start..].starts_with(b"\"\"\"") => b"\"\"\"",
            b'"' => b"\"",
            b'\'' => b"'",
            _ => return None,
        };
        let open = start + quote.len();
        let length = self.text[open..].windows(quote.len()).position(|part| part == quote)?;
        let value = open..open + length;
        if quote.len() == 1 && self.text[value.clone()].iter().copied().any(is_break) {
            return None;
        }
        self.at = value.end + quote.len();
        Some(value)
    }
}

/// Whether libvirt ends a line there.
fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_where_it_is_one() {
        let text =
            b"#user = \"no\"\nuser = 'anna' # why\nuser=\"bert\"\nport = 16\nacl = [ \"x\" ]\n";
        let value = |key| conf_value(text, key).unwrap();
        assert_eq!(value("user").as_deref(), Some("anna"));
        assert_eq!(value("port").as_deref(), Some("16"));
        assert_eq!((value("acl"), value("group")), (None, None));
        assert!(conf_value(b"user = \n", "user").is_err());
    }

    /// As the libvirt daemons of Debian 11, 12 and 13 answered.
    const SYNTAX: &str = include_str!("../../tests/fixtures/qemu-conf-syntax");

    #[test]
    fn what_libvirt_reads_is_read_and_nothing_else() {
        for line in SYNTAX.lines().filter(|line| !line.starts_with('#')) {
            let (answer, text) = line.split_once(' ').unwrap();
            let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\f", "\u{c}")];
            let text =
                escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
            let found = keys(text.as_bytes());
            assert_eq!(found.is_ok(), answer == "reads", "{line}");
        }
    }
}

//! Finds the lists in a file of libvirt's own configuration (`qemu.conf` and its kin).
//!
//! The grammar is that of libvirt's `virconf.c`: `key = value` a line, comments from `#`, a value
//! is a number, a string in `'…'`, `"…"` or `"""…"""` without escapes, or a list of these.

use std::ops::Range;

use super::{edit::EditError, members::Found};

/// Every key in the order of the file, with its list if it is one.
///
/// # Errors
///
/// A text that libvirt could not read either.
pub(super) fn keys(text: &[u8]) -> Result<Vec<(String, Option<Found>)>, EditError> {
    let mut reader = Reader { text, at: 0 };
    let mut keys = Vec::new();
    loop {
        reader.skip_to_statement();
        if reader.at == text.len() {
            return Ok(keys);
        }
        keys.push(reader.statement().ok_or(EditError::Grammar)?);
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

    fn skip_to_statement(&mut self) {
        loop {
            self.skip(|byte| byte.is_ascii_whitespace());
            if self.peek() != Some(b'#') {
                return;
            }
            self.skip(|byte| byte != b'\n');
        }
    }

    /// A key, its value, and the rest of the line, which may be a comment.
    fn statement(&mut self) -> Option<(String, Option<Found>)> {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        let key = String::from_utf8_lossy(self.text.get(start..self.at)?).into_owned();
        self.skip_blanks();
        if key.is_empty() || !self.take(b'=') {
            return None;
        }
        self.skip_blanks();
        let list = match self.peek()? {
            b'[' => Some(self.list()?),
            _ => self.scalar().map(|_| None)?,
        };
        self.skip_blanks();
        match self.peek() {
            None | Some(b'\n' | b'\r' | b'#') => Some((key, list)),
            Some(_) => None,
        }
    }

    fn list(&mut self) -> Option<Found> {
        self.at += 1;
        let (open, mut items) = (self.at, Vec::new());
        loop {
            self.skip(|byte| byte.is_ascii_whitespace());
            if self.take(b']') {
                return Some(Found { open, items });
            }
            let start = self.at;
            let value = self.scalar()?;
            let value = String::from_utf8_lossy(&self.text[value]).into_owned();
            items.push((start..self.at, value));
            self.skip(|byte| byte.is_ascii_whitespace());
            if !self.take(b',') && self.peek() != Some(b']') {
                return None;
            }
        }
    }

    /// A number or a string: where its value stands, without the quotes.
    fn scalar(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let quote: &[u8] = match self.peek()? {
            b'0'..=b'9' | b'-' => {
                self.at += 1;
                self.skip(|byte| byte.is_ascii_digit());
                return Some(start..self.at);
            }
            b'"' if self.text[start..].starts_with(b"\"\"\"") => b"\"\"\"",
            b'"' => b"\"",
            b'\'' => b"'",
            _ => return None,
        };
        let open = start + quote.len();
        let length = self.text[open..].windows(quote.len()).position(|part| part == quote)?;
        self.at = open + length + quote.len();
        Some(open..open + length)
    }
}

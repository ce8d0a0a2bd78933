//! Smallest edits of text that somebody else owns. Pure: bytes in, bytes out.
//!
//! Invariants: what is not ours stays byte for byte, and [`remove_block`] takes away exactly
//! what [`set_block`] put there: a file without a final line break keeps that in having none
//! after our last line either.

use crate::Error;

const BEGIN: &[u8] = b"# >>> deploy-vfio >>>";
const END: &[u8] = b"# <<< deploy-vfio <<<";

/// Why a text cannot be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is none: it has a NUL byte.
    #[error("it holds a NUL byte, so it is not text")]
    Nul,
    /// The marks of our block are not one beginning and one end.
    #[error("the marks `# >>> deploy-vfio >>>` and `# <<< deploy-vfio <<<` do not pair up")]
    Marks,
    /// libvirt could not read it either.
    #[error("it is not written as libvirt's configuration is")]
    Grammar,
    /// What should get a member is no list.
    #[error("it sets to something else what should be a list")]
    NotAList,
    /// What should get a member is not there.
    #[error("it does not have the list")]
    NoList,
    /// Something that no list can hold.
    #[error("its lists cannot hold such a member")]
    Member,
}

impl EditError {
    /// The same about the file it was found in.
    #[must_use]
    pub fn at(self, path: &str) -> Error {
        Error::Refused {
            what: format!("/{path} cannot be edited"),
            because: vec![self.to_string()],
            help: Vec::new(),
        }
    }
}

/// Where our block is: from the beginning of its first line to the end of its last, the line
/// break after it not included.
struct Block {
    begin: usize,
    body: usize,
    body_end: usize,
    end: usize,
}

fn is_mark(line: &[u8], mark: &[u8]) -> bool {
    line.trim_ascii_end() == mark
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    text.split_inclusive(|&byte| byte == b'\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

fn find(text: &[u8]) -> Result<Option<Block>, EditError> {
    let at = |mark| lines(text).filter(move |(_, line)| is_mark(line, mark));
    let (mut begins, mut ends) = (at(BEGIN), at(END));
    match (begins.next(), begins.next(), ends.next(), ends.next()) {
        (None, _, None, _) => Ok(None),
        (Some((begin, first)), None, Some((body_end, last)), None) if begin < body_end => {
            let end = body_end + last.strip_suffix(b"\n").unwrap_or(last).trim_ascii_end().len();
            Ok(Some(Block { begin, body: begin + first.len(), body_end, end }))
        }
        _ => Err(EditError::Marks),
    }
}

/// The lines of our block as [`set_block`] was given them; `None` when there is none.
#[must_use]
pub fn block(text: &[u8]) -> Option<Vec<u8>> {
    let block = find(text).ok()??;
    let body = &text[block.body..block.body_end];
    Some(match text[block.begin..block.body].ends_with(b"\r\n") {
        true => replace(body, b"\r\n", b"\n"),
        false => body.to_vec(),
    })
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

/// Puts `body` between our marks: where they are, else at the end of the text.
pub fn set_block(text: &[u8], body: &str) -> Result<Vec<u8>, EditError> {
    if text.contains(&0) || body.contains('\0') {
        return Err(EditError::Nul);
    }
    if body.lines().any(|line| is_mark(line.as_bytes(), BEGIN) || is_mark(line.as_bytes(), END)) {
        return Err(EditError::Marks);
    }
    let found = find(text)?;
    let eol: &[u8] = match &found {
        Some(block) if text[block.begin..block.body].ends_with(b"\r\n") => b"\r\n",
        Some(_) => b"\n",
        None => dominant_eol(text),
    };
    let mut lines = vec![BEGIN];
    lines.extend(body.lines().map(str::as_bytes));
    lines.push(END);
    let ours = lines.join(eol);
    Ok(match found {
        Some(block) => [&text[..block.begin], &ours, &text[block.end..]].concat(),
        None if text.is_empty() || text.ends_with(b"\n") => [text, &ours, eol].concat(),
        None => [text, eol, &ours].concat(),
    })
}

/// Takes our block out; a text without one, or with broken marks, stays as it is.
#[must_use]
pub fn remove_block(text: &[u8]) -> Vec<u8> {
    let Ok(Some(block)) = find(text) else { return text.to_vec() };
    let (before, after) = (&text[..block.begin], &text[block.end..]);
    let eol: &[u8] = if text[block.begin..block.body].ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    // No line break after our last line: the text had none at its end, and we added one.
    let before = match after.is_empty() {
        true => before.strip_suffix(eol).unwrap_or(before),
        false => before,
    };
    [before, after.strip_prefix(eol).unwrap_or(after)].concat()
}

/// Takes the marks out and leaves what is between them; a text without a block stays as it is.
#[must_use]
pub fn release_block(text: &[u8]) -> Vec<u8> {
    let Ok(Some(block)) = find(text) else { return text.to_vec() };
    let end = text[block.end..].iter().position(|&byte| byte == b'\n');
    let after = end.map_or(text.len(), |at| block.end + at + 1);
    [&text[..block.begin], &text[block.body..block.body_end], &text[after..]].concat()
}

fn dominant_eol(text: &[u8]) -> &'static [u8] {
    let all = text.iter().filter(|&&byte| byte == b'\n').count();
    let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
    if crlf * 2 > all { b"\r\n" } else { b"\n" }
}

pub use super::{conf::conf_value, members::Lists, shell::shell_assignment};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "one\ntwo\n";

    #[test]
    fn a_block_goes_to_the_end_and_is_replaced_where_it_is() {
        let set = set_block(TEXT.as_bytes(), "a\nb\n").unwrap();
        let text = "one\ntwo\n# >>> deploy-vfio >>>\na\nb\n# <<< deploy-vfio <<<\n";
        assert_eq!(String::from_utf8(set.clone()).unwrap(), text);
        assert_eq!(block(&set).unwrap(), b"a\nb\n");
        let more = [set.as_slice(), b"three\n"].concat();
        let again = set_block(&more, "c\n").unwrap();
        let text = "one\ntwo\n# >>> deploy-vfio >>>\nc\n# <<< deploy-vfio <<<\nthree\n";
        assert_eq!(String::from_utf8(again.clone()).unwrap(), text);
        assert_eq!(remove_block(&again), b"one\ntwo\nthree\n");
        assert_eq!(set_block(&again, "c\n").unwrap(), again, "twice is once");
        assert_eq!(release_block(&again), b"one\ntwo\nc\nthree\n");
        assert_eq!(release_block(b"one\n"), b"one\n");
    }

    #[test]
    fn line_ends_are_kept() {
        let set = set_block(b"one\r\ntwo", "a\n").unwrap();
        let text = "one\r\ntwo\r\n# >>> deploy-vfio >>>\r\na\r\n# <<< deploy-vfio <<<";
        assert_eq!(String::from_utf8(set.clone()).unwrap(), text);
        assert_eq!(block(&set).unwrap(), b"a\n");
        assert_eq!(remove_block(&set), b"one\r\ntwo");
    }

    #[test]
    fn what_is_not_text_or_has_half_a_block_is_refused() {
        assert_eq!(set_block(b"a\0b", "x"), Err(EditError::Nul));
        for text in [
            "# >>> deploy-vfio >>>\n",
            "# <<< deploy-vfio <<<\n# >>> deploy-vfio >>>\n",
            "# >>> deploy-vfio >>>\n# >>> deploy-vfio >>>\n# <<< deploy-vfio <<<\n",
        ] {
            assert_eq!(set_block(text.as_bytes(), "x"), Err(EditError::Marks), "{text}");
            assert_eq!(remove_block(text.as_bytes()), text.as_bytes());
        }
        assert_eq!(set_block(b"", "# <<< deploy-vfio <<<"), Err(EditError::Marks));
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => any::<u8>().prop_filter("text", |byte| *byte != 0),
            2 => Just(b'\n'),
            1 => Just(b'\r'),
            1 => Just(b'#'),
        ];
        proptest::collection::vec(byte, 0..60)
    }

    proptest! {
        #[test]
        fn removing_takes_back_exactly_what_setting_did(text in text(), body in "[a-z \n]{0,20}") {
            let set = set_block(&text, &body).unwrap();
            prop_assert_eq!(remove_block(&set), text.clone());
            prop_assert!(set.starts_with(&text), "every other byte stays");
            let again = set_block(&set, "other").unwrap();
            prop_assert_eq!(remove_block(&again), text);
        }

        #[test]
        fn an_edit_around_the_block_stays(text in text(), more in "[a-z]{1,9}\n") {
            let text = [text.as_slice(), b"\n"].concat();
            let set = set_block(&text, "ours").unwrap();
            let edited = [more.as_bytes(), &set, more.as_bytes()].concat();
            let rest = [more.as_bytes(), &text, more.as_bytes()].concat();
            prop_assert_eq!(remove_block(&edited), rest);
        }

        #[test]
        fn no_text_makes_them_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (block(&text), remove_block(&text), shell_assignment(&text, "A"));
        }
    }
}

//! Bounds of XML that comes from elsewhere, looked at before a parser reads it.
//!
//! A parser that compares every attribute and name space of an element with every other takes the
//! square of their number, and one that calls itself for each element within another ends the
//! program. No definition of a guest comes near these bounds.

/// How deep elements may lie in each other.
pub const DEEPEST: usize = 64;
/// How many attributes an element may have, declarations of name spaces among them.
pub const MOST_ATTRIBUTES: usize = 256;

/// Why `text` may not be read; `None` when it may. That it is XML at all is for a parser to say.
#[must_use]
pub fn out_of_bounds(text: &str) -> Option<String> {
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some((_, after)) = rest.split_once('<') {
        rest = match after {
            after if after.starts_with("!--") => past(&after[3..], "-->"),
            after if after.starts_with("![CDATA[") => past(&after[8..], "]]>"),
            after if after.starts_with('?') => past(after, "?>"),
            after if after.starts_with('!') => {
                return Some(
                    "it has a document type, which none has that is meant here".to_owned(),
                );
            }
            after => {
                let tag = Tag::of(after);
                if tag.attributes > MOST_ATTRIBUTES {
                    return Some(format!("an element has more than {MOST_ATTRIBUTES} attributes"));
                }
                match tag.kind {
                    Kind::Opens => depth += 1,
                    Kind::Closes => depth = depth.saturating_sub(1),
                    Kind::Empty => {}
                }
                if depth > DEEPEST {
                    return Some(format!("its elements lie more than {DEEPEST} deep"));
                }
                &after[tag.len..]
            }
        };
    }
    None
}

/// What follows `end`.
fn past<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

enum Kind {
    Opens,
    Closes,
    Empty,
}

/// A tag, from behind its `<` to its `>`.
struct Tag {
    kind: Kind,
    attributes: usize,
    len: usize,
}

impl Tag {
    fn of(text: &str) -> Self {
        let (mut quote, mut attributes, mut last) = (None, 0, b' ');
        let closes = text.starts_with('/');
        for (at, byte) in text.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), byte) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                (None, b'>') => {
                    let kind = match (closes, last) {
                        (true, _) => Kind::Closes,
                        (false, b'/') => Kind::Empty,
                        (false, _) => Kind::Opens,
                    };
                    return Self { kind, attributes, len: at + 1 };
                }
                (None, _) => {}
            }
            last = byte;
        }
        Self { kind: Kind::Empty, attributes, len: text.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guests_have_is_within_bounds() {
        for text in [
            "<domain type='kvm'><name>a > b</name><!-- <x> --><memory/></domain>",
            "<?xml version='1.0'?>\n<domain><![CDATA[<a><b>]]><a b='>' c=\"'/>\"/></domain>",
            "",
            "no XML",
            "<unfinished a='",
        ] {
            assert_eq!(out_of_bounds(text), None, "{text}");
        }
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert_eq!(out_of_bounds(&deep(DEEPEST)), None);
        assert!(out_of_bounds(&deep(DEEPEST + 1)).is_some());
        // Beside each other as many as there are.
        assert_eq!(out_of_bounds(&"<a x='1'></a><b/>".repeat(10_000)), None);
    }

    #[test]
    fn what_would_take_a_parser_long_is_not() {
        let attributes: String = (0..300).map(|n| format!(" a{n}='x'")).collect();
        let spaces: String = (0..300).map(|n| format!(" xmlns:n{n}='u'")).collect();
        for text in [
            format!("<domain{attributes}/>"),
            format!("<domain{spaces}></domain>"),
            "<!DOCTYPE d [<!ENTITY a 'b'>]><domain/>".to_owned(),
            "<a>".repeat(100_000),
        ] {
            assert!(out_of_bounds(&text).is_some(), "{}", &text[..60]);
        }
    }
}

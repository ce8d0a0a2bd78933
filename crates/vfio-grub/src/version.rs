//! The order of versions by which loaders sort entries
//! (<https://uapi-group.org/specifications/specs/version_format_specification/>).
//!
//! A text is cut into tokens, and the order is that of the tokens, the first that differ.

use std::cmp::Ordering;

/// What a version is made of, the oldest first; other characters only keep tokens apart.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Token<'t> {
    /// `~`, before a release.
    Before,
    End,
    /// `-`
    Release,
    /// `^`
    Patch,
    /// `.`
    Point,
    Letters(&'t str),
    /// How long it is without zeros before it, and the digits.
    Number(usize, &'t str),
}

/// Compares two versions; the older one is less.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    tokens(a).cmp(&tokens(b))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let more = |same: fn(&char) -> bool| {
            rest.find(|c: char| !same(&c)).map_or((rest, ""), |end| rest.split_at(end))
        };
        let (token, after) = match first {
            '0'..='9' => {
                let (digits, after) = more(char::is_ascii_digit);
                let digits = digits.trim_start_matches('0');
                (Some(Token::Number(digits.len(), digits)), after)
            }
            'a'..='z' | 'A'..='Z' => {
                let (letters, after) = more(char::is_ascii_alphabetic);
                (Some(Token::Letters(letters)), after)
            }
            other => (separator(other), &rest[other.len_utf8()..]),
        };
        tokens.extend(token);
        rest = after;
    }
    tokens.push(Token::End);
    tokens
}

fn separator<'t>(c: char) -> Option<Token<'t>> {
    match c {
        '~' => Some(Token::Before),
        '-' => Some(Token::Release),
        '^' => Some(Token::Patch),
        '.' => Some(Token::Point),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_the_specification_says() {
        let sorted = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        assert!(compare("6.9.9", "6.11.4").is_lt() && compare("6.9", "6.009").is_eq());
        // What stands before `.conf` decides, and a number is newer than a name.
        assert!(compare("arch.conf", "arch-lts.conf").is_gt());
        assert!(compare("shell.conf", "0-6.11.4.conf").is_lt());
        assert!(compare("123_a", "123a").is_eq());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            prop_assert!(compare(&text, &text).is_eq());
        }
    }
}

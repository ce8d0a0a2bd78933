//! The words a user selects IOMMU groups with: `all`, `no-vga`, `vga`, `14`, `14-16`.
//!
//! Parsing knows no machine: what it refuses, no machine could accept. Whether a group exists,
//! and whether it may go to a guest, is decided by [`select`](crate::select).

use std::{fmt, str::FromStr};

use crate::Error;

/// How a selection reads, for messages.
pub const FORM: &str = "`all`, `no-vga`, `vga`, a group `14` or a range `14-16`, joined by commas";

/// Which groups are meant: one or more words, joined by commas.
///
/// The default is `vga`: nobody who asks for a second GPU wants the Wi-Fi gone.
///
/// ```
/// let selection: vfio_iommu::Selection = "no-vga,14,20-22".parse().unwrap();
/// assert_eq!(selection.to_string(), "no-vga,14,20-22");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<Word>);

/// One word of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Everything that is not protected.
    All,
    /// The same without display cards.
    NoVga,
    /// Display cards.
    Vga,
    /// One group by number: said so explicitly that it is done or refused, never left out.
    Group(u32),
    /// The groups there are between two numbers, both included.
    Range(u32, u32),
}

impl Selection {
    pub(crate) fn words(&self) -> &[Word] {
        &self.0
    }

    /// Whether a group is named by its own number.
    pub(crate) fn names(&self, group: u32) -> bool {
        self.0.contains(&Word::Group(group))
    }
}

impl Word {
    /// Whether the word means a group; `display` says whether a display card goes with it.
    pub(crate) fn means(self, group: u32, display: bool) -> bool {
        match self {
            Self::All => true,
            Self::NoVga => !display,
            Self::Vga => display,
            Self::Group(number) => number == group,
            Self::Range(first, last) => (first..=last).contains(&group),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => return Some(Self::All),
            "no-vga" => return Some(Self::NoVga),
            "vga" => return Some(Self::Vga),
            _ => {}
        }
        match text.split_once('-') {
            None => number(text).map(Self::Group),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Range(first, last))
            }
        }
    }
}

/// Digits only; `parse` alone would take a sign.
pub(crate) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Default for Selection {
    fn default() -> Self {
        Self(vec![Word::Vga])
    }
}

impl FromStr for Selection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let word = |word: &str| {
            let refused = || Error::word(word, "a selection of IOMMU groups", FORM);
            Word::parse(word.trim()).ok_or_else(refused)
        };
        text.split(',').map(word).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::NoVga => f.write_str("no-vga"),
            Self::Vga => f.write_str("vga"),
            Self::Group(group) => write!(f, "{group}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            write!(f, "{}{word}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vfio_core::{Advice, Exit};

    use super::*;

    #[test]
    fn reads_the_words_of_the_grammar() {
        for (text, shown) in [
            ("all", "all"),
            ("no-vga, 14", "no-vga,14"),
            ("0", "0"),
            ("14-16,vga", "14-16,vga"),
            ("7-7", "7-7"),
            ("007", "7"),
        ] {
            assert_eq!(text.parse::<Selection>().unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Selection::default().to_string(), "vga");
    }

    #[test]
    fn b10_refuses_what_no_machine_could_accept() {
        for (text, word) in [
            ("", ""),
            ("14,", ""),
            (",14", ""),
            ("16-14", "16-14"),
            ("14,x", "x"),
            ("ALL", "ALL"),
            ("-3", "-3"),
            ("+3", "+3"),
            ("1-2-3", "1-2-3"),
            ("4294967296", "4294967296"),
            ("14 15", "14 15"),
            ("--", "--"),
        ] {
            let error = text.parse::<Selection>().unwrap_err();
            assert_eq!(error.exit(), Exit::Usage, "{text}");
            let shown = format!("`{word}` is not a selection of IOMMU groups; write {FORM}");
            assert_eq!(error.to_string(), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_prints_back(text in "\\PC*") {
            if let Ok(selection) = text.parse::<Selection>() {
                prop_assert_eq!(selection.to_string().parse::<Selection>().unwrap(), selection);
            }
        }

        #[test]
        fn a_list_of_numbers_parses(numbers in proptest::collection::vec(any::<u32>(), 1..9)) {
            let text: Vec<_> = numbers.iter().map(u32::to_string).collect();
            let selection: Selection = text.join(",").parse().unwrap();
            prop_assert!(numbers.iter().all(|number| selection.names(*number)));
        }
    }
}

//! The kernel command line: what a kernel was given, and what we want it to be given.
//!
//! Tokenising follows the kernel (quotes, `-` and `_` alike in names); it is the work of the
//! `linux-kernel-cmdline` crate, which this module wraps.

use std::{fmt, str::FromStr};

use linux_kernel_cmdline::utf8;

/// `COMMAND_LINE_SIZE` of x86 kernels: a longer line is cut by the kernel without a word.
pub const MAX_LEN: usize = 2048;

/// One kernel parameter that deploy-vfio writes.
///
/// Only `[A-Za-z0-9,:=.@/_+%-]`: every consumer on the way (`/etc/default/grub`, `10_linux`,
/// GRUB's own script) takes such a word as it stands, without quoting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parameter(String);

/// A text that cannot be written as a kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` cannot be a kernel parameter here: only letters, digits and `,:=.@/_+%-` may stand in it",
    .0.escape_debug()
)]
pub struct ParseParameterError(String);

impl Parameter {
    /// The text, as it stands on the command line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Parameter {
    type Err = ParseParameterError;

    fn from_str(text: &str) -> Result<Self, ParseParameterError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b",:=.@/_+%-".contains(&b);
        if !text.is_empty() && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseParameterError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parameters in order; names compare with `-` and `_` alike, as in the kernel.
///
/// ```
/// let line: vfio_core::Cmdline = "ro vfio-pci.ids=10de:2484 console=tty0 console=ttyS0".into();
/// assert_eq!(line.value("vfio_pci.ids"), Some("10de:2484"));
/// assert_eq!(line.values("console").collect::<Vec<_>>(), ["tty0", "ttyS0"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cmdline(Vec<String>);

impl Cmdline {
    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameters as they stand, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The value of the last parameter `name`, which is the one that most parts of the kernel
    /// use; an empty text when it stands without a value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// The values of every parameter `name`.
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter_map(move |parameter| {
            let (key, value) = parts(parameter);
            same_name(key, name).then_some(value)
        })
    }

    /// Whether exactly this parameter is there.
    #[must_use]
    pub fn contains(&self, parameter: &str) -> bool {
        let (name, wanted) = parts(parameter);
        self.values(name).any(|value| value == wanted)
    }

    /// Appends a parameter, unless exactly this one is there already.
    pub fn push(&mut self, parameter: &Parameter) {
        if !self.contains(parameter.as_str()) {
            self.0.push(parameter.0.clone());
        }
    }

    /// Appends every parameter of `other` that is not there already.
    pub fn extend(&mut self, other: &Self) {
        for parameter in &other.0 {
            if !self.contains(parameter) {
                self.0.push(parameter.clone());
            }
        }
    }
}

/// Name and value, without the quotes that keep spaces in them.
fn parts(parameter: &str) -> (&str, &str) {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    (name.trim_matches('"'), value.trim_matches('"'))
}

fn same_name(a: &str, b: &str) -> bool {
    let fold = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

impl From<&str> for Cmdline {
    fn from(text: &str) -> Self {
        let line = utf8::Cmdline::from(text.trim_end_matches(['\n', '\0']));
        Self(line.iter_str().map(str::to_owned).filter(|word| !word.is_empty()).collect())
    }
}

impl FromIterator<Parameter> for Cmdline {
    fn from_iter<I: IntoIterator<Item = Parameter>>(parameters: I) -> Self {
        let mut line = Self::default();
        parameters.into_iter().for_each(|parameter| line.push(&parameter));
        line
    }
}

impl fmt::Display for Cmdline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_parameters_stay() {
        let mut line = Cmdline::from("console=tty0 console=ttyS0 quiet\n");
        line.extend(&"quiet intel_iommu=on".into());
        assert_eq!(line.to_string(), "console=tty0 console=ttyS0 quiet intel_iommu=on");
        assert!(line.contains("intel-iommu=on") && !line.contains("intel_iommu"));
    }

    #[test]
    fn a_quoted_value_is_one_parameter() {
        let line = Cmdline::from("a=\"b c\" \"d=e f\" g");
        assert_eq!((line.value("a"), line.value("d")), (Some("b c"), Some("e f")));
        assert_eq!(line.value("g"), Some(""));
        assert!(line.contains("a=\"b c\"") && line.contains("\"d=e f\""));
        let mut twice = line.clone();
        twice.extend(&line);
        assert_eq!(twice, line, "what is there is not added again");
    }

    #[test]
    fn a_parameter_is_a_plain_word() {
        assert!(
            "deploy_vfio.bind=0000:01:00.0=10de:2484,0000:01:00.1=10de:228b"
                .parse::<Parameter>()
                .is_ok()
        );
        for bad in ["", "a b", "a\nb", "a'b", "$(x)", "a;b", "a\"b", "ü"] {
            assert!(bad.parse::<Parameter>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = Cmdline::from(text.as_str()).value("x");
        }
    }
}

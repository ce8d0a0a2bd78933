//! One thing that was looked at.

use std::fmt;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// It may cost something, or keep one device from a guest.
    Warn,
    /// Nothing can be handed over like this.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it stands.
    pub verdict: Verdict,
    /// What it is about, in a word or two.
    pub about: &'static str,
    /// What was found, in a line.
    pub why: String,
    /// What to do, in a line; none when there is nothing to do.
    pub help: Option<String>,
}

impl Check {
    /// As it should be.
    pub fn pass(about: &'static str, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, about, why: why.into(), help: None }
    }

    /// It may cost something.
    pub fn warn(about: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, about, why: why.into(), help: Some(help.into()) }
    }

    /// Nothing can be handed over like this.
    pub fn fail(about: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, about, why: why.into(), help: Some(help.into()) }
    }
}

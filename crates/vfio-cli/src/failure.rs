//! Anything a program can fail with, and how it is told.

use std::fmt;

use vfio_core::{Advice, Exit};

use crate::{json, output};

/// An error on its way to the terminal: what happened, why, and the way out.
#[derive(Debug)]
pub struct Failure(Box<dyn Advice>);

impl<E: Advice + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Failure {
    /// The exit status that it ends a program with.
    #[must_use]
    pub fn exit(&self) -> u8 {
        self.0.exit() as u8
    }

    /// Tells it: the first line, then `because:` lines, then `help:` lines, on standard error.
    pub fn tell(&self, program: &str, as_json: bool) {
        let mut because = self.0.because();
        let mut source = self.0.source();
        while let Some(cause) = source {
            because.push(cause.to_string());
            source = cause.source();
        }
        let first = self.0.to_string();
        if first.is_empty() {
            // Standard output has said everything already.
            return;
        }
        if as_json {
            return json::error(&first, &because, &self.0.help(), self.exit());
        }
        output::error(&format!("{program}: {first}"));
        because.iter().for_each(|line| output::detail("because:", line));
        self.0.help().iter().for_each(|line| output::detail("help:", line));
    }
}

/// Words that no machine could accept, or a check that found something.
#[derive(Debug)]
pub struct Usage {
    what: String,
    because: Vec<String>,
    help: Vec<String>,
    exit: Exit,
}

impl Usage {
    /// A usage error with the line that would be right.
    #[must_use]
    pub fn new(what: impl Into<String>, help: &[&str]) -> Self {
        let help = help.iter().map(|line| (*line).to_owned()).collect();
        Self { what: what.into(), because: Vec::new(), help, exit: Exit::Usage }
    }

    /// An exit status of 1 for what standard output already says.
    #[must_use]
    pub fn found() -> Self {
        Self { exit: Exit::Failed, ..Self::new("", &[]) }
    }

    /// A refusal: something this machine, user or terminal cannot do.
    #[must_use]
    pub fn refused(what: impl Into<String>, help: &[&str]) -> Self {
        Self { exit: Exit::Refused, ..Self::new(what, help) }
    }

    /// The same with reasons, one a line.
    #[must_use]
    pub fn because(self, because: Vec<String>) -> Self {
        Self { because, ..self }
    }

    /// The same, ending a program with `exit`.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Usage {}

impl Advice for Usage {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn because(&self) -> Vec<String> {
        self.because.clone()
    }

    fn help(&self) -> Vec<String> {
        self.help.clone()
    }
}

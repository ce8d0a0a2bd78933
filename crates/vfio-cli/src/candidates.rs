//! What a word can become: by the names that a command's definition gives its values.

use std::fmt;

use vfio_core::host::{Device, Names};

use crate::{Context, programs};

/// One thing that a word can become, or the kind of path that the shell is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Empty asks the shell for what the description says.
    value: String,
    description: String,
}

impl Candidate {
    pub(crate) fn new(value: impl Into<String>, description: &str) -> Self {
        let line = description.lines().next().unwrap_or_default();
        // What a terminal can show: names come from files of others. The marks of code are noise.
        let description = line.chars().filter(|c| !c.is_control() && *c != '`').collect();
        Self { value: value.into(), description }
    }

    /// Any path; the shell knows how to complete and quote one.
    pub(crate) fn paths() -> Self {
        Self::new("", "paths")
    }

    /// Whether what was typed is the beginning of this.
    pub(crate) fn begins(&self, typed: &str) -> bool {
        self.value.is_empty() || self.value.starts_with(typed)
    }

    /// Whether this is `word`.
    pub(crate) fn is(&self, word: &str) -> bool {
        !word.is_empty() && self.value == word
    }

    /// The same behind what is on the line already.
    pub(crate) fn behind(self, done: &str) -> Self {
        let value =
            if self.value.is_empty() { self.value } else { format!("{done}{}", self.value) };
        Self { value, ..self }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)?;
        if self.description.is_empty() { Ok(()) } else { write!(f, "\t{}", self.description) }
    }
}

/// All candidates for a value of one of these names.
pub(crate) fn named(names: &[&str], facts: impl FnOnce() -> Option<Context>) -> Vec<Candidate> {
    let mut facts = Some(facts);
    let mut groups = |wanted: fn(&Device) -> bool| {
        facts.take().and_then(|facts| groups(&facts()?, wanted)).unwrap_or_default()
    };
    let mut found = Vec::new();
    for name in names {
        match *name {
            "GROUP" => found.extend(groups(|device| device.class.is_display())),
            "SELECTION" => {
                found.extend([
                    Candidate::new("all", "whatever nothing on the host needs"),
                    Candidate::new("vga", "display devices"),
                    Candidate::new("no-vga", "the same as all without display devices"),
                ]);
                found.extend(groups(|_| true));
            }
            "COMMAND" => {
                found.extend(programs::all().into_iter().map(|p| Candidate::new(p.name, "")));
            }
            "FILE" | "PATH" => found.push(Candidate::paths()),
            "DIR" => found.push(Candidate::new("", "directories")),
            word if word.contains(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) => {
                found.push(Candidate::new(word, ""));
            }
            _ => {}
        }
    }
    found
}

/// The groups that have a wanted device, each with what it is called.
fn groups(cx: &Context, wanted: fn(&Device) -> bool) -> Option<Vec<Candidate>> {
    let machine = cx.pci().ok()?;
    let names = Names::read(cx.root(), &machine.pci).ok()?.or_of(&machine);
    let groups = machine.pci.groups().into_iter();
    let groups = groups.filter(|(_, devices)| devices.iter().any(|device| wanted(device)));
    let described = groups.map(|(group, devices)| {
        let best = devices.iter().min_by_key(|d| (!d.class.is_display(), d.class.is_bridge()));
        let name = best.map(|device| names.call(device)).unwrap_or_default();
        let more = match devices.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Candidate::new(group.to_string(), &format!("{name}{more}"))
    });
    Some(described.collect())
}

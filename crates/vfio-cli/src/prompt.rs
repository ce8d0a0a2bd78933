//! Questions to somebody at the terminal.
//!
//! Every question can be gone back from and given up; giving up, like Ctrl-C, is a failure that
//! says that nothing was changed. Plain marks instead of colours, lines of at most 78 columns: it
//! has to work on a serial console.

use std::io::IsTerminal;

use dialoguer::{console::Term, theme::SimpleTheme};
use vfio_core::Exit;

use crate::{Context, Failure, Usage, signals::asking};

const BACK: &str = "Back";
const ABORT: &str = "Abort, change nothing";

/// The longest line of a choice: a longer one would wrap, and leave itself behind.
const LONGEST: usize = 74;

/// The lines that a choice takes at least: one for the question, one for an item, one below.
const LINES: u16 = 4;

/// What somebody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// This.
    Is(T),
    /// To see the question before again.
    Back,
}

impl Context {
    /// Whether there is somebody to ask who has not said that no questions are wanted.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        !self.global.yes && !self.global.json && at_terminal()
    }

    /// Lets one of `items` be chosen, `default` at first.
    ///
    /// # Errors
    ///
    /// Nobody at the terminal, or somebody who gave up.
    pub fn choose(
        &self,
        question: &str,
        items: &[String],
        default: usize,
    ) -> Result<Answer<usize>, Failure> {
        let shown = items.iter().map(String::as_str).chain([BACK, ABORT]).map(cut);
        let select = dialoguer::Select::with_theme(&SimpleTheme).with_prompt(question);
        let select = select.items(shown).default(default).report(true);
        large_enough()?;
        match asking(|| select.interact_opt()) {
            Ok(Some(at)) if at < items.len() => Ok(Answer::Is(at)),
            Ok(Some(at)) if at > items.len() => Err(nothing_was_changed(Exit::Failed)),
            Ok(_) => Ok(Answer::Back),
            Err(_) => Err(given_up()),
        }
    }

    /// Lets something be typed until `parse` takes it; an empty line goes back.
    ///
    /// # Errors
    ///
    /// Nobody at the terminal, or somebody who gave up.
    pub fn enter<T>(
        &self,
        question: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Answer<T>, Failure> {
        loop {
            let input = dialoguer::Input::<String>::with_theme(&SimpleTheme);
            let input = input.with_prompt(format!("{question} (empty: back)")).allow_empty(true);
            let Ok(text) = asking(|| input.interact_text()) else { return Err(given_up()) };
            if text.trim().is_empty() {
                return Ok(Answer::Back);
            }
            match parse(text.trim()) {
                Ok(value) => return Ok(Answer::Is(value)),
                Err(wrong) => crate::output::talk(&wrong),
            }
        }
    }

    /// Asks for a yes, unless `--yes` has said it.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        if !at_terminal() {
            let help = ["add --yes to do it, or --dry-run to only see it"];
            return Err(Usage::refused("there is nobody to ask: this is no terminal", &help).into());
        }
        let confirm = dialoguer::Confirm::new().with_prompt(question).default(false);
        match asking(|| confirm.interact()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(nothing_was_changed(Exit::Failed)),
            Err(_) => Err(given_up()),
        }
    }
}

fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Refuses a terminal that has no room for a choice; one that does not know its size has.
fn large_enough() -> Result<(), Failure> {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if (1..LINES).contains(&size.ws_row) => {
            let what = format!("the terminal has {} lines, a choice takes {LINES}", size.ws_row);
            let help =
                ["make it larger, or say what is wanted as options: `deploy-vfio help setup`"];
            Err(Usage::refused(what, &help).into())
        }
        _ => Ok(()),
    }
}

/// Ctrl-C, or a terminal that went away: the cursor that the question hid comes back.
fn given_up() -> Failure {
    let _ = Term::stderr().show_cursor();
    crate::output::talk("");
    nothing_was_changed(Exit::Interrupted)
}

fn nothing_was_changed(exit: Exit) -> Failure {
    Usage::refused("nothing was changed", &[]).exiting(exit).into()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

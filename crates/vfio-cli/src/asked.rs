//! What a program can be asked instead of doing its work: its manual page, or how a word goes on.
//!
//! `DEPLOY_VFIO_ASK=man PROGRAM --help` prints the page, `DEPLOY_VFIO_ASK=complete PROGRAM WORDS`
//! what the last of the words can become. A variable and not an option, because only a program
//! whose file has the variable's name may be asked (see [`answers`](crate::programs)): another one
//! would take the words for an order.

use std::{env, ffi::OsStr};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The manual page.
    Man,
    /// What the last word on the line can become.
    Complete,
}

impl Asked {
    pub(crate) const VARIABLE: &str = "DEPLOY_VFIO_ASK";
    pub(crate) const MAN: &str = "man";
    const COMPLETE: &str = "complete";

    /// What this process is asked, if it is.
    #[expect(clippy::disallowed_methods, reason = "the dispatcher and the shells ask this way")]
    pub(crate) fn read() -> Option<Self> {
        let asked = env::var_os(Self::VARIABLE)?;
        let is = |name: &str| asked.as_os_str() == OsStr::new(name);
        if is(Self::MAN) { Some(Self::Man) } else { is(Self::COMPLETE).then_some(Self::Complete) }
    }
}

/// Whether this process is only asked to explain itself or to complete a word.
#[must_use]
pub fn is_asked() -> bool {
    Asked::read().is_some()
}

//! Waiting for a lock that somebody else holds.

use std::time::{Duration, Instant};

use crate::{Result, change::Settings};

/// Somebody else holds a lock: asks again until the time is over, and says once who is waited for.
pub(crate) struct Wait<'a> {
    settings: &'a Settings<'a>,
    end: Instant,
    told: bool,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(settings: &'a Settings<'a>) -> Self {
        Self { settings, end: Instant::now() + settings.wait, told: false }
    }

    /// Sleeps for `pause`; `false` once it is too late.
    pub(crate) fn again(&mut self, pause: Duration, who: impl FnOnce() -> String) -> Result<bool> {
        if Instant::now() >= self.end {
            return Ok(false);
        }
        self.settings.interrupt.check()?;
        if !std::mem::replace(&mut self.told, true) {
            (self.settings.progress)(&format!("waiting for {} to end", who()));
        }
        std::thread::sleep(pause);
        Ok(true)
    }
}

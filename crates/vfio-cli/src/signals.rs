//! SIGINT, SIGTERM, SIGHUP and SIGQUIT become a flag that the engine polls between its steps.

use std::sync::OnceLock;

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};
use vfio_core::change::Interrupt;

static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();

/// The flag; from the first call on, signals raise it instead of ending the process.
pub(crate) fn interrupt() -> &'static Interrupt {
    let mut first = false;
    let interrupt = INTERRUPT.get_or_init(|| {
        first = true;
        Interrupt::new()
    });
    if first && let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                interrupt.raise(signal);
            }
        });
    }
    interrupt
}

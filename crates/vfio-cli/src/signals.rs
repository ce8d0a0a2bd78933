//! SIGINT, SIGTERM, SIGHUP and SIGQUIT become a flag that the engine polls between its steps; while
//! somebody is asked, Ctrl-C is an answer.

use std::sync::{
    Arc, LazyLock, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    flag,
    iterator::Signals,
};
use vfio_core::change::Interrupt;

static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();

/// Whether SIGINT ends the process, once somebody was asked something.
static ENDS: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let ends = Arc::new(AtomicBool::new(true));
    // Where that cannot be had, Ctrl-C ends the process with the terminal as it is.
    let _ = flag::register_conditional_default(SIGINT, Arc::clone(&ends));
    ends
});

/// Asks somebody: Ctrl-C does not end the process meanwhile, the question fails.
pub(crate) fn asking<T>(question: impl FnOnce() -> T) -> T {
    ENDS.store(false, Ordering::SeqCst);
    let answer = question();
    ENDS.store(INTERRUPT.get().is_none(), Ordering::SeqCst);
    answer
}

/// The flag; from the first call on, signals raise it instead of ending the process.
pub(crate) fn interrupt() -> &'static Interrupt {
    let mut first = false;
    let interrupt = INTERRUPT.get_or_init(|| {
        first = true;
        Interrupt::new()
    });
    ENDS.store(false, Ordering::SeqCst);
    if first && let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                interrupt.raise(signal);
            }
        });
    }
    interrupt
}

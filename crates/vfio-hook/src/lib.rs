//! What runs when libvirt starts and stops a guest.
//!
//! libvirt calls a program of ours at each step of a guest's life and waits for it. Invariants:
//!
//! * libvirt is never called back, it would wait for itself;
//! * only a device that cannot be taken safely keeps a guest from starting, everything else is told
//!   in the journal and passes;
//! * whatever is done has a limit in time, and stands below `/run` before it is done: a later call
//!   takes it back, even when this one was killed;
//! * nothing is printed: libvirt takes what a hook prints for the guest's new definition.

mod call;
mod comforts;
mod devices;
mod domain;
mod error;
mod hands;
mod holders;
mod isolation;
mod scripts;
mod settings;
mod state;
mod values;

use std::time::Duration;

use systemd_journal_logger::JournalLog;
use vfio_core::Root;

pub use call::{Call, Moment};
pub use domain::{Domain, LONGEST};
pub use error::Error;
pub use hands::{Hands, ThisMachine, lock, standard_input};
pub use holders::holders;
pub use settings::{DYNAMIC, Display, SETTINGS, Settings};
pub use state::{STATE, State, Step};

/// Keeps two calls apart, below the root.
pub const LOCK: &str = "run/deploy-vfio/guests.lock";
/// How long a call waits for another one.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The same where giving up would lose what is to be taken back.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// Answers one call on this machine: what standard input holds is the guest's definition. What is done
/// is told in the journal.
///
/// # Errors
///
/// Why the guest must not start; not being called as libvirt calls a hook.
pub fn serve(arguments: &[String]) -> Result<(), Error> {
    if let Ok(journal) = JournalLog::new() {
        let _ = journal.with_syslog_identifier("deploy-vfio".to_owned()).install();
        log::set_max_level(log::LevelFilter::Info);
    }
    let call = Call::read(arguments)?;
    let root = Root::open("/").map_err(|error| Error::Record(error.to_string()))?;
    let (hands, xml) = (ThisMachine, standard_input(LONGEST));
    // The user's own come first where they make way for the guest, and last where they clear up.
    let first = call.moment() == Moment::Prepare;
    if first {
        run_scripts(&root, &hands, &call, &xml);
    }
    let patience = if call.moment() == Moment::Release { LONG_PATIENCE } else { PATIENCE };
    let attended = match call.moment() {
        Moment::Other => Ok(()),
        _ => lock(LOCK, patience).map_or_else(
            |error| vetoes(&root, &call, error),
            |_kept| attend(&root, &hands, &call, &xml),
        ),
    };
    if let Err(error) = &attended {
        log::error!("{}: {error}", call.guest);
    }
    if !first {
        run_scripts(&root, &hands, &call, &xml);
    }
    attended
}

/// Does what is to be done at this call; `xml` is the guest's definition.
///
/// # Errors
///
/// Why the guest must not start; whatever was done for it is taken back already.
pub fn attend(root: &Root, hands: &dyn Hands, call: &Call, xml: &[u8]) -> Result<(), Error> {
    let settings = settings(root, call);
    let attended = match call.moment() {
        Moment::Prepare => prepare(root, hands, call, &settings, xml),
        Moment::Started => started(root, hands, call, &settings),
        Moment::Release => {
            State::read(root).and_then(|mut state| take_back(root, hands, &mut state, &call.guest))
        }
        Moment::Reconnect => reconnect(root, hands, call, &settings, xml),
        Moment::Other => Ok(()),
    };
    attended.or_else(|error| vetoes(root, call, error))
}

/// An error keeps the guest from starting where its devices would have to be taken first.
fn vetoes(root: &Root, call: &Call, error: Error) -> Result<(), Error> {
    if call.moment() == Moment::Prepare && root.exists(DYNAMIC).unwrap_or(false) {
        return Err(error);
    }
    log::warn!("{}: {error}", call.guest);
    Ok(())
}

/// Runs the user's own programs for this call.
pub fn run_scripts(root: &Root, hands: &dyn Hands, call: &Call, xml: &[u8]) {
    if settings(root, call).scripts {
        scripts::run(root, hands, call, xml);
    }
}

/// What the settings say for this guest: nothing where there are none, the usual where they cannot be
/// read.
fn settings(root: &Root, call: &Call) -> Settings {
    let read = match root.text(SETTINGS) {
        Ok(None) => Ok(Settings::nothing()),
        Ok(Some(text)) => Settings::read(&text, &call.guest),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|why| {
        log::warn!("{}: /{SETTINGS}: {why}: the usual is done", call.guest);
        Settings::default()
    })
}

fn prepare(
    root: &Root,
    hands: &dyn Hands,
    call: &Call,
    settings: &Settings,
    xml: &[u8],
) -> Result<(), Error> {
    let mut state = State::read(root)?;
    if state.knows(&call.guest) {
        log::warn!("{}: what an earlier start left is taken back first", call.guest);
        take_back(root, hands, &mut state, &call.guest)?;
    }
    let domain = Domain::read(xml)?;
    if root.exists(DYNAMIC).unwrap_or(false) {
        let taken = devices::take(root, hands, &mut state, &call.guest, &domain.devices);
        if let Err(error) = taken {
            take_back(root, hands, &mut state, &call.guest)?;
            return Err(error);
        }
    }
    let mut pleasant = Ok(());
    if settings.memory && !domain.huge_pages {
        pleasant = values::prepare_memory(root, hands, &mut state, &call.guest);
    }
    let settled = settle(root, hands, &mut state, call, (settings, &domain));
    // Comforts keep no guest from starting.
    if let Err(error) = pleasant.and(settled) {
        log::warn!("{}: {error}", call.guest);
    }
    Ok(())
}

/// What lasts as long as the guest runs, and may be done again.
fn settle(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    call: &Call,
    (settings, domain): (&Settings, &Domain),
) -> Result<(), Error> {
    if settings.nosleep {
        comforts::stay_awake(hands, state, call)?;
    }
    if settings.cpus && !domain.pinned.is_empty() {
        isolation::claim(root, hands, state, &call.guest, domain)?;
    }
    if !settings.governor.is_empty() {
        values::set_governor(root, hands, state, &call.guest, (settings, domain))?;
    }
    Ok(())
}

fn started(root: &Root, hands: &dyn Hands, call: &Call, settings: &Settings) -> Result<(), Error> {
    if settings.cpu_weight != 0 {
        comforts::weigh(root, hands, call, settings);
    }
    let mut state = State::read(root)?;
    comforts::show_guest(hands, &mut state, &call.guest, &settings.displays)
}

fn reconnect(
    root: &Root,
    hands: &dyn Hands,
    call: &Call,
    settings: &Settings,
    xml: &[u8],
) -> Result<(), Error> {
    let domain = Domain::read(xml)?;
    settle(root, hands, &mut State::read(root)?, call, (settings, &domain))
}

/// Takes back everything that was done for `guest`, in reverse order; what does not work is told.
fn take_back(root: &Root, hands: &dyn Hands, state: &mut State, guest: &str) -> Result<(), Error> {
    let mut left = Vec::new();
    for step in state.guests.get(guest).cloned().unwrap_or_default().iter().rev() {
        let (what, done) = match step {
            Step::Device { address, driver, driver_override } => {
                let back = address.parse().map_err(|_| "it is no PCI address".to_owned());
                let back = back.and_then(|address| {
                    devices::give_back(root, hands, address, driver.as_deref(), driver_override)
                });
                (address.clone(), back)
            }
            Step::Unit(unit) => (unit.clone(), comforts::stop(hands, unit)),
            Step::Display { bus, host } => {
                (format!("the display on bus {bus}"), comforts::switch(hands, *bus, *host))
            }
        };
        match done {
            Ok(()) => log::info!("{guest}: {what} is as before"),
            Err(why) => {
                log::error!("{guest}: {what} is not as before: {why}");
                // A device is tried again at the guest's next call.
                left.extend(matches!(step, Step::Device { .. }).then(|| step.clone()));
            }
        }
    }
    left.reverse();
    isolation::release(root, hands, state, guest)?;
    values::reset(root, hands, state, guest)?;
    let before = match left.is_empty() {
        true => state.guests.remove(guest),
        false => state.guests.insert(guest.to_owned(), left),
    };
    if before.is_some() {
        state.keep(hands)?;
    }
    Ok(())
}

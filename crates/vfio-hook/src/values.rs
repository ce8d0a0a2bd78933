//! Attributes of the kernel's that are changed while a guest runs: the CPUs' governors, huge pages.
//!
//! Several guests may want the same one: it is changed for the first and put back after the last,
//! and not when somebody else has changed it in between.

use std::time::Duration;

use vfio_core::{CpuList, Root};

use crate::{Domain, Error, Hands, Settings, State, state::Changed};

const COMPACT: &str = "proc/sys/vm/compact_memory";
const HUGE_PAGES: &str = "sys/kernel/mm/transparent_hugepage/enabled";
/// How long the kernel may put memory together before a start.
const LIMIT: Duration = Duration::from_secs(5);

/// Puts memory together for a guest that has no huge pages reserved, and lets it have some.
///
/// # Errors
///
/// What is done could not be written down.
pub fn prepare_memory(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
) -> Result<(), Error> {
    if value(root, HUGE_PAGES).as_deref() == Some("never") {
        set(root, hands, state, guest, HUGE_PAGES, "madvise")?;
    }
    match hands.write_within(LIMIT, COMPACT, "1") {
        Ok(()) => {}
        Err(why) => log::warn!("{guest}: memory was not put together: {why}"),
    }
    Ok(())
}

/// Sets the governor of the CPUs that the guest is pinned to, where they have it.
///
/// # Errors
///
/// What is done could not be written down.
pub fn set_governor(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
    (settings, domain): (&Settings, &Domain),
) -> Result<(), Error> {
    for cpu in domain.pinned.iter() {
        let dir = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
        let offered = root.text(&format!("{dir}/scaling_available_governors")).ok().flatten();
        let offered = offered.unwrap_or_default();
        if offered.split_whitespace().any(|governor| governor == settings.governor) {
            let path = format!("{dir}/scaling_governor");
            set(root, hands, state, guest, &path, &settings.governor)?;
        }
    }
    Ok(())
}

/// Sets an attribute for `guest`.
fn set(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
    path: &str,
    wanted: &str,
) -> Result<(), Error> {
    let Some(is) = value(root, path) else { return Ok(()) };
    match state.values.get_mut(path) {
        Some(changed) => {
            changed.guests.insert(guest.to_owned());
            wanted.clone_into(&mut changed.now);
        }
        None if is == wanted => return Ok(()),
        None => {
            let changed = Changed { before: is, now: wanted.to_owned(), ..Changed::default() };
            let guests = [guest.to_owned()].into();
            state.values.insert(path.to_owned(), Changed { guests, ..changed });
        }
    }
    state.keep(hands)?;
    if let Err(why) = hands.write(path, wanted) {
        log::warn!("{guest}: {why}");
    }
    Ok(())
}

/// Puts back what was changed for `guest` and is wanted by no other.
///
/// # Errors
///
/// What is done could not be written down.
pub fn reset(root: &Root, hands: &dyn Hands, state: &mut State, guest: &str) -> Result<(), Error> {
    let mine: Vec<String> = state
        .values
        .iter()
        .filter(|(_, changed)| changed.guests.contains(guest))
        .map(|(path, _)| path.clone())
        .collect();
    for path in mine {
        let Some(changed) = state.values.get_mut(&path) else { continue };
        if changed.guests.len() == 1 {
            let still = value(root, &path).as_deref() == Some(changed.now.as_str());
            if still && let Err(why) = hands.write(&path, &changed.before) {
                log::warn!("{guest}: {why}");
            }
            state.values.remove(&path);
        } else {
            changed.guests.remove(guest);
        }
        state.keep(hands)?;
    }
    Ok(())
}

/// What an attribute is; of several words the one in brackets.
fn value(root: &Root, path: &str) -> Option<String> {
    let text = root.text(path).ok().flatten()?;
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    Some(chosen.map_or(text.trim(), |(word, _)| word).to_owned())
}

/// The CPUs that the kernel keeps free by itself (`isolcpus=`), and those that are in use at all.
pub(crate) fn cpus(root: &Root, which: &str) -> CpuList {
    let text = root.text(&format!("sys/devices/system/cpu/{which}")).ok().flatten();
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

//! CPUs that the host's programs leave to guests, through systemd's `AllowedCPUs`.
//!
//! Source: systemd.resource-control(5). Programs of the system, of users and the manager itself
//! keep the CPUs that no running guest is pinned to; after the last guest each has what it had.

use std::{collections::BTreeSet, time::Duration};

use vfio_core::{CpuList, Root};

use crate::{Domain, Error, Hands, State, values::cpus};

/// Whose programs move.
const UNITS: [&str; 3] = ["init.scope", "system.slice", "user.slice"];
const LIMIT: Duration = Duration::from_secs(10);
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Keeps the host's programs from the CPUs of `guest`.
///
/// # Errors
///
/// What is done could not be written down.
pub fn claim(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
    domain: &Domain,
) -> Result<(), Error> {
    let isolated = cpus(root, "isolated");
    if domain.pinned.iter().all(|cpu| isolated.contains(cpu)) {
        return Ok(());
    }
    if !root.exists("sys/fs/cgroup/cgroup.controllers").unwrap_or(false) {
        log::warn!("{guest}: CPUs are left to guests with control groups of version 2 only");
        return Ok(());
    }
    let mut claims = state.claims.clone();
    claims.insert(guest.to_owned(), domain.pinned.to_string());
    if left(root, &claims).is_empty() {
        log::warn!("{guest}: it is pinned to every CPU that is left, so the host shares them");
        return Ok(());
    }
    if state.units.is_empty() {
        for unit in UNITS {
            let show = [SYSTEMCTL, "show", "--property=AllowedCPUs", "--value", unit];
            match hands.run(LIMIT, &show, b"") {
                Ok(before) => state.units.insert(unit.to_owned(), before.trim().to_owned()),
                Err(why) => {
                    log::warn!("{guest}: no CPU is left to it alone: {why}");
                    state.units.clear();
                    return Ok(());
                }
            };
        }
    }
    state.claims = claims;
    state.keep(hands)?;
    confine(root, hands, state, guest);
    Ok(())
}

/// Gives the CPUs of `guest` back to the host's programs.
///
/// # Errors
///
/// What is done could not be written down.
pub fn release(
    root: &Root,
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
) -> Result<(), Error> {
    if state.claims.remove(guest).is_none() {
        return Ok(());
    }
    if state.claims.is_empty() {
        for (unit, before) in &state.units {
            if before.is_empty() {
                // Taking the property away leaves the group's CPUs as they are while other groups
                // beside it are confined (systemd 252): so they are all of them first.
                allow(hands, guest, unit, &cpus(root, "online").to_string());
            }
            allow(hands, guest, unit, before);
        }
        state.units.clear();
    } else {
        confine(root, hands, state, guest);
    }
    state.keep(hands)
}

/// The host's programs get the CPUs that no guest claims.
fn confine(root: &Root, hands: &dyn Hands, state: &State, guest: &str) {
    let left = left(root, &state.claims).to_string();
    for unit in state.units.keys() {
        allow(hands, guest, unit, &left);
    }
}

fn allow(hands: &dyn Hands, guest: &str, unit: &str, cpus: &str) {
    let property = format!("AllowedCPUs={cpus}");
    let line = [SYSTEMCTL, "set-property", "--runtime", unit, &property];
    if let Err(why) = hands.run(LIMIT, &line, b"") {
        log::warn!("{guest}: {unit} does not keep to the CPUs {cpus}: {why}");
    }
}

/// The CPUs in use that no guest claims.
fn left(root: &Root, claims: &std::collections::BTreeMap<String, String>) -> CpuList {
    let lists = claims.values().filter_map(|list| list.parse::<CpuList>().ok());
    let claimed: BTreeSet<u32> = lists.flat_map(|list| list.iter().collect::<Vec<_>>()).collect();
    cpus(root, "online").iter().filter(|cpu| !claimed.contains(cpu)).collect()
}

//! What makes a running guest pleasant: no sleep, QEMU's share of the CPUs, displays.

use std::time::Duration;

use vfio_core::Root;

use crate::{Call, Error, Hands, Settings, State, settings::Display, state::Step};

const LIMIT: Duration = Duration::from_secs(10);
const SYSTEMCTL: &str = "/usr/bin/systemctl";
const DDCUTIL: &str = "/usr/bin/ddcutil";

/// Keeps the machine awake by a unit of the guest's.
///
/// # Errors
///
/// What is done could not be written down.
pub fn stay_awake(hands: &dyn Hands, state: &mut State, call: &Call) -> Result<(), Error> {
    let unit = format!("deploy-vfio-nosleep@{}.service", call.escaped());
    let known = state.guests.get(&call.guest).into_iter().flatten();
    if !known.clone().any(|step| *step == Step::Unit(unit.clone())) {
        state.about_to(hands, &call.guest, Step::Unit(unit.clone()))?;
    }
    if let Err(why) = hands.run(LIMIT, &[SYSTEMCTL, "start", "--no-block", &unit], b"") {
        log::warn!("{}: the machine may go to sleep: {why}", call.guest);
    }
    Ok(())
}

/// Lets the machine sleep again.
///
/// # Errors
///
/// What systemd says.
pub fn stop(hands: &dyn Hands, unit: &str) -> Result<(), String> {
    hands.run(LIMIT, &[SYSTEMCTL, "stop", "--no-block", unit], b"").map(|_| ())
}

/// Gives QEMU its share of the CPUs; it goes with its scope.
pub fn weigh(root: &Root, hands: &dyn Hands, call: &Call, settings: &Settings) {
    let pid = root.text(&format!("run/libvirt/qemu/{}.pid", call.guest)).ok().flatten();
    let Some(pid) = pid.and_then(|pid| pid.trim().parse::<u32>().ok()) else { return };
    let groups = root.text(&format!("proc/{pid}/cgroup")).ok().flatten().unwrap_or_default();
    let Some(scope) = scope(&groups) else { return };
    let weight = format!("CPUWeight={}", settings.cpu_weight);
    let line = [SYSTEMCTL, "set-property", "--runtime", "--", scope, &weight];
    if let Err(why) = hands.run(LIMIT, &line, b"") {
        log::warn!("{}: its share of the CPUs is as before: {why}", call.guest);
    }
}

/// The scope in what `/proc/PID/cgroup` says of version 2.
fn scope(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/').find(|part| part.ends_with(".scope"))
}

/// Switches the displays to the guest.
///
/// # Errors
///
/// What is done could not be written down.
pub fn show_guest(
    hands: &dyn Hands,
    state: &mut State,
    guest: &str,
    displays: &[Display],
) -> Result<(), Error> {
    for display in displays {
        let step = Step::Display { bus: display.bus, host: display.host };
        state.about_to(hands, guest, step)?;
        if let Err(why) = switch(hands, display.bus, display.guest) {
            log::warn!("{guest}: the display on bus {} does not show it: {why}", display.bus);
        }
    }
    Ok(())
}

/// Tells the display on a bus which input to show, and looks whether it does.
///
/// # Errors
///
/// It has another input still, or ddcutil's own words.
pub fn switch(hands: &dyn Hands, bus: u8, input: u8) -> Result<(), String> {
    let (bus, value) = (bus.to_string(), format!("0x{input:02x}"));
    hands.run(LIMIT, &[DDCUTIL, "--bus", &bus, "--noverify", "setvcp", "60", &value], b"")?;
    let told = hands.run(LIMIT, &[DDCUTIL, "--bus", &bus, "--brief", "getvcp", "60"], b"")?;
    // `VCP 60 SNC x0f`
    let is = told.split_whitespace().last().unwrap_or_default();
    match u8::from_str_radix(is.trim_start_matches('x'), 16) {
        Ok(is) if is == input => Ok(()),
        _ => Err(format!("it was told to show {value} and says {}", told.trim().escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_found_below_libvirt_s_own_groups() {
        let groups = "0::/machine.slice/machine-qemu\\x2d1\\x2dwin10.scope/libvirt/emulator\n";
        assert_eq!(scope(groups), Some("machine-qemu\\x2d1\\x2dwin10.scope"));
        assert_eq!(scope("1:cpu:/machine.slice/a.scope\n0::/\n"), None);
    }
}

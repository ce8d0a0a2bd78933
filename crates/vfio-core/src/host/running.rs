//! The running kernel against what its command line promised.
//!
//! Invariant: everything is told from `/proc/cmdline`, `/proc` and `/sys`, so it works when the
//! feature that promised it, or the plugin, is gone.

use crate::{
    Address, Cmdline, Result, Root,
    host::{Device, Machine, shared},
    layout::{CMDLINE_D, DEFAULT_ENTRY, ENTRIES_D, VFIO_PCI},
};

/// One statement about the running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is, or is not.
    pub text: String,
}

/// What the running kernel was promised, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// The boot entry of ours that was started; `None` for any other.
    pub entry: Option<String>,
    /// What holds and what does not.
    pub findings: Vec<Finding>,
}

/// One device of a `deploy_vfio.bind=` list.
struct Promise {
    address: Address,
    ids: (u16, u16),
}

impl Running {
    /// Compares `machine`'s command line with its devices and memory, and with what `root` holds
    /// for the next boot.
    pub fn read(root: &Root, machine: &Machine) -> Result<Self> {
        let line = &machine.boot.cmdline;
        let entry = line.value("deploy_vfio.entry").map(str::to_owned);
        let mut running = Self { entry, findings: Vec::new() };
        let promises = running.promises(line);
        running.started(root, line)?;
        for promise in &promises {
            let finding = bound(machine, promise);
            running.findings.push(finding);
        }
        running.screens(machine);
        running.pages(machine, line);
        running.findings.extend(shared::findings(root)?);
        Ok(running)
    }

    fn say(&mut self, ok: bool, text: impl Into<String>) {
        self.findings.push(Finding { ok, text: text.into() });
    }

    fn promises(&mut self, line: &Cmdline) -> Vec<Promise> {
        let mut promises = Vec::new();
        for item in line.values("deploy_vfio.bind").flat_map(|list| list.split(',')) {
            match promise(item) {
                Some(promise) => promises.push(promise),
                None if item.is_empty() => {}
                None => {
                    self.say(false, format!("`{}` names no device to bind", item.escape_debug()))
                }
            }
        }
        promises
    }

    /// Which entry was started, and whether the next boot would be another.
    fn started(&mut self, root: &Root, line: &Cmdline) -> Result<()> {
        if line.values("deploy_vfio.off").next().is_some() {
            self.say(false, "deploy-vfio is switched off for this boot (deploy_vfio.off)");
        }
        let mut wanted = Cmdline::default();
        let deployed = !root.names(ENTRIES_D)?.is_empty();
        match self.entry.clone() {
            Some(entry) => {
                let text = root.text(&format!("{ENTRIES_D}/{entry}.conf"))?;
                let Some(text) = text else {
                    self.say(
                        false,
                        format!("the entry `{entry}` that runs is no longer deployed: reboot"),
                    );
                    return Ok(());
                };
                self.say(true, format!("started as `{entry}`"));
                let arguments = text.lines().find_map(|line| line.strip_prefix("arguments="));
                wanted.extend(&arguments.unwrap_or_default().into());
                wanted.extend(&fragments(root)?);
            }
            None if deployed => {
                let default = root.text(DEFAULT_ENTRY)?.unwrap_or_default();
                let next = match default.trim() {
                    "" => String::new(),
                    id => format!("; `{id}` starts by itself at the next boot"),
                };
                self.say(true, format!("started by the normal entry, nothing is bound{next}"));
            }
            None => wanted.extend(&fragments(root)?),
        }
        let missing: Vec<&str> = wanted.iter().filter(|word| !line.contains(word)).collect();
        if !missing.is_empty() {
            self.say(false, format!("not in force before the next boot: {}", missing.join(" ")));
        }
        Ok(())
    }

    fn screens(&mut self, machine: &Machine) {
        let displays = machine.pci.devices().iter().filter(|device| device.class.is_display());
        let (guest, host): (Vec<_>, Vec<&Device>) =
            displays.partition(|device| device.driver.as_deref() == Some(VFIO_PCI));
        for device in &host {
            let driver = device.driver.as_deref().unwrap_or("no driver");
            self.say(true, format!("{} drives the desktop ({driver})", device.address));
        }
        if host.is_empty() && !guest.is_empty() {
            self.say(false, "no display device is left to the host");
        }
    }

    fn pages(&mut self, machine: &Machine, line: &Cmdline) {
        let sizes = line.values("hugepagesz").filter_map(size_kib);
        for (kib, count) in
            sizes.zip(line.values("hugepages").filter_map(|n| n.parse::<u64>().ok()))
        {
            let has = machine.memory.huge_pages.iter().find(|pages| pages.size_kib == kib);
            let has = has.map_or(0, |pages| pages.total);
            self.say(
                has >= count,
                format!("{has} of {count} huge pages of {kib} KiB are reserved"),
            );
        }
    }
}

fn promise(item: &str) -> Option<Promise> {
    let (address, ids) = item.split_once('=')?;
    let (vendor, device) = ids.split_once(':')?;
    let hex = |text| u16::from_str_radix(text, 16).ok();
    Some(Promise { address: address.parse().ok()?, ids: (hex(vendor)?, hex(device)?) })
}

fn bound(machine: &Machine, promise: &Promise) -> Finding {
    let Promise { address, ids: (vendor, device) } = promise;
    let ids = format!("{vendor:04x}:{device:04x}");
    let (ok, text) = match machine.pci.get(*address) {
        None => (false, format!("{address} is not there; {}", elsewhere(machine, promise, &ids))),
        Some(found) if found.ids() != ids => {
            let now = found.ids();
            (
                false,
                format!(
                    "{address} is {now} and was left alone; {}",
                    elsewhere(machine, promise, &ids)
                ),
            )
        }
        Some(found) => match found.driver.as_deref() {
            Some(VFIO_PCI) => (true, format!("{address} ({ids}) waits for guests on {VFIO_PCI}")),
            driver => {
                let driver = driver.unwrap_or("no driver");
                (false, format!("{address} ({ids}) should be on {VFIO_PCI} but is on {driver}"))
            }
        },
    };
    Finding { ok, text }
}

/// Where devices with these ids sit now, besides the one that the running entry keeps.
fn elsewhere(machine: &Machine, promise: &Promise, ids: &str) -> String {
    let entry = machine.boot.cmdline.value("deploy_vfio.entry").unwrap_or_default();
    let kept: Option<Address> = entry.strip_prefix("deploy-vfio-").and_then(|at| at.parse().ok());
    let moved = machine.pci.devices().iter().filter(|device| {
        (device.vendor, device.device) == promise.ids
            && device.driver.as_deref() != Some(VFIO_PCI)
            && Some(device.address) != kept
    });
    let moved: Vec<String> = moved.map(|device| device.address.to_string()).collect();
    match moved.is_empty() {
        true => format!("no other device is {ids}"),
        false => {
            format!("{ids} is now at {}: run the command that bound it again", moved.join(", "))
        }
    }
}

/// The parameters of all features, as [`crate::layout`] describes the files.
fn fragments(root: &Root) -> Result<Cmdline> {
    let mut line = Cmdline::default();
    for name in root.names(CMDLINE_D)?.iter().filter(|name| name.ends_with(".conf")) {
        let text = root.text(&format!("{CMDLINE_D}/{name}"))?.unwrap_or_default();
        for words in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            line.extend(&words.into());
        }
    }
    Ok(line)
}

fn size_kib(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "K" | "k" => Some(number),
        "M" | "m" => number.checked_mul(1 << 10),
        "G" | "g" => number.checked_mul(1 << 20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Class, HugePages, Pci};

    fn device(address: &str, ids: (u16, u16), driver: &str) -> Device {
        Device {
            address: address.parse().unwrap(),
            class: Class(0x03_0000),
            vendor: ids.0,
            device: ids.1,
            subsystem: (0, 0),
            driver: Some(driver.to_owned()),
            modalias: None,
            group: Some(1),
            boot_vga: None,
            parent: None,
            physical: None,
        }
    }

    fn faults(line: &str, devices: Vec<Device>) -> Vec<String> {
        let mut machine = Machine { pci: Pci::from_devices(devices), ..Machine::default() };
        machine.boot.cmdline = line.into();
        machine.memory.huge_pages = vec![HugePages { size_kib: 2048, total: 200, free: 0 }];
        let running = Running::read(&Root::empty(), &machine).unwrap();
        running.findings.into_iter().filter(|f| !f.ok).map(|f| f.text).collect()
    }

    const BIND: &str = "deploy_vfio.bind=0000:01:00.0=1234:1111";

    #[test]
    fn a_card_that_moved_is_named() {
        let moved = vec![device("0000:03:00.0", (0x1234, 0x1111), "bochs-drm")];
        let faults = faults(BIND, moved);
        assert_eq!(
            faults,
            [
                "0000:01:00.0 is not there; 1234:1111 is now at 0000:03:00.0: run the command that bound it again"
            ]
        );
    }

    #[test]
    fn of_two_twins_the_one_that_the_entry_keeps_did_not_move() {
        let twins = vec![
            device("0000:02:00.0", (0x1234, 0x1111), "bochs-drm"),
            device("0000:09:00.0", (0x1234, 0x1111), "bochs-drm"),
        ];
        let line = format!("deploy_vfio.entry=deploy-vfio-0000:02:00.0 {BIND}");
        let faults = faults(&line, twins);
        assert!(
            faults.iter().any(|f| f.contains("1234:1111 is now at 0000:09:00.0:")),
            "{faults:?}"
        );
    }

    #[test]
    fn what_holds_is_no_fault() {
        let devices = vec![
            device("0000:01:00.0", (0x1234, 0x1111), "vfio-pci"),
            device("0000:02:00.0", (0x1234, 0x1111), "bochs-drm"),
        ];
        assert_eq!(faults(BIND, devices), Vec::<String>::new());
    }

    #[test]
    fn pages_that_the_kernel_could_not_get_are_a_fault() {
        let line = "hugepagesz=2M hugepages=256";
        assert_eq!(faults(line, Vec::new()), ["200 of 256 huge pages of 2048 KiB are reserved"]);
    }

    #[test]
    fn a_host_without_a_display_is_a_fault() {
        let devices = vec![device("0000:01:00.0", (0x1234, 0x1111), "vfio-pci")];
        assert_eq!(faults(BIND, devices), ["no display device is left to the host"]);
    }
}

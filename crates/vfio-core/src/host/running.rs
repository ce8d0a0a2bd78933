//! The running kernel against what its command line promised.
//!
//! Invariant: everything is told from `/proc/cmdline`, `/proc` and `/sys`, so it works when the
//! feature that promised it, or the plugin, is gone.

use crate::{
    Address, Cmdline, CpuList, Result, Root,
    host::{AskedPages, Device, Machine, Memory, by_id, shared, trial, unfit, zram},
    layout::{CMDLINE_D, DEFAULT_ENTRY, ENTRIES_D, RUNTIME_HUGEPAGES, VFIO_PCI, words},
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

/// How the entries of a setup without a menu begin; the address of the host's display follows.
const STATIC: &str = "static-";

/// One device of a `deploy_vfio.bind=` list.
struct Promise {
    address: Address,
    ids: (u16, u16),
}

impl Running {
    /// Compares `machine`'s command line with its devices, memory and processors, and with what `root` holds
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
        for ids in by_id::promised(root, line)? {
            running.findings.extend(bound_by_id(machine, ids));
        }
        running.screens(machine);
        running.pages(root, machine)?;
        running.processors(machine, line);
        running.findings.extend(shared::findings(root)?);
        running.findings.extend(zram::finding(root)?);
        running.findings.extend(trial::finding(root, line)?);
        running.findings.extend(unfit::findings(root)?);
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
            Some(entry) if entry.starts_with(STATIC) => {
                wanted.extend(&fragments(root)?);
                let deployed = wanted.value("deploy_vfio.entry").is_some();
                let how = if deployed { "" } else { ", which is no longer deployed: reboot" };
                self.say(deployed, format!("started with the setup of `deploy-vfio static`{how}"));
            }
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

    fn pages(&mut self, root: &Root, machine: &Machine) -> Result<()> {
        let mut asked = AskedPages::at_boot(&machine.boot.cmdline);
        // Where there is a menu of ours, the unit leaves the normal entry alone.
        if self.entry.is_some() || root.names(ENTRIES_D)?.is_empty() {
            let text = root.text(RUNTIME_HUGEPAGES)?.unwrap_or_default();
            asked.extend(AskedPages::at_runtime(&text));
        }
        self.findings.extend(asked.iter().map(|asked| reserved(&machine.memory, asked)));
        Ok(())
    }

    fn processors(&mut self, machine: &Machine, line: &Cmdline) {
        for name in ["isolcpus", "nohz_full"] {
            self.findings.extend(line.value(name).map(|asked| isolated(machine, name, asked)));
        }
    }
}

/// What became of huge pages that were asked for.
fn reserved(memory: &Memory, asked: &AskedPages) -> Finding {
    let AskedPages { size_kib, node, count } = *asked;
    let (pages, on) = match node {
        None => (Some(&memory.huge_pages), String::new()),
        Some(number) => {
            let node = memory.nodes.iter().find(|node| node.number == number);
            (node.map(|node| &node.huge_pages), format!(" on node {number}"))
        }
    };
    let pages = pages.and_then(|pages| pages.iter().find(|pages| pages.size_kib == size_kib));
    let has = pages.map_or(0, |pages| pages.total);
    let text = format!("{has} of {count} huge pages of {size_kib} KiB are reserved{on}");
    Finding { ok: has >= count, text }
}

/// What became of one list of CPUs on the command line.
fn isolated(machine: &Machine, name: &str, asked: &str) -> Finding {
    // `isolcpus=` may begin with words: `nohz,domain,managed_irq,2-7`.
    let list = asked.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (has, option) = match name {
        "isolcpus" => (&machine.cpu.isolated, "CPU_ISOLATION"),
        _ => (&machine.cpu.nohz_full, "NO_HZ_FULL"),
    };
    let release = machine.kernels.running.as_deref();
    let kernel = machine.kernels.installed.iter().find(|k| release == Some(k.release.as_str()));
    let unable = kernel.is_some_and(|k| !k.config.is_empty() && !k.config.contains_key(option));
    match list.parse::<CpuList>() {
        Ok(list) if list == *has => Finding { ok: true, text: format!("{name}={asked} holds") },
        _ if unable && has.is_empty() => {
            let text = format!("{name}={asked} means nothing to this kernel: it has no {option}");
            Finding { ok: true, text }
        }
        _ => {
            let has = if has.is_empty() { "none".to_owned() } else { has.to_string() };
            Finding { ok: false, text: format!("{name}={asked} was asked for, and {has} holds") }
        }
    }
}

fn promise(item: &str) -> Option<Promise> {
    let (address, ids) = item.split_once('=')?;
    Some(Promise { address: address.parse().ok()?, ids: by_id::pair(ids)? })
}

/// What became of every device with these ids.
fn bound_by_id(machine: &Machine, ids: (u16, u16)) -> Vec<Finding> {
    let same = machine.pci.devices().iter().filter(|d| (d.vendor, d.device) == ids);
    let found: Vec<_> =
        same.map(|d| bound(machine, &Promise { address: d.address, ids })).collect();
    if found.is_empty() {
        let text =
            format!("no device is {:04x}:{:04x}, which should be on {VFIO_PCI}", ids.0, ids.1);
        return vec![Finding { ok: false, text }];
    }
    found
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
    let kept = entry.strip_prefix("deploy-vfio-").or_else(|| entry.strip_prefix(STATIC));
    let kept: Option<Address> = kept.and_then(|at| at.parse().ok());
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

/// The parameters of all features.
fn fragments(root: &Root) -> Result<Cmdline> {
    let words = words(&root.names(CMDLINE_D)?, |path| root.text(path))?;
    let words: Vec<String> = words.into_iter().map(|(_, word)| word).collect();
    Ok(words.join(" ").as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Class, HugePages, Kernel, Node, Pci, tree::Tree};

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
    fn a_setup_without_a_menu_is_told_from_its_parameters() {
        let devices = || {
            vec![
                device("0000:01:00.0", (0x1234, 0x1111), "vfio-pci"),
                device("0000:02:00.0", (0x10de, 0x2484), "nouveau"),
            ]
        };
        let parameters = format!("deploy_vfio.entry=static-0000:02:00.0 {BIND}");
        let said = |fragment: &str, line: &str| {
            let tree = Tree::new().file("etc/deploy-vfio/cmdline.d/15-static.conf", fragment);
            let mut machine = Machine { pci: Pci::from_devices(devices()), ..Machine::default() };
            machine.boot.cmdline = line.into();
            let findings = Running::read(&tree.root(), &machine).unwrap().findings;
            findings.into_iter().map(|f| (f.ok, f.text)).collect::<Vec<_>>()
        };
        let running = said(&parameters, &parameters);
        assert!(running.iter().all(|(ok, _)| *ok), "{running:?}");
        assert_eq!(running[0].1, "started with the setup of `deploy-vfio static`");
        let gone = said("quiet", &parameters);
        assert!(gone[0].1.ends_with("no longer deployed: reboot") && !gone[0].0, "{gone:?}");
        let not_yet = said(&parameters, "quiet");
        assert!(not_yet[0].1.contains("before the next boot: deploy_vfio.entry=static-"));
        let by_id = "deploy_vfio.entry=static-0000:01:00.0 vfio-pci.ids=10de:2484,10de:1";
        let faults: Vec<_> = said(by_id, by_id).into_iter().filter(|(ok, _)| !ok).collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].1.ends_with("should be on vfio-pci but is on nouveau"), "{faults:?}");
        assert_eq!(faults[1].1, "no device is 10de:0001, which should be on vfio-pci");
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
    fn pages_are_counted_on_the_node_that_they_were_asked_for_on() {
        let tree = Tree::new().file(RUNTIME_HUGEPAGES, "0 100\n");
        let mut machine = Machine::default();
        machine.boot.cmdline = "hugepagesz=1G hugepages=0:2,1:2".into();
        machine.memory.nodes = [(0, 2, 100), (1, 1, 0)]
            .map(|(number, large, small)| {
                let pages = |size_kib, total| HugePages { size_kib, total, free: 0 };
                let huge_pages = vec![pages(2048, small), pages(1 << 20, large)];
                Node { number, total_kib: 0, huge_pages }
            })
            .into();
        let findings = Running::read(&tree.root(), &machine).unwrap().findings;
        let told: Vec<_> = findings.iter().map(|f| (f.ok, f.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (true, "2 of 2 huge pages of 1048576 KiB are reserved on node 0"),
                (false, "1 of 2 huge pages of 1048576 KiB are reserved on node 1"),
                (true, "100 of 100 huge pages of 2048 KiB are reserved on node 0"),
            ]
        );
    }

    #[test]
    fn cpus_that_are_not_isolated_are_a_fault() {
        let line = "isolcpus=domain,2-3 nohz_full=2-3";
        let told = |isolated: &str, config: &[&str]| {
            let mut machine = Machine::default();
            machine.boot.cmdline = line.into();
            machine.cpu.isolated = isolated.parse().unwrap();
            machine.kernels.running = Some("6.1".into());
            let config = config.iter().map(|o| ((*o).into(), "y".into())).collect();
            let kernel = Kernel { release: "6.1".into(), config, ..Kernel::default() };
            machine.kernels.installed.push(kernel);
            let findings = Running::read(&Root::empty(), &machine).unwrap().findings;
            findings.into_iter().map(|f| (f.ok, f.text)).collect::<Vec<_>>()
        };
        let holds = (true, "isolcpus=domain,2-3 holds".to_owned());
        let none = (false, "nohz_full=2-3 was asked for, and none holds".to_owned());
        assert_eq!(told("2-3", &["NO_HZ_FULL"]), [holds.clone(), none]);
        let unable = "nohz_full=2-3 means nothing to this kernel: it has no NO_HZ_FULL".to_owned();
        assert_eq!(told("2-3", &["CPU_ISOLATION"]), [holds, (true, unable)]);
        assert!(!told("3", &[])[0].0);
    }

    #[test]
    fn a_host_without_a_display_is_a_fault() {
        let devices = vec![device("0000:01:00.0", (0x1234, 0x1111), "vfio-pci")];
        assert_eq!(faults(BIND, devices), ["no display device is left to the host"]);
    }
}

//! A boot entry on trial: what its judge is told, how it judges, and what becomes of it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vfio_cli::{Context, Failure, Usage, programs};
use vfio_core::{
    Address, Root,
    change::{self, Draft},
    grubenv,
    host::{Machine, trial},
    layout::{GRUBENV, TRIAL, TRIAL_CONF, TRIED, VFIO_PCI},
};
use vfio_grub::Entry;

use crate::{
    Wanted,
    declared::{self, declare, declared},
    finish, fixed,
};

const FORMAT: u32 = 1;
/// How long a boot may take to prove itself.
const LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_secs(2);
/// The program that judges, and where it is on another system.
const PROGRAM: &str = "deploy-vfio-trial";
const INSTALLED: &str = "/usr/local/bin/deploy-vfio-trial";

/// What a boot on trial must show, as it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    format: u32,
    /// Counts up each time that it is tried again.
    attempt: u32,
    /// The id of the entry that becomes the default.
    entry: String,
    /// The host's card; none where the host is to have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Whether a screen hung on it.
    screen: bool,
    /// The devices that are to wait for guests.
    guests: Vec<String>,
    /// The devices of the default route.
    route: Vec<String>,
    /// The file in which GRUB notes that it tries it; none where that is its own beside the menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variables: Option<String>,
}

/// The way out where what the trial's file says cannot be carried out.
const WAY_OUT: [&str; 1] = ["`deploy-vfio trial off` ends the trial; the entries stay"];

impl Trial {
    /// What is on trial, as `draft` will have it; `None` when nothing is.
    fn read(draft: &Draft<'_>) -> Result<Option<Self>, Failure> {
        let Some(text) = draft.text(TRIAL)? else { return Ok(None) };
        let wrong = |what: String| Usage::refused(format!("/{TRIAL}: {what}"), &WAY_OUT);
        let trial: Self = toml::from_str(&text).map_err(|error| wrong(error.message().into()))?;
        if trial.format != FORMAT {
            return Err(wrong(format!("it has format {}, not {FORMAT}", trial.format)).into());
        }
        Ok(Some(trial))
    }

    /// Why a boot does not prove itself, now: nothing where it does. `up` says whether all is
    /// started that a boot starts, `writable` whether the root's file system is.
    fn reasons(&self, machine: &Machine, up: bool, writable: bool) -> Vec<String> {
        let driver = |address: &String| {
            let device = machine.pci.get(address.parse().ok()?)?;
            device.driver.clone()
        };
        let mut reasons = Vec::new();
        if !up {
            reasons.push("not all is started that a boot starts".to_owned());
        }
        if !writable {
            reasons.push("the disk of / cannot be written to".to_owned());
        }
        if let Some(host) = &self.host {
            let screen = host.parse::<Address>().ok().map(|card| machine.displays.connected(card));
            match driver(host) {
                None => reasons.push(format!("the host's card {host} has no driver")),
                Some(driver) if driver == VFIO_PCI => {
                    reasons.push(format!("the host's card {host} waits for guests"));
                }
                Some(_) if self.screen && screen != Some(Some(true)) => {
                    reasons.push(format!("no screen hangs on the host's card {host}, as one did"));
                }
                Some(_) => {}
            }
        }
        for guest in self.guests.iter().filter(|guest| driver(guest).as_deref() != Some(VFIO_PCI)) {
            reasons.push(format!("{guest} does not wait for guests"));
        }
        for device in self.route.iter().filter(|device| driver(device).is_none()) {
            reasons.push(format!("{device}, of the default route, has no driver"));
        }
        reasons
    }
}

/// Puts `entry`, which is one of those in `draft`, on trial.
///
/// # Errors
///
/// GRUB cannot note that it tries something; the judge's program is not installed.
pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entry: &Entry,
    of: &vfio_iommu::Entry,
) -> Result<(), Failure> {
    let root = draft.root();
    let variables = trial::notebook(root)?.map_err(|why| {
        let help =
            ["without `--trial`, `multiboot default` leaves the default as it is: choose the new \
             entry in the menu by hand, and make it the default once it works"];
        Usage::refused(format!("nothing can be tried here: {why}"), &help)
    })?;
    let program = match root.is_host() {
        true => programs::helper(None, PROGRAM)?.path.display().to_string(),
        false => INSTALLED.to_owned(),
    };
    let before = Draft::new(root);
    let attempt = match Trial::read(&before).ok().flatten() {
        Some(trial) if trial.entry == entry.id => {
            trial.attempt + u32::from(grubenv::variable(root, TRIED)?.is_some())
        }
        // What was judged before, and taken back, says nothing about this one.
        _ => trial::judged(root) + 1,
    };
    let named = |addresses: Vec<Address>| addresses.iter().map(ToString::to_string).collect();
    let ways = machine.network.interfaces.iter().filter(|interface| interface.default_route);
    let about = Trial {
        format: FORMAT,
        attempt,
        entry: entry.id.clone(),
        host: of.host.map(|host| host.to_string()),
        screen: of.host.is_some_and(|host| machine.displays.connected(host) == Some(true)),
        guests: named(of.bind.iter().map(|(address, ..)| *address).collect()),
        route: named(ways.flat_map(|interface| interface.pci.clone()).collect()),
        variables: Some(variables).filter(|path| path != GRUBENV),
    };
    let text = toml::to_string(&about)
        .map_err(|error| Usage::refused(format!("cannot write down the trial: {error}"), &[]))?;
    let text = format!("# Written by `--trial` of deploy-vfio.\n{text}");
    draft.note(format!(
        "the next boot tries `{}` once; it becomes the default when the desktop is up, and else the \
         default stays as it is: a dark screen needs only the reset button",
        entry.id
    ));
    Ok(vfio_grub::try_once(draft, entry, &program, &text)?)
}

/// Watches a boot on trial until it proves itself, which makes its entry the default, or its time
/// is over, which is written down.
///
/// # Errors
///
/// This is no boot on trial; it does not prove itself.
pub fn judge(cx: &Context) -> Result<(), Failure> {
    let line = cx.machine()?.boot.cmdline;
    let progress = trial::progress(cx.root(), &line)?;
    if !matches!(progress, Some((_, trial::Progress::Runs))) {
        return Err(Usage::refused("this boot is not on trial", &[]).into());
    }
    let Some(about) = Trial::read(&cx.draft())? else { return Ok(()) };
    let end = Instant::now() + LIMIT;
    let reasons = loop {
        let reasons = reasons(cx, &about)?;
        if reasons.is_empty() || Instant::now() > end {
            break reasons;
        }
        std::thread::sleep(PAUSE);
    };
    if reasons.is_empty() {
        cx.say("this boot proved itself");
        return confirm(cx);
    }
    cx.engine(None, |settings| change::set_verdict(cx.root(), about.attempt, &reasons, settings))?;
    Err(Usage::refused(trial::failed(&about.entry, &reasons), &[]).into())
}

fn reasons(cx: &Context, about: &Trial) -> Result<Vec<String>, Failure> {
    let up = programs::succeeds("/usr/bin/systemctl", &["is-active", "--quiet", "default.target"]);
    Ok(about.reasons(&cx.machine()?, up, trial::root_is_writable(cx.root())?))
}

/// Makes the entry that is on trial the default.
///
/// # Errors
///
/// What the engine refuses.
pub fn confirm(cx: &Context) -> Result<(), Failure> {
    let mut draft = cx.draft();
    if let Some(about) = Trial::read(&draft)? {
        let menu = !vfio_grub::tries_no_menu(&draft)?;
        end(cx.root(), &mut draft)?;
        let (entries, _) = vfio_grub::entries(&draft)?;
        // Without a menu the parameters go to the normal entry, once there is no other.
        if menu {
            if entries.iter().all(|entry| entry.id != about.entry) {
                let what =
                    format!("/{TRIAL} names `{}`, and the menu has no such entry", about.entry);
                return Err(Usage::refused(what, &WAY_OUT).into());
            }
            vfio_grub::set_entries(&mut draft, &entries, Some(&about.entry))?;
        }
    }
    finish(cx, draft, &cx.machine()?)
}

/// Whether parameters of ours are in the normal entry.
pub(crate) fn is_of_normal_entry(draft: &Draft<'_>) -> Result<bool, Failure> {
    Ok(vfio_grub::entries(draft)?.0.is_empty() && !vfio_grub::parameters(draft)?.is_empty())
}

/// Why nothing can be tried over those: a trial leaves the default as it is.
pub(crate) const WOULD_LEAVE: &str =
    "what is deployed for the normal entry would leave it meanwhile";

/// The refusal to try what `command` sets up.
pub(crate) fn untried(why: &str, command: &str) -> Failure {
    let without = format!("`{command}` without `--trial`");
    let help = ["`deploy-vfio undo --all` first, then all of it in one operation", &*without];
    Usage::refused(format!("nothing can be tried here: {why}"), &help).into()
}

/// Takes the trial away; the default stays as it is.
///
/// # Errors
///
/// What the engine refuses.
pub fn off(cx: &Context) -> Result<(), Failure> {
    let mut draft = cx.draft();
    let machine = cx.machine()?;
    // Whatever the trial's file says: it may be damaged, or gone.
    if draft.bytes(TRIAL)?.is_some() || draft.bytes(TRIAL_CONF)?.is_some() {
        let menu = !vfio_grub::tries_no_menu(&draft)?;
        end(cx.root(), &mut draft)?;
        if !menu {
            // A setup without a menu would be the normal entry's from now on.
            fixed::plan(&mut draft, &machine, &Wanted::Off)?;
            declared::forget(&mut draft, "static");
        }
    }
    finish(cx, draft, &machine)
}

/// Takes the trial out of the plan, and out of the words that deployed it.
fn end(root: &Root, draft: &mut Draft<'_>) -> Result<(), Failure> {
    vfio_grub::forget_trial(draft);
    let declared = declared(root)?;
    if let Some(Wanted::On(mut words)) = declared.multiboot {
        words.trial = false;
        declare(draft, "multiboot", &Wanted::On(words))?;
    }
    if let Some(Wanted::On(mut words)) = declared.fixed {
        words.trial = false;
        declare(draft, "static", &Wanted::On(words))?;
    }
    Ok(())
}

/// Tells how far the trial got; with `login`, only what somebody who logs in must know.
///
/// # Errors
///
/// A tree that cannot be read.
pub fn report(cx: &Context, login: bool) -> Result<(), Failure> {
    let machine = cx.machine()?;
    let progress = trial::progress(cx.root(), &machine.boot.cmdline)?;
    match trial::finding(cx.root(), &machine.boot.cmdline)? {
        Some(finding) if !login => cx.print(finding.text),
        Some(_) => {
            if let Some((entry, trial::Progress::Failed(because))) = progress {
                cx.print(format!("deploy-vfio: {}", trial::failed(&entry, &because)));
            }
        }
        None if !login => cx.print("nothing is on trial"),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vfio_core::host::{Card, Connector, Displays};
    use vfio_testkit::Description;

    use super::*;

    /// The sample machine with two cards, of which the first waits for guests.
    fn booted() -> (Machine, Trial) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/machines/two-gpus.json");
        let dir = tempfile::tempdir().unwrap();
        Description::read(file.as_ref()).unwrap().lay_out(dir.path()).unwrap();
        let mut machine = Machine::read(&Root::open(dir.path()).unwrap()).unwrap();
        set(&mut machine, "0000:01:00.0", Some(VFIO_PCI));
        let trial = Trial {
            format: FORMAT,
            attempt: 1,
            entry: "deploy-vfio-0000:04:00.0".to_owned(),
            host: Some("0000:04:00.0".to_owned()),
            screen: true,
            guests: vec!["0000:01:00.0".to_owned()],
            route: vec!["0000:00:1f.6".to_owned()],
            variables: None,
        };
        (machine, trial)
    }

    fn set(machine: &mut Machine, address: &str, driver: Option<&str>) {
        let mut devices = machine.pci.devices().to_vec();
        let address: Address = address.parse().unwrap();
        let device = devices.iter_mut().find(|device| device.address == address).unwrap();
        device.driver = driver.map(str::to_owned);
        machine.pci = vfio_core::host::Pci::from_devices(devices);
    }

    #[test]
    fn a_boot_proves_itself_by_everything_that_was_there_before() {
        let (machine, trial) = booted();
        assert_eq!(trial.reasons(&machine, true, true), Vec::<String>::new());
        let reasons = trial.reasons(&machine, false, false);
        assert_eq!(reasons.len(), 2, "{reasons:?}");
    }

    #[test]
    fn whatever_is_missing_is_named() {
        for (address, driver, told) in [
            ("0000:04:00.0", None, "the host's card 0000:04:00.0 has no driver"),
            ("0000:04:00.0", Some(VFIO_PCI), "the host's card 0000:04:00.0 waits for guests"),
            ("0000:01:00.0", Some("nouveau"), "0000:01:00.0 does not wait for guests"),
            ("0000:00:1f.6", None, "0000:00:1f.6, of the default route, has no driver"),
        ] {
            let (mut machine, trial) = booted();
            set(&mut machine, address, driver);
            assert_eq!(trial.reasons(&machine, true, true), [told]);
        }
    }

    #[test]
    fn a_screen_counts_where_one_was() {
        let (mut machine, mut trial) = booted();
        let dark = Connector { name: "DP-1".to_owned(), connected: false, enabled: false };
        let pci = "0000:04:00.0".parse().unwrap();
        let card = Card { name: "card1".to_owned(), pci, connectors: vec![dark] };
        machine.displays = Displays { cards: vec![card] };
        let told = "no screen hangs on the host's card 0000:04:00.0, as one did";
        assert_eq!(trial.reasons(&machine, true, true), [told]);
        machine.displays = Displays::default();
        assert_eq!(trial.reasons(&machine, true, true), [told], "a driver without screens");
        trial.screen = false;
        assert_eq!(trial.reasons(&machine, true, true), Vec::<String>::new());
    }
}

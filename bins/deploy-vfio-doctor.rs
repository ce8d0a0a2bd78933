//! `deploy-vfio doctor`: everything that decides whether devices can be handed to guests here.

use std::process::ExitCode;

use serde_json::json;
use vfio_cli::{Context, Failure, Usage, programs};
use vfio_core::{
    Address, Advice,
    host::{Device, Machine, Names, Platform, Running},
};
use vfio_doctor::{Check, Patient, Verdict};
use vfio_iommu::Reason;

const CARD: &str = "graphics card";

const MORE: &str = "\
Looks at processor, firmware, IOMMU groups, graphics cards, kernels, boot loader and software, and
changes nothing. Each line is PASS, WARN (it may cost something) or FAIL (nothing can be handed over
like this), with what to do. What cannot be told is left out. The exit status is 1 when something
fails. No privilege is needed.

Examples:
  deploy-vfio doctor
      Before anything is set up, and when something does not work.
  deploy-vfio doctor --json
      The same for a program.

See also:
  deploy-vfio groups
  deploy-vfio status";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main(
        "doctor",
        "Tell what keeps devices from guests on this machine",
        |cx, Args {}| run(cx),
    )
}

fn run(cx: &Context) -> Result<(), Failure> {
    let machine = cx.machine()?;
    let platform = Platform::read(cx.root(), &machine.pci);
    let names = Names::read(cx.root(), &machine.pci)?.or_of(&machine);
    let call = |device: &Device| names.call(device);
    let groups = cx.root().text("etc/group").ok().flatten().unwrap_or_default();
    let groups: Vec<String> =
        groups.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    let user = cx.user(None).ok().flatten();
    let mut checks = iommu(&machine, &call);
    checks.extend(vfio_doctor::examine(&Patient {
        machine: &machine,
        platform: &platform,
        user: user.as_ref(),
        groups: &groups,
        call: &call,
    }));
    checks.extend(inputs(&machine));
    checks.extend(own_programs(cx));
    checks.extend(deployed(cx, &machine)?);
    tell(cx, &checks);
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    if failed { Err(Usage::found().into()) } else { Ok(()) }
}

/// Whether others could change what root runs; of the running system only.
fn own_programs(cx: &Context) -> Option<Check> {
    const PROGRAMS: &str = "programs";
    let me = programs::dispatcher().path;
    if !cx.root().is_host() {
        return None;
    }
    Some(match programs::trusted(&me) {
        Ok(()) => Check::pass(PROGRAMS, "only root may change them"),
        Err(failure) => {
            Check::warn(PROGRAMS, failure.to_string(), "`deploy-vfio install` puts them in place")
        }
    })
}

/// The IOMMU, and whether each graphics card can go to a guest.
fn iommu(machine: &Machine, call: &dyn Fn(&Device) -> String) -> Vec<Check> {
    const IOMMU: &str = "IOMMU";
    if !machine.pci.has_groups() {
        let error = vfio_iommu::no_groups(machine);
        let why = [vec![error.to_string()], error.because()].concat().join(": ");
        return vec![Check::fail(IOMMU, why, error.help().join("; "))];
    }
    let units = machine.boot.iommu.units.join(", ");
    let by = if units.is_empty() { String::new() } else { format!(" by {units}") };
    let count = machine.pci.groups().len();
    let mut checks = vec![Check::pass(IOMMU, format!("{count} groups{by}"))];
    let kept = vfio_iommu::protected_groups(machine);
    let displays = machine.pci.devices().iter().filter(|device| device.class.is_display());
    let displays = displays.filter(|device| device.physical.is_none());
    let displays: Vec<&Device> = displays.collect();
    let free = |card: &&&Device| card.group.is_some_and(|group| !kept.contains_key(&group));
    checks.extend(displays.iter().map(|card| {
        let why = card.group.and_then(|group| kept.get(&group));
        graphics(machine, card, &format!("{} {}", card.address, call(card)), why)
    }));
    if !displays.is_empty() && !displays.iter().any(|card| free(&card)) {
        let help = "a second card in a slot of its own group, or `--allow` with its price";
        checks.push(Check::fail(CARD, "none can go to a guest as it is", help));
    }
    checks
}

/// Whether one graphics card can go, with what, or why not.
fn graphics(
    machine: &Machine,
    card: &Device,
    name: &str,
    kept: Option<&Vec<(Address, Reason)>>,
) -> Check {
    let Some(group) = card.group else {
        let why = format!("{name}: in no group, so it stays with the host");
        return Check::warn(CARD, why, "the IOMMU does not translate for it");
    };
    let Some(reasons) = kept else {
        return Check::pass(CARD, format!("{name}: group {group}{}", others(machine, card, group)));
    };
    let hosts = |(address, reason): &(Address, Reason)| {
        *address == card.address
            && matches!(reason, Reason::LastDisplay | Reason::IntegratedDisplay)
    };
    if reasons.iter().all(hosts) {
        return Check::pass(CARD, format!("{name}: keeps the host's screens"));
    }
    let reason = |(address, reason): &(Address, Reason)| match *address == card.address {
        true => reason.to_string(),
        false => format!("{address}: {reason}"),
    };
    let reasons: Vec<String> = reasons.iter().map(reason).collect();
    let why = format!("{name}: stays with the host ({})", reasons.join("; "));
    Check::warn(CARD, why, "`deploy-vfio groups` shows what shares its group")
}

/// What goes along with a card, bridges left out.
fn others(machine: &Machine, card: &Device, group: u32) -> String {
    let groups = machine.pci.groups();
    let mates = groups.get(&group).into_iter().flatten();
    let mates = mates.filter(|mate| mate.address != card.address && !mate.class.is_bridge());
    let mates: Vec<String> = mates.map(|mate| mate.address.to_string()).collect();
    if mates.is_empty() { ", alone".to_owned() } else { format!(", with {}", mates.join(", ")) }
}

/// Keyboards and mice that could be shared by `deploy-vfio evdev`.
fn inputs(machine: &Machine) -> Vec<Check> {
    const INPUTS: &str = "keyboard and mouse";
    if machine.inputs.devices.is_empty() {
        return Vec::new();
    }
    match vfio_evdev::devices(&machine.inputs, &[]) {
        Ok((devices, left_out)) => {
            let why = format!("with names that stay: {}", devices.len());
            let left = left_out.iter().map(|left| {
                Check::warn(INPUTS, format!("left out: {left}"), "it cannot be shared with guests")
            });
            std::iter::once(Check::pass(INPUTS, why)).chain(left).collect()
        }
        Err(error) => {
            let help = "`deploy-vfio evdev` cannot share them; a USB device passes through whole";
            vec![Check::warn(INPUTS, error.to_string(), help)]
        }
    }
}

/// What is deployed and not in force, as `deploy-vfio status` says it.
fn deployed(cx: &Context, machine: &Machine) -> Result<Vec<Check>, Failure> {
    const DEPLOYED: &str = "deployed";
    if !cx.root().is_host() && cx.global().machine.is_none() {
        return Ok(Vec::new());
    }
    let findings = Running::read(cx.root(), machine)?.findings;
    let fail = |text| Check::fail(DEPLOYED, text, "`deploy-vfio status` shows all of it");
    Ok(findings
        .into_iter()
        .map(|finding| match finding.ok {
            true => Check::pass(DEPLOYED, finding.text),
            false => fail(finding.text),
        })
        .collect())
}

fn tell(cx: &Context, checks: &[Check]) {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    if cx.global().json {
        let json = |check: &Check| {
            let verdict = check.verdict.to_string().to_lowercase();
            json!({ "verdict": verdict, "about": check.about, "why": check.why, "help": check.help })
        };
        let ok = count(Verdict::Fail) == 0;
        let checks: Vec<_> = checks.iter().map(json).collect();
        return vfio_cli::json::print(json!({ "ok": ok, "checks": checks }));
    }
    for Check { verdict, about, why, help } in checks {
        cx.print(format!("{verdict}  {about:<20} {why}"));
        if let Some(help) = help {
            cx.print(format!("{:<6}{:<20} -> {help}", "", ""));
        }
    }
    let (pass, warn, fail) = (count(Verdict::Pass), count(Verdict::Warn), count(Verdict::Fail));
    cx.print(format!("{pass} passed, {warn} to look at, {fail} failed"));
}

//! What must hold on every release.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::daemon::{self, GUEST};
use super::guest;
use super::system::{System, USER, unpacked};
use crate::vm::host;

/// Texts that libvirt reads, and texts that it does not.
const SYNTAX: &str = include_str!("../../../crates/vfio-core/tests/fixtures/qemu-conf-syntax");

/// The older way, which changes `qemu.conf`.
const BY_QEMU: [&str; 4] = ["evdev", "--qemu-conf", "--user", USER];

/// What a person has made of the package's `qemu.conf`, and on which machine.
struct Edited {
    name: &'static str,
    machine: &'static str,
    edit: fn(&str) -> String,
    /// Whether a list of their own is in it, of which one line may change.
    list: bool,
}

const EDITED: [Edited; 3] = [
    Edited { name: "by-hand", machine: "many-inputs", edit: by_hand, list: false },
    Edited { name: "own-list", machine: "old-libvirt", edit: own_list, list: true },
    Edited { name: "crlf", machine: "many-inputs", edit: crlf, list: true },
];

fn by_hand(text: &str) -> String {
    let own = "# guests run as me\nuser = \"anna\"   # by hand\n\
               \tvnc_listen='127.0.0.1' ; spice_listen = \"127.0.0.1\";\n";
    text.replacen('\n', &format!("\n{own}"), 1)
}

fn own_list(text: &str) -> String {
    let own = "# for the dongle\ncgroup_device_acl = [\n    \"/dev/null\", \"/dev/full\", \"/dev/zero\",\n    \
               \"/dev/random\", \"/dev/urandom\", \"/dev/ptmx\", \"/dev/kvm\",\n    \"/dev/ttyUSB0\"\n]";
    format!("{}\n\n{own}", text.trim_end())
}

fn crlf(text: &str) -> String {
    let own = "cgroup_device_acl=['/dev/null','/dev/kvm','/dev/ttyUSB0',]# mine\n";
    format!("{own}{text}").replace('\n', "\r\n")
}

/// Runs every check on `release`, and tells libvirt's version.
pub fn all(release: &str, program: &Path, rebuild: bool, keep: bool) -> Result<String> {
    let base = unpacked(release, rebuild)?;
    let dir = host::target().join("libvirt").join(release);
    let copy = |name, machine| System::copy(&base, dir.join(name), machine, program);
    for edited in &EDITED {
        let system = copy(edited.name, edited.machine)?;
        edits_are_kept(&system, edited).with_context(|| format!("qemu.conf {}", edited.name))?;
    }
    let system = copy("untouched", "old-libvirt")?;
    let (number, version) = system.version()?;
    plain(&system, number >= 7004).context("without --qemu-conf")?;
    let system = copy("broken", "many-inputs")?;
    broken_is_noticed(&system).context("a broken qemu.conf")?;
    syntax(&system).context("the syntax of qemu.conf")?;
    let system = copy("guest", "two-gpus")?;
    let definer = program.with_file_name("vfio-define");
    fs::copy(definer, system.root.join("root/vfio-define")).context("vfio-define")?;
    // A program that was built here needs a C library that is not older.
    guest::checks(&system, number >= 9000).context("a guest")?;
    if !keep {
        fs::remove_dir_all(&dir)?;
    }
    Ok(version)
}

/// An edited `qemu.conf` with the devices in it is read, and comes back as it was.
fn edits_are_kept(system: &System, edited: &Edited) -> Result<()> {
    let theirs = (edited.edit)(&system.conf()?);
    system.set_conf(&theirs)?;
    let before = system.etc()?;
    daemon::answers(&system.root, "").context("before")?;
    for take_back in [&["evdev", "off"][..], &["undo", "--all"]] {
        let told = system.deploy(&BY_QEMU)?;
        nothing_is_lost(&theirs, &system.conf()?, usize::from(edited.list))?;
        defines(system, &told)?;
        daemon::answers(&system.root, APPARMOR)?;
        let again = system.deploy_vfio(&[&BY_QEMU[..], &["--yes"]].concat())?;
        ensure!(again.starts_with("Nothing to do.\n"), "the second time: {again}");
        system.deploy_vfio(&[take_back, &["--yes"]].concat())?;
        ensure!(system.conf()? == theirs, "{take_back:?} leaves another qemu.conf");
    }
    let difference = before.diff(&system.etc()?);
    ensure!(difference.is_empty(), "undo --all leaves something behind:\n{difference}");
    Ok(())
}

/// A profile with the rules for guests is read, and event nodes are in it; no kernel is told.
const APPARMOR: &str = r"
    printf '#include <tunables/global>\nprofile guest {\n#include <%s>\n}\n' \
        abstractions/libvirt-qemu > /tmp/profile
    apparmor_parser --skip-kernel-load --skip-cache /tmp/profile
    apparmor_parser --preprocess /tmp/profile | grep -F '/dev/input/event[0-9]* rw,'";

/// All lines of `before` are in `after`; of `changed` lines only what comes before the list's end.
fn nothing_is_lost(before: &str, after: &str, changed: usize) -> Result<()> {
    let lines: Vec<&str> = after.split('\n').collect();
    let gone: Vec<&str> = before.split('\n').filter(|line| !lines.contains(line)).collect();
    let kept = |line: &&str| {
        let (members, _) = line.split_once(']').unwrap_or((line, ""));
        after.contains(members.trim_end_matches(','))
    };
    ensure!(gone.len() <= changed && gone.iter().all(kept), "lines of theirs are lost: {gone:?}");
    ensure!(before != after, "nothing was changed");
    Ok(())
}

/// The default: `qemu.conf` stays where libvirt knows the devices by itself.
fn plain(system: &System, native: bool) -> Result<()> {
    let before = system.conf()?;
    let told = system.deploy(&["evdev", "--user", USER])?;
    ensure!((system.conf()? == before) == native, "qemu.conf changed, or did not");
    let place = if native { "devices" } else { "domain" };
    ensure!(told["evdev"]["xml"]["inside"] == place, "the wrong form: {told}");
    defines(system, &told)?;
    // What the daemon would not take must be noticed.
    let mut wrong = told;
    let xml = wrong["evdev"]["xml"]["text"].as_str().unwrap_or_default().replace("/dev/input", "<");
    wrong["evdev"]["xml"]["text"] = xml.into();
    ensure!(defines(system, &wrong).is_err(), "a wrong definition was taken");
    system.deploy(&["evdev", "off"]).map(|_| ())
}

/// The daemon takes a guest with the XML that was printed, and would start QEMU with each device.
fn defines(system: &System, told: &Value) -> Result<()> {
    let xml = told["evdev"]["xml"]["text"].as_str().context("the XML")?;
    let devices = told["evdev"]["devices"].as_array().context("the devices")?.len();
    let (inner, outer) = match told["evdev"]["xml"]["inside"].as_str() {
        Some("devices") => (xml, ""),
        Some("domain") => ("", xml),
        other => bail!("the XML is for the inside of {other:?}"),
    };
    let commands = format!(
        "cat > /tmp/guest.xml <<'END'\n<domain type='qemu'><name>{GUEST}</name>\
         <memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>\n\
         <devices>\n{inner}</devices>\n{outer}</domain>\nEND\n\
         virsh -q -c qemu:///system define --validate /tmp/guest.xml\n\
         virsh -q -c qemu:///system domxml-to-native qemu-argv --domain {GUEST}\n"
    );
    let line = daemon::answers(&system.root, &commands)?;
    let found = line.matches("input-linux").count();
    ensure!(found == devices, "QEMU is given {found} devices, not {devices}: {line}");
    Ok(())
}

/// The check can fail: a daemon that cannot read its configuration does not answer.
fn broken_is_noticed(system: &System) -> Result<()> {
    let before = system.conf()?;
    for wrong in
        ["cgroup_device_acl = [\n    \"/dev/null\",\n", "cgroup_device_acl = \"/dev/null\"\n"]
    {
        system.set_conf(&format!("{before}{wrong}"))?;
        let told = daemon::ask(&system.root, "")?;
        ensure!(told.answer.is_none(), "the daemon started with {wrong:?}");
        ensure!(daemon::answers(&system.root, "").is_err(), "nobody noticed {wrong:?}");
        let refused = system.deploy(&BY_QEMU);
        ensure!(refused.is_err(), "deploy-vfio edited {wrong:?}");
    }
    Ok(())
}

/// Daemon and deploy-vfio agree on what a configuration is.
fn syntax(system: &System) -> Result<()> {
    for line in SYNTAX.lines().filter(|line| !line.starts_with("# ")) {
        let (wanted, text) = line.split_once(' ').context("the table of syntax")?;
        let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\f", "\u{c}")];
        let text = escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        system.set_conf(&text)?;
        let reads = daemon::ask(&system.root, "")?.answer.is_some();
        ensure!(reads == (wanted == "reads"), "the daemon differs: {line}");
        let edits = system.deploy(&[&BY_QEMU[..], &["--dry-run"]].concat()).is_ok();
        ensure!(edits == reads, "deploy-vfio differs from the daemon: {line}");
    }
    Ok(())
}

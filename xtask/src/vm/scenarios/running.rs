//! What needs no reboot: the diagnosis, keyboards and mice for guests, and huge pages while the system runs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::checks::{status_says, works};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// A file of libvirt that somebody has edited.
const QEMU_CONF: &str = "# a comment of the user's\nuser = \"anna\"\n#cgroup_device_acl = [\n\
    #    \"/dev/null\", \"/dev/full\"\n#]\nmax_processes = 4096\n";

/// Devices by libvirt, then by QEMU's command line; pages now and at the next boot; all taken back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut machine = Machine::a().plug(9, Card::UsbPointers);
    machine.ps2 = true;
    let mut a = rig.boot(&machine)?;
    a.ok("groupadd -f libvirt && useradd anna")?;
    a.write("/etc/libvirt/qemu.conf", "0600", QEMU_CONF)?;
    let before = a.etc_fingerprint()?;

    diagnosed(&mut a)?;
    installed(&mut a)?;
    let devices = by_libvirt(&mut a)?;
    let now = a.etc_fingerprint()?;
    let touched = difference(&before, &now);
    let foreign =
        |line: &&str| !line.starts_with("/etc/deploy-vfio") && !line.starts_with("/etc: ");
    ensure!(touched.lines().find(foreign).is_none(), "libvirt's own way touched:\n{touched}");
    by_command_line(&mut a, &devices)?;
    pages(&mut a)?;

    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == before, "undo left /etc different:\n{}", difference(&before, &now));
    status_says(&mut a, "nothing is deployed")?;
    a.power_off()?;
    Ok(())
}

/// A machine that has everything but a processor for guests: QEMU's own shows no VT-x.
fn diagnosed(a: &mut Guest) -> Result<()> {
    let said = a.fails("deploy-vfio doctor", 1)?;
    for finding in [
        "FAIL  virtualization       the processor shows no VT-x",
        "PASS  IOMMU ",
        "PASS  interrupt remapping  interrupts are remapped",
        "WARN  twin cards ",
        "PASS  kernels ",
        "PASS  keyboard and mouse   with names that stay: 5",
    ] {
        ensure!(said.contains(finding), "no `{finding}`:\n{said}");
    }
    ensure!(said.ends_with(" 1 failed"), "more than the processor fails:\n{said}");
    Ok(())
}

/// The programs install and remove themselves; what was there stays.
fn installed(a: &mut Guest) -> Result<()> {
    let tree = a.fingerprint("/opt")?;
    let line = "deploy-vfio install --prefix /opt/deploy-vfio --yes";
    a.ok(line)?;
    let again = a.ok(line)?;
    ensure!(again.contains("Nothing to do."), "the second run: {again}");
    let own = "/opt/deploy-vfio/bin/deploy-vfio";
    a.ok("cd /opt/deploy-vfio && sha256sum --quiet -c share/deploy-vfio/installed.sha256")?;
    a.ok(&format!(
        "cmp $({own} list | grep -q multiboot && echo {own}) /usr/local/bin/deploy-vfio"
    ))?;
    a.ok(&format!("{own} uninstall --prefix /opt/deploy-vfio --yes"))?;
    a.ok("! test -e /opt/deploy-vfio/bin/deploy-vfio")?;
    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.fingerprint("/opt")?;
    ensure!(now == tree, "left below /opt:\n{}", difference(&tree, &now));
    Ok(())
}

/// Two keyboards and three pointers, each once, by names that stay.
fn by_libvirt(a: &mut Guest) -> Result<Vec<String>> {
    let said: Value = serde_json::from_str(&a.ok("deploy-vfio evdev --yes --json 2>/dev/null")?)?;
    let devices = said["evdev"]["devices"].as_array().context("no devices")?;
    let keyboards = devices.iter().filter(|device| device["keyboard"] == true).count();
    ensure!(keyboards == 2 && devices.len() == 5, "{devices:?}");
    let mut nodes = BTreeSet::new();
    let mut paths = Vec::new();
    for device in devices {
        let path = device["path"].as_str().context("no path")?.to_owned();
        ensure!(path.starts_with("/dev/input/by-"), "{path} may change");
        let node = a.ok(&format!("test -c {path} && readlink -f {path}"))?;
        ensure!(node.starts_with("/dev/input/event"), "{path} is {node}");
        ensure!(nodes.insert(node), "{path} is there twice");
        paths.push(path);
    }
    Ok(paths)
}

/// The older way: the user's own words in qemu.conf stay, the user is in both groups.
fn by_command_line(a: &mut Guest, devices: &[String]) -> Result<()> {
    let line = "deploy-vfio evdev --qemu-conf --user anna --yes";
    a.ok(line)?;
    let again = a.ok(line)?;
    ensure!(again.contains("Nothing to do."), "the second run: {again}");
    let conf = a.ok("cat /etc/libvirt/qemu.conf")?;
    let kept = |line: &str| conf.lines().any(|other| other == line);
    ensure!(QEMU_CONF.lines().all(kept), "the user's words are gone:\n{conf}");
    for device in devices.iter().map(String::as_str).chain(["/dev/null", "/dev/full"]) {
        ensure!(conf.contains(&format!("\"{device}\"")), "no {device} in\n{conf}");
    }
    let groups = a.ok("id -nG anna")?;
    for group in ["libvirt", "input"] {
        ensure!(groups.split(' ').any(|other| other == group), "anna is in {groups}");
    }
    Ok(())
}

/// Pages now, at the next boot without a parameter, and given back.
fn pages(a: &mut Guest) -> Result<()> {
    let count = |a: &mut Guest, wanted: u32| {
        a.ok(&format!("grep 'HugePages_Total: *{wanted}$' /proc/meminfo"))
    };
    a.ok("deploy-vfio hugepages 2M 64 --runtime --yes")?;
    count(a, 0)?;
    a.ok("systemctl restart deploy-vfio-hugepages.service")?;
    count(a, 64)?;
    a.reboot()?;
    count(a, 64)?;
    ensure!(!a.cmdline()?.contains("hugepages"), "the command line has pages");
    a.ok("deploy-vfio status")?;
    works(a)?;
    a.ok("systemctl stop deploy-vfio-hugepages.service")?;
    count(a, 0)?;
    Ok(())
}

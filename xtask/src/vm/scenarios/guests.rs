//! Guests of a real libvirt and a real QEMU: what happens when they start, run beside each other and
//! stop.

use anyhow::{Result, ensure};

use super::checks::{DRM, VFIO, works};
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

/// A name that every shell, unit and path could stumble over.
const ODD: &str = r#"win 10-"x"'$(reboot)`"#;
/// It as a part of a unit's name.
const ODD_UNIT: &str = r"win\x2010\x2d\x22x\x22\x27\x24\x28reboot\x29\x60";
const UNITS: [&str; 3] = ["init.scope", "system.slice", "user.slice"];

/// Deployed, guests in every order, taken back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    a.ok("systemctl start virtlogd.socket libvirtd.service && virsh --quiet version")?;
    define(&mut a)?;
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio libvirt-hooks --yes")?;
    a.ok("deploy-vfio dynamic --yes")?;

    overlap(&mut a)?;
    again_and_again(&mut a)?;
    held(&mut a)?;
    killed(&mut a)?;
    given(&mut a)?;
    works(&mut a)?;

    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.ok("! test -e /usr/local/lib/deploy-vfio")?;
    a.power_off()?;
    Ok(())
}

/// One guest with the second card and a NIC, one with an odd name, one with neither; all pinned. A name that leads to
/// another directory is libvirt's to refuse.
fn define(a: &mut Guest) -> Result<()> {
    let mut devices = String::new();
    for card in [Card::SecondVga, Card::Nic(1)] {
        let address = a.address(card)?;
        let bus = address.get(5..7).unwrap_or_default().to_owned();
        devices += &format!(
            "<hostdev mode='subsystem' type='pci' managed='yes'><source>\
             <address domain='0x0000' bus='0x{bus}' slot='0x00' function='0x0'/></source></hostdev>"
        );
    }
    a.write("/root/devices.xml", "0644", &domain("devices", 1, &devices))?;
    let odd = ODD.replace('"', "&quot;").replace('\'', "&apos;");
    a.write("/root/odd.xml", "0644", &domain(&odd, 2, ""))?;
    a.write("/root/path.xml", "0644", &domain("../x", 3, ""))?;
    a.write("/root/plain.xml", "0644", &domain("plain", 1, ""))?;
    a.ok("for name in devices odd plain; do virsh define /root/$name.xml || exit; done")?;
    a.fails("virsh define /root/path.xml", 1).map(|_| ())
}

fn domain(name: &str, cpu: u32, devices: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <cputune><vcpupin vcpu='0' cpuset='{cpu}'/></cputune>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{devices}\
         <memballoon model='none'/></devices></domain>\n"
    )
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// Two guests beside each other, and a daemon that begins anew meanwhile.
fn overlap(a: &mut Guest) -> Result<()> {
    allowed(a, "")?;
    a.ok("virsh start devices")?;
    on(a, [VFIO, VFIO])?;
    allowed(a, "0 2-3")?;
    a.ok("systemctl is-active deploy-vfio-nosleep@devices.service")?;
    a.ok(&format!("virsh start {}", quoted(ODD)))?;
    allowed(a, "0 3")?;
    let unit = format!("deploy-vfio-nosleep@{ODD_UNIT}.service");
    a.ok(&format!("systemctl is-active '{unit}'"))?;
    let weight = "systemctl show -P CPUWeight 'machine-qemu*devices.scope'";
    ensure!(a.ok(weight)? == "1000", "QEMU's share");

    a.ok("systemctl restart libvirtd.service")?;
    ensure!(a.ok("virsh list --name | grep -c .")? == "2", "guests did not outlive the daemon");
    allowed(a, "0 3")?;
    a.ok("virsh destroy devices")?;
    allowed(a, "0-1 3")?;
    on(a, [DRM, "e1000e"])?;
    a.ok(&format!("virsh destroy {}", quoted(ODD)))?;
    allowed(a, "")?;
    a.fails(&format!("systemctl is-active '{unit}'"), 3).map(|_| ())
}

/// The devices come back each time, with what hangs on them.
fn again_and_again(a: &mut Guest) -> Result<()> {
    let card = a.address(Card::SecondVga)?;
    for _ in 0..3 {
        a.ok("virsh start devices")?;
        on(a, [VFIO, VFIO])?;
        a.ok("virsh destroy devices")?;
        on(a, [DRM, "e1000e"])?;
        a.ok(&format!("ls /sys/bus/pci/devices/{card}/drm"))?;
    }
    Ok(())
}

/// A process has the card open: it is named, and nothing is taken.
fn held(a: &mut Guest) -> Result<()> {
    let card = a.address(Card::SecondVga)?;
    let node = a.ok(&format!("basename /sys/bus/pci/devices/{card}/drm/card*"))?;
    a.ok(&format!(
        "systemd-run --quiet --unit=holder sh -c 'exec 9</dev/dri/{node}; exec sleep 999'"
    ))?;
    let refused = a.fails("sleep 1; virsh start devices", 1)?;
    let told = format!("{card} is in use: sleep (process");
    ensure!(refused.contains(&told) && refused.contains(&node), "{refused}");
    on(a, [DRM, "e1000e"])?;
    allowed(a, "")?;
    a.ok("systemctl stop holder").map(|_| ())
}

/// The hook is killed while it takes devices: whatever libvirt makes of it, everything is back.
fn killed(a: &mut Guest) -> Result<()> {
    a.write("/root/kill-hook", "0755", KILL_HOOK)?;
    let mut kills = 0;
    for pause in ["0", "0.02", "0.05", "0.1", "0.2"] {
        let line = format!("/root/kill-hook {pause} & virsh start devices; wait");
        kills += u32::from(a.run(&line)?.text.contains("killed it"));
        a.run("virsh destroy devices")?;
        on(a, [DRM, "e1000e"])?;
        allowed(a, "")?;
        a.ok("! grep devices /run/deploy-vfio/guests.json")?;
    }
    ensure!(kills > 2, "the hook was killed {kills} times of five");
    a.ok("virsh start devices && virsh destroy devices").map(|_| ())
}

/// Waits for the hook, and for a moment more, and kills it.
const KILL_HOOK: &str = r#"#!/bin/bash
for i in {1..2000}; do
    for comm in /proc/[0-9]*/comm; do
        read -r name 2>/dev/null <$comm || continue
        [ "$name" = guest-hook ] || continue
        pid=${comm#/proc/}
        sleep $1
        kill -KILL "${pid%/comm}" && echo "killed it"
        exit
    done
done
"#;

/// A guest is given what it needs, libvirt accepts it, it starts with it; what libvirt does not accept
/// changes nothing; undo brings the earlier definition back.
fn given(a: &mut Guest) -> Result<()> {
    const FILE: &str = "/etc/libvirt/qemu/plain.xml";
    let stands = format!("stat -c '%a %u:%g %Y' {FILE}; sha256sum {FILE}");
    let (before, file) = (a.ok("virsh dumpxml --inactive plain")?, a.ok(&stands)?);

    let mut groups = Vec::new();
    for card in [Card::SecondVga, Card::Nic(1)] {
        let address = a.address(card)?;
        let link = format!("/sys/bus/pci/devices/{address}/iommu_group");
        groups.push(a.ok(&format!("basename \"$(readlink {link})\""))?);
    }
    a.ok("deploy-vfio hugepages 2M 64 --runtime --yes")?;
    a.ok("systemctl restart deploy-vfio-hugepages.service")?;
    let give = format!("deploy-vfio guest plain --parse {} --define --yes", groups.join(","));
    a.ok(&give)?;
    let now = a.ok("virsh dumpxml --inactive plain")?;
    let needs = ["bus='0x02'", "managed='yes'", "<emulatorpin", "<page size='2048'", "cpuset='2'"];
    for need in needs {
        ensure!(now.contains(need), "{need} is not in\n{now}");
    }
    ensure!(a.ok(&give)?.contains("Nothing to do."), "the second time");
    a.ok("deploy-vfio status")?;
    a.ok("virsh start plain")?;
    on(a, [VFIO, VFIO])?;
    a.ok("virsh destroy plain")?;
    on(a, [DRM, "e1000e"])?;

    let with = a.ok(&stands)?;
    a.write("/root/draft", "0755", &WRONG.replace("FILE", FILE))?;
    let refused = a.fails("/root/draft | deploy-vfio apply - --yes", 1)?;
    ensure!(refused.contains("libvirt does not accept the guest"), "{refused}");
    ensure!(a.ok(&stands)? == with, "a refused definition is there");

    // The daemons are told to look again, and take a moment.
    a.ok("deploy-vfio undo --yes && sleep 3")?;
    ensure!(a.ok("virsh dumpxml --inactive plain")? == before, "undo brings something else");
    ensure!(a.ok(&stands)? == file, "undo left the file different");
    a.ok("virsh start plain && virsh destroy plain").map(|_| ())
}

/// Prints a draft with a definition that the schema does not know.
const WRONG: &str = r#"#!/bin/sh
text=$(sed -e 's/<acpi/<acpii/' -e 's/$/\\n/' FILE | tr -d '\n')
printf '{"format":1,"files":{"FILE":"%s"}}' "$text" | sed 's,"/etc,"etc,'
"#;

/// The drivers of the second card and of the second NIC.
fn on(a: &mut Guest, wanted: [&str; 2]) -> Result<()> {
    let drivers = a.drivers()?;
    let has = [Card::SecondVga, Card::Nic(1)];
    for (card, wanted) in has.into_iter().zip(wanted) {
        let driver = &drivers[&a.address(card)?];
        ensure!(driver == wanted, "{card:?} is on `{driver}`, not on `{wanted}`");
    }
    Ok(())
}

/// The CPUs that the host's programs keep to; empty for all.
fn allowed(a: &mut Guest, cpus: &str) -> Result<()> {
    for unit in UNITS {
        let is = a.ok(&format!("systemctl show -P AllowedCPUs {unit}"))?;
        ensure!(is == cpus, "{unit} may use `{is}`, not `{cpus}`");
        // What systemd says of itself is one thing, what the kernel does another.
        let file = format!("/sys/fs/cgroup/{unit}/cpuset.cpus.effective");
        let wanted = if cpus.is_empty() { "0-3".to_owned() } else { cpus.replace(' ', ",") };
        let is = a.ok(&format!("cat {file} 2>/dev/null || echo {wanted}"))?;
        ensure!(is == wanted, "{unit} has the CPUs `{is}`, not `{wanted}`");
    }
    Ok(())
}

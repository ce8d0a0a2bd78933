//! A guest with everything that it needs: a real libvirt validates and accepts it, and what libvirt
//! makes of it lacks nothing.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::daemon::{self, GUEST};
use super::system::{System, USER};

/// The definition, in the system.
const FILE: &str = "root/guest.xml";
/// The program that asks libvirt, there.
const DEFINER: &str = "root/vfio-define";
/// Where the first line of what libvirt says of the guest is.
const MARK: &str = "-- inactive --";

/// A guest of a person's, with some of what is needed written otherwise.
const PLAIN: &str = "<domain type='qemu'>
  <name>guest</name>
  <memory unit='GiB'>2</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <features>
    <acpi/>
    <hyperv>
      <relaxed state='on'/>
    </hyperv>
  </features>
  <cpu mode='custom' match='exact'>
    <model>qemu64</model>
    <topology sockets='2' cores='1' threads='1'/>
  </cpu>
  <!-- by hand -->
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='virtio'/>
  </devices>
</domain>
";

/// Patched, validated, accepted; then again what libvirt has written.
pub fn checks(system: &System, asks_itself: bool) -> Result<()> {
    let file = system.root.join(FILE);
    for words in [
        &["evdev", "--user", USER][..],
        &["looking-glass", "2560x1440", "--user", USER],
        &["scream", "--user", USER],
        &["hugepages", "2M", "512", "--runtime"],
    ] {
        system.deploy(words)?;
    }
    fs::write(&file, PLAIN)?;
    patch(system)?;
    let patched = fs::read_to_string(&file)?;
    for theirs in
        ["<!-- by hand -->", "<relaxed state='on'/>", "match='exact'", "qemu64", "'GiB'>2<"]
    {
        ensure!(patched.contains(theirs), "`{theirs}` of the guest is lost:\n{patched}");
    }
    let accepted = accept(system, asks_itself)?;
    let (before, words) = accepted.split_once(MARK).context("what libvirt made of it")?;
    ensure!(before.contains("validates"), "virt-xml-validate: {before}");
    let needs = [
        "<vcpupin vcpu='1' ",
        "<emulatorpin ",
        "<iothreadpin ",
        "<page size='2048' unit='KiB'/>",
        "<hidden state='on'/>",
        "<vendor_id state='on' value='deployvfio'/>",
        "<memballoon model='none'/>",
        "<shmem name='looking-glass'>",
        "<shmem name='scream-ivshmem'>",
        "bus='0x01' slot='0x00' function='0x3'/>",
    ];
    for need in needs {
        ensure!(words.contains(need), "libvirt lost `{need}`:\n{words}");
    }
    fs::write(&file, words.trim_start())?;
    let again = patch(system)?;
    ensure!(again.starts_with("Nothing to do.\n"), "libvirt's own words lack something: {again}");
    if asks_itself {
        refused(system)?;
    }
    Ok(())
}

fn patch(system: &System) -> Result<String> {
    let file = format!("/{FILE}");
    // The display of the firmware is in group 1, and the host keeps another.
    system.deploy_vfio(&["guest", GUEST, "--parse", "1", "--patch", &file, "--yes"])
}

/// Has the daemon accept the file, and tells what it made of it.
fn accept(system: &System, asks_itself: bool) -> Result<String> {
    let define = match asks_itself {
        true => format!("/{DEFINER} /{FILE}"),
        false => format!("virsh -q -c qemu:///system define --validate /{FILE}"),
    };
    let commands = format!(
        "virt-xml-validate /{FILE} domain 2>&1\n{define}\necho '{MARK}'\n\
         virsh -q -c qemu:///system dumpxml --inactive {GUEST}\n"
    );
    daemon::answers(&system.root, &commands)
}

/// What libvirt does not accept is told in its words, and so is a daemon that is not there.
fn refused(system: &System) -> Result<()> {
    fs::write(system.root.join(FILE), PLAIN.replace("<acpi/>", "<acpii/>"))?;
    let told = daemon::answers(
        &system.root,
        &format!(
            "if /{DEFINER} /{FILE} 2>&1; then exit 1; fi\n\
             if /{DEFINER} /{FILE} qemu+unix:///system?socket=/nowhere 2>&1; then exit 1; fi\n\
             if virsh -q -c qemu:///system list --all --name | grep .; then exit 1; fi\n"
        ),
    )?;
    ensure!(told.contains("libvirt does not accept the guest: "), "{told}");
    ensure!(told.contains("libvirt does not answer at qemu+unix"), "{told}");
    Ok(())
}

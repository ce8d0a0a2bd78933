//! What must not happen: a failing generator, a user's edit lost, more pages than there is memory.

use anyhow::{Result, ensure};

use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::rig::Rig;
use crate::vm::topology::Machine;

/// Refused and failed operations leave the machine as it was; huge pages without a menu work.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    let said = a.fails("deploy-vfio hugepages 1G 64 --yes", 6)?;
    ensure!(said.contains("at most 1, leaving 4 GiB"), "{said}");
    hostile_names(&mut a)?;
    unseen_edit(&mut a)?;
    broken_generator(&mut a)?;
    edit_in_the_middle(&mut a)?;

    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio hugepages 2M 256 --yes")?;
    a.reboot()?;
    a.ok("grep -q 'HugePages_Total: *256$' /proc/meminfo")?;
    a.ok("deploy-vfio hugepages off --yes")?;
    a.reboot()?;
    a.ok("grep -q 'HugePages_Total: *0$' /proc/meminfo")?;
    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "/etc differs:\n{}", difference(&etc, &now));
    a.power_off()?;
    Ok(())
}

/// An edit of the user's that is in no menu yet would change the normal entry: refused, with both.
fn unseen_edit(a: &mut Guest) -> Result<()> {
    let line = "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX unseen=1\"\n";
    a.write("/etc/default/grub.d/zz-mine.cfg", "0644", line)?;
    let etc = a.etc_fingerprint()?;
    let boot = files(a.fingerprint("/boot")?);
    let said = a.fails("deploy-vfio hugepages 2M 256 --yes", 7)?;
    ensure!(said.contains("unseen=1") && said.contains("run `update-grub`"), "{said}");
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "a refusal left /etc different:\n{}", difference(&etc, &now));
    let now = files(a.fingerprint("/boot")?);
    ensure!(now == boot, "a refusal left /boot different:\n{}", difference(&boot, &now));
    a.ok("rm /etc/default/grub.d/zz-mine.cfg")?;
    Ok(())
}

/// A script of the user's in /etc/grub.d fails: everything goes back, its last lines are told.
fn broken_generator(a: &mut Guest) -> Result<()> {
    a.write("/etc/grub.d/42_mine", "0755", "#!/bin/sh\necho it broke here >&2\nexit 3\n")?;
    let etc = a.etc_fingerprint()?;
    let boot = a.fingerprint("/boot")?;
    let said = a.fails("deploy-vfio hugepages 2M 256 --yes", 1)?;
    ensure!(said.contains("it broke here"), "the message does not show the last lines:\n{said}");
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "a failure left /etc different:\n{}", difference(&etc, &now));
    let now = files(a.fingerprint("/boot")?);
    let boot = files(boot);
    ensure!(now == boot, "a failure left /boot different:\n{}", difference(&boot, &now));
    a.ok("rm /etc/grub.d/42_mine")?;
    Ok(())
}

/// Directories get new times when a staging file comes and goes; files must not change at all.
fn files(
    prints: std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    prints.into_iter().filter(|(_, print)| print.starts_with('f')).collect()
}

/// The user saves /etc/default/grub while update-grub runs: the edit survives.
fn edit_in_the_middle(a: &mut Guest) -> Result<()> {
    a.write(
        "/etc/grub.d/42_mine",
        "0755",
        "#!/bin/sh\nsed -i 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=7/' /etc/default/grub\n",
    )?;
    a.run("deploy-vfio hugepages 2M 256 --yes")?;
    a.ok("grep -qx GRUB_TIMEOUT=7 /etc/default/grub")?;
    a.ok("rm /etc/grub.d/42_mine; deploy-vfio undo --all --yes")?;
    a.ok("grep -qx GRUB_TIMEOUT=7 /etc/default/grub")?;
    Ok(())
}

/// Device and distribution names are data: the menu stays valid and runs nothing of theirs.
fn hostile_names(a: &mut Guest) -> Result<()> {
    let name = "It's \\\"$(touch /root/owned)\\\" `touch /root/owned` } { ; reboot #";
    a.ok("cp -p /usr/share/misc/pci.ids /root/pci.ids; cp -p /etc/default/grub /root/grub")?;
    a.ok(&format!(
        "printf '1234  {0}\\n\\t1111  {0} %04096d\\n' 0 >/usr/share/misc/pci.ids",
        name.replace('\'', "'\\''")
    ))?;
    a.ok("printf '%s\\n' 'GRUB_DISTRIBUTOR=\"a'\\''b \\\"c\\\" \\$(touch /root/owned)' '} menuentry x { reboot \"' >>/etc/default/grub")?;
    a.ok("deploy-vfio multiboot last --yes")?;
    a.ok("grub-script-check /boot/grub/grub.cfg && test ! -e /root/owned")?;
    a.ok("deploy-vfio undo --yes")?;
    a.ok("cp -p /root/pci.ids /usr/share/misc/pci.ids; cp -p /root/grub /etc/default/grub")?;
    Ok(())
}

//! The life of the Debian package on a machine that boots by what was deployed with it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::checks::{drivers, untouched};
use crate::package;
use crate::vm::facts::difference;
use crate::vm::guest::Guest;
use crate::vm::host;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

const APT: &str = "DEBIAN_FRONTEND=noninteractive apt-get -y -o APT::Sandbox::User=root";

/// Installed, upgraded, removed, purged: what is deployed stays until somebody takes it back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let disk = rig.fresh_disk("disk")?;
    for (name, revision) in [("earlier", "0~earlier"), ("now", package::REVISION)] {
        let deb = host::target().join(format!("vm/package/{name}.deb"));
        disk.put(&package::build(&deb, revision)?, &format!("/root/{name}.deb"))?;
    }
    let mut a = rig.boot_disk(&Machine::a(), disk)?;
    a.ok("rm /usr/local/bin/deploy-vfio* /usr/local/bin/vfio-*; ! command -v deploy-vfio")?;
    let etc = a.etc_fingerprint()?;
    a.ok(&format!("{APT} install /root/earlier.deb"))?;
    a.ok("deploy-vfio multiboot last --yes")?;
    let deployed = a.etc_fingerprint()?;

    a.ok(&format!("{APT} install /root/now.deb"))?;
    a.ok("deploy-vfio verify")?;
    let again = a.ok("deploy-vfio multiboot last --yes")?;
    ensure!(again.contains("Nothing to do."), "after an upgrade: {again}");
    same(&mut a, &deployed, "an upgrade")?;

    let said = a.ok(&format!("{APT} remove deploy-vfio"))?;
    ensure!(said.contains("stays in force without the package"), "{said}");
    a.ok("! ls /usr/bin/deploy-vfio* /usr/libexec/deploy-vfio")?;
    same(&mut a, &deployed, "a removal")?;
    a.reboot()?;
    drivers(&mut a, Some(Card::SecondVga), &[Card::BootVga])?;

    let said = a.ok(&format!("{APT} purge deploy-vfio"))?;
    ensure!(said.contains("what it deployed stays in force"), "{said}");
    same(&mut a, &deployed, "a purge that took nothing back")?;

    a.ok(&format!("{APT} install /root/now.deb"))?;
    a.ok("deploy-vfio status")?;
    a.ok("echo deploy-vfio deploy-vfio/undo boolean true | debconf-set-selections")?;
    let said = a.ok("DEBIAN_FRONTEND=noninteractive dpkg --purge deploy-vfio")?;
    ensure!(said.contains("operation 1 is taken back"), "{said}");
    a.ok("! ls -d /usr/bin/deploy-vfio* /usr/libexec/deploy-vfio /var/lib/deploy-vfio")?;
    a.ok("! debconf-show deploy-vfio | grep .")?;
    same(&mut a, &etc, "a purge that took everything back")?;
    by_apt(&mut a)?;
    a.reboot()?;
    untouched(&mut a)?;
    a.power_off()?;
    Ok(())
}

/// apt purges what it removed before: the script of the state directory takes back.
fn by_apt(a: &mut Guest) -> Result<()> {
    // It leaves the times of directories.
    let files = "find /etc -type f -exec sha256sum {} + | sort";
    let etc = a.ok(files)?;
    a.ok(&format!("{APT} install /root/now.deb"))?;
    a.ok("deploy-vfio multiboot last --yes")?;
    a.ok("echo deploy-vfio deploy-vfio/undo boolean true | debconf-set-selections")?;
    a.ok(&format!("{APT} purge deploy-vfio"))?;
    a.ok("! ls -d /var/lib/deploy-vfio")?;
    let now = a.ok(files)?;
    ensure!(now == etc, "apt's purge left:\n{now}");
    Ok(())
}

fn same(a: &mut Guest, etc: &BTreeMap<String, String>, what: &str) -> Result<()> {
    let now = a.etc_fingerprint()?;
    ensure!(now == *etc, "{what} changed /etc:\n{}", difference(etc, &now));
    Ok(())
}

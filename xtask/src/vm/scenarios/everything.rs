//! `--parse all`: every device that nothing on the host needs, and huge pages in the entries.

use anyhow::{Result, ensure};

use super::checks::{drivers, status_says, works};
use crate::vm::facts::difference;
use crate::vm::rig::Rig;
use crate::vm::topology::{Card, Machine};

const REST: [Card; 4] = [Card::BootVga, Card::Nic(1), Card::Nvme(0), Card::Audio(0)];

/// All that may go, then huge pages on top, then everything back.
pub fn run(rig: &mut Rig<'_>) -> Result<()> {
    let mut a = rig.boot(&Machine::a())?;
    let etc = a.etc_fingerprint()?;
    a.ok("deploy-vfio multiboot last --parse all --yes")?;
    a.ok("deploy-vfio hugepages 2M 256 --yes")?;
    for entry in a.grub_menu()?.iter().filter(|entry| !entry.linux.is_empty()) {
        let ours = entry.id.starts_with("deploy-vfio-");
        let has = entry.linux.contains("hugepagesz=2M hugepages=256");
        ensure!(ours == has, "hugepages in `{}`: {has}", entry.id);
    }
    a.reboot()?;
    drivers(&mut a, Some(Card::SecondVga), &REST)?;
    works(&mut a)?;
    status_says(&mut a, "256 of 256 huge pages")?;
    a.ok("grep -q 'HugePages_Total: *256$' /proc/meminfo")?;
    a.ok("deploy-vfio undo --all --yes")?;
    let now = a.etc_fingerprint()?;
    ensure!(now == etc, "undo left /etc different:\n{}", difference(&etc, &now));
    a.power_off()?;
    Ok(())
}

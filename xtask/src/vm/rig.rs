//! What a scenario works with.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::disk::Disk;
use super::guest::Guest;
use super::qemu::Lockup;
use super::topology::Machine;
use super::transcript::Transcript;

/// One scenario's machines.
///
/// A scenario is a function; an error fails it. The machine's disk is a copy of the cached image with
/// the programs under test in `/usr/local/bin`. Commands run as root, without a terminal, from bash.
///
/// ```ignore
/// pub fn multiboot(rig: &mut Rig) -> Result<()> {
///     let mut a = rig.boot(&Machine::a())?;                // a fresh disk; up when this returns
///     let (gpu, nic) = (a.address(Card::SecondVga)?, a.address(Card::Nic(0))?);
///     let before = a.etc_fingerprint()?;
///
///     a.ok("deploy-vfio multiboot last --yes")?;           // must exit 0; what it printed comes back
///     a.fails("deploy-vfio multiboot 99", 6)?;             // must exit 6
///     let entry = a.grub_menu()?.into_iter().find(|e| e.id.starts_with("deploy-vfio-"));
///     a.reboot_into(&entry.context("no entry of ours")?.id)?;
///     ensure!(a.driver_of(&gpu)? == "vfio-pci");
///     ensure!(a.driver_of(&nic)? == "e1000e");
///
///     let disk = a.power_off()?;                           // branch: go on from here twice
///     let moved = Machine::a().swap(2, 9);                 // the second GPU in another slot
///     rig.boot_disk(&moved, rig.branch(&disk, "moved")?)?.power_off()?;
///
///     let mut a = rig.boot_disk(&Machine::a(), disk)?;
///     a.ok("deploy-vfio undo --all --yes")?;
///     let now = a.etc_fingerprint()?;
///     ensure!(now == before, "left behind:\n{}", difference(&before, &now));
///     a.power_off()?;
///     Ok(())
/// }
/// ```
///
/// Add it to [`super::scenarios::ALL`]. The transcript, the console and, when it fails, grub.cfg, dmesg
/// and journal are in `target/vm/<scenario>/`. Nothing stays running when a guest is dropped.
#[derive(Debug)]
pub struct Rig<'a> {
    image: &'a Disk,
    programs: &'a [PathBuf],
    directory: &'a Path,
    log: Transcript,
}

impl<'a> Rig<'a> {
    /// A rig whose disks and logs are in `directory`.
    pub fn new(
        image: &'a Disk,
        programs: &'a [PathBuf],
        directory: &'a Path,
        log: Transcript,
    ) -> Self {
        Self { image, programs, directory, log }
    }

    /// Boots a machine from a fresh disk with the programs installed.
    pub fn boot(&mut self, machine: &Machine) -> Result<Guest> {
        let disk = self.fresh_disk("disk")?;
        self.boot_disk(machine, disk).map_err(Lockup::on_a_new_machine)
    }

    /// Boots a machine from this disk.
    pub fn boot_disk(&mut self, machine: &Machine, disk: Disk) -> Result<Guest> {
        Guest::boot(machine, disk, self.log.clone(), None)
    }

    /// A fresh disk with the programs installed, for files to be put on before the first boot.
    pub fn fresh_disk(&self, name: &str) -> Result<Disk> {
        let disk = self.branch(self.image, name)?;
        for program in self.programs {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            disk.put(program, &format!("/usr/local/bin/{name}"))?;
        }
        Ok(disk)
    }

    /// An empty disk, partitioned by `sfdisk`.
    pub fn empty_disk(&self, name: &str, table: &str) -> Result<Disk> {
        Disk::partitioned(self.directory.join(format!("{name}.raw")), 4 << 30, table)
    }

    /// A file of this scenario's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A copy of a disk, under a new name.
    pub fn branch(&self, disk: &Disk, name: &str) -> Result<Disk> {
        disk.copy(self.directory.join(format!("{name}.raw")))
    }
}

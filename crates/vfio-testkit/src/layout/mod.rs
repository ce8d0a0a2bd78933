//! Lays a described machine out as a root directory.
//!
//! `sys`, `proc` and `dev` hold what the kernel of that machine would show; `etc`, `boot`, `usr`
//! and `var` are those of a Debian 12 host. Links are relative, so the tree can be moved.

mod cpu;
mod host;
mod input;
mod maker;
mod memory;
mod pci;
mod storage;
mod system;

use std::{io, path::Path};

use crate::description::{Description, Roles};

use maker::Maker;
use pci::Buses;

/// What is laid out where.
#[derive(Clone, Copy)]
struct Scene<'a> {
    make: &'a Maker,
    machine: &'a Description,
    roles: &'a Roles,
    buses: &'a Buses,
}

/// What people have done to the files that packages brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edits {
    /// Nothing.
    #[default]
    None,
    /// Single quotes, a comment behind a value, a variable that refers to itself, modules of their
    /// own, no line break at the end.
    User,
    /// Lines that end like those of another system's editors.
    Crlf,
}

impl Description {
    /// Lays the machine out below `dir`, and tells what the host uses.
    pub fn lay_out(&self, dir: &Path) -> io::Result<Roles> {
        self.lay_out_with(dir, Edits::None)
    }

    /// The same with `edits` in the files of the system.
    pub fn lay_out_with(&self, dir: &Path, edits: Edits) -> io::Result<Roles> {
        let (make, roles) = (Maker::new(dir), self.roles());
        let buses = pci::lay_out(&make, self)?;
        let scene = Scene { make: &make, machine: self, roles: &roles, buses: &buses };
        storage::lay_out(scene)?;
        host::lay_out(scene)?;
        input::lay_out(scene)?;
        cpu::lay_out(&make, &self.cpu)?;
        memory::lay_out(&make, self)?;
        self.lay_out_system(dir, edits)?;
        Ok(roles)
    }

    /// Lays out `etc`, `boot`, `usr` and `var` alone: what commands may change.
    pub fn lay_out_system(&self, dir: &Path, edits: Edits) -> io::Result<()> {
        let make = Maker::new(dir);
        system::lay_out(&make, self, edits)?;
        for (path, text) in &self.files {
            make.file(path, text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use vfio_core::{Root, host::Pci};

    use super::*;
    use crate::{Tree, synthetic};

    /// Every sample machine, and a made-up one.
    fn machines() -> Vec<Description> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../machines");
        let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|file| file.extension().is_some_and(|e| e == "json"));
        files.map(|file| Description::read(&file).unwrap()).chain([synthetic(49)]).collect()
    }

    #[test]
    fn what_is_described_is_what_is_read() {
        for machine in machines() {
            let dir = tempfile::tempdir().unwrap();
            machine.lay_out(dir.path()).unwrap();
            let pci = Pci::read(&Root::open(dir.path()).unwrap()).unwrap();
            assert_eq!(pci.devices().len(), machine.devices.len(), "{}", machine.name);
            for read in pci.devices() {
                let told = machine.device(&read.address.to_string()).unwrap();
                assert_eq!(
                    (read.driver.clone(), read.group),
                    (told.driver.clone(), told.iommu_group)
                );
                assert_eq!(read.boot_vga.unwrap_or(false), told.boot_vga, "{read:?}");
                assert_eq!(read.class.0, told.class_code());
                assert_eq!((u32::from(read.vendor), u32::from(read.device)), told.ids());
                let same_domain = told.parent.as_ref().filter(|p| p.starts_with(told.domain()));
                assert_eq!(read.parent.map(|parent| parent.to_string()), same_domain.cloned());
            }
        }
    }

    #[test]
    fn no_link_leads_out_or_nowhere_and_links_below_classes_lead_home() {
        for machine in machines() {
            let dir = tempfile::tempdir().unwrap();
            machine.lay_out_with(dir.path(), Edits::User).unwrap();
            let home = dir.path().canonicalize().unwrap();
            for (path, print) in Tree::read(dir.path()).unwrap().0 {
                if matches!(print.content, crate::Content::Link(_)) {
                    let target = dir.path().join(&path).canonicalize().unwrap();
                    assert!(target.starts_with(&home), "{path}");
                }
            }
        }
    }
}

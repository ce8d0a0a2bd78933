//! A machine laid out in a directory that goes when the test ends.

use std::{fs, io, path::Path};

use crate::{Description, Edits, Roles};

/// What [`Description::lay_out_system`] makes: all that commands may change.
const SYSTEM: &[&str] = &["etc", "boot", "usr", "var", "run"];

/// A machine to run programs on.
#[derive(Debug)]
pub struct Stage {
    dir: tempfile::TempDir,
    machine: Description,
    edits: Edits,
    roles: Roles,
}

impl Stage {
    /// Lays the machine out in a new directory.
    pub fn new(machine: &Description, edits: Edits) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("deploy-vfio-stage-").tempdir()?;
        let roles = machine.lay_out_with(dir.path(), edits)?;
        Ok(Self { dir, machine: machine.clone(), edits, roles })
    }

    /// The root directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the host uses.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Makes the system as it was, faster than a new machine would be.
    pub fn reset(&self) -> io::Result<()> {
        for part in SYSTEM {
            let dir = self.path().join(part);
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
        }
        self.machine.lay_out_system(self.path(), self.edits)
    }
}

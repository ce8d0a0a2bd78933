//! A machine's disk: a raw file with one ext4 partition, readable and writable while the machine is off.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::host;

/// Where the partition begins, in bytes.
const OFFSET: u64 = 1024 * 1024;

/// A disk that no running machine uses.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// The disk in an existing file.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes a partitioned disk whose file system, with the given UUID, holds the tree below `root`.
    pub fn format(path: PathBuf, size: u64, root: &Path, uuid: &str) -> Result<Self> {
        let Self { path } =
            Self::partitioned(path, size, "label: dos\nstart=2048, type=83, bootable\n")?;
        let mut mke2fs = host::command("mke2fs");
        mke2fs.args(["-q", "-F", "-t", "ext4", "-U", uuid, "-E"]).arg(format!("offset={OFFSET}"));
        mke2fs.arg("-d").arg(root).arg(&path).arg(format!("{}k", (size - OFFSET) / 1024));
        host::run(&mut mke2fs)?;
        Ok(Self { path })
    }

    /// Makes a disk with these partitions, as `sfdisk` is told of them.
    pub fn partitioned(path: PathBuf, size: u64, table: &str) -> Result<Self> {
        File::create(&path)?.set_len(size)?;
        let table_file = path.with_extension("sfdisk");
        fs::write(&table_file, table)?;
        host::run(host::command("sfdisk").arg("-q").arg(&path).stdin(File::open(&table_file)?))?;
        fs::remove_file(&table_file)?;
        Ok(Self { path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the disk, holes included, so that two scenarios can go on from the same state.
    pub fn copy(&self, to: PathBuf) -> Result<Self> {
        let mut cp = host::command("cp");
        host::run(cp.args(["--reflink=auto", "--sparse=always"]).arg(&self.path).arg(&to))?;
        Ok(Self { path: to })
    }

    /// Puts a file of this host onto the disk, owned by root, with its permission bits.
    pub fn put(&self, from: &Path, to: &str) -> Result<()> {
        let about = fs::metadata(from).with_context(|| from.display().to_string())?;
        let mode = about.permissions().mode() & 0o7777;
        let from = from.display();
        self.debugfs(&format!("rm {to}"))?;
        self.debugfs(&format!("write \"{from}\" {to}"))?;
        for (field, value) in
            [("mode", format!("0100{mode:03o}")), ("uid", "0".into()), ("gid", "0".into())]
        {
            self.debugfs(&format!("set_inode_field {to} {field} {value}"))?;
        }
        let written = self.debugfs(&format!("stat {to}"))?;
        ensure!(
            written.contains(&format!("Size: {}", about.len())),
            "{from} did not arrive as {to}"
        );
        Ok(())
    }

    fn debugfs(&self, request: &str) -> Result<String> {
        let disk = format!("{}?offset={OFFSET}", self.path.display());
        host::run(host::command("debugfs").args(["-w", "-R", request, &disk]))
    }
}

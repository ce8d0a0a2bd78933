//! A logical volume in a file, made by LVM's own programs without the kernel's device mapper.
//!
//! Invariant: LVM sees nothing of this machine but one loop device, and keeps its notes in a directory
//! of ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::faults::blocks::disk::Loop;
use crate::vm::host;

/// GRUB's name for it.
pub const GRUB: &str = "lvm/dv_once-boot";
/// All of it, where its inside begins, and how large that is, in MiB.
pub const SIZE: u64 = BEGIN + INSIDE + 4;
pub const BEGIN: u64 = 1;
pub const INSIDE: u64 = 64;

/// Makes a physical volume with one logical volume, in `dir`.
pub fn make(dir: &Path) -> Result<PathBuf> {
    let (image, home) = (dir.join("volume.raw"), dir.join("lvm"));
    File::create(&image)?.set_len(SIZE << 20)?;
    fs::create_dir_all(&home)?;
    let device = Loop::new(&image)?;
    let settings = format!(
        "devices {{ use_devicesfile=0 obtain_device_list_from_udev=0 \
         external_device_info_source=\"none\" filter=[\"a|^{}$|\", \"r|.*|\"] }}\n\
         global {{ activation=0 use_lvmpolld=0 locking_dir=\"{}\" }}\n\
         backup {{ backup=0 archive=0 }}\n",
        device.0,
        home.display()
    );
    fs::write(home.join("lvm.conf"), settings)?;
    let lvm = |words: &[&str]| {
        let mut command = host::command("lvm");
        host::run(command.args(words).env("LVM_SYSTEM_DIR", &home)).map(drop)
    };
    lvm(&["pvcreate", "--yes", "--dataalignment", "1m", &device.0])?;
    lvm(&["vgcreate", "dv_once", &device.0])?;
    let size = format!("--size={INSIDE}m");
    lvm(&["lvcreate", "-an", "-Zn", "-Wn", &size, "--name=boot", "dv_once"])?;
    Ok(image)
}

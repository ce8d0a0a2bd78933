//! What GRUB starts: a kernel of Debian's with an initramfs of a few lines, and the root that it mounts.
//!
//! The kernel (the one for clouds, which can read ext4 on NVMe without a module) and busybox come from
//! packages that apt downloads once; they are kept below `target/once/payload`, which may be deleted at
//! any time and appears with one rename.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::vm::host;

const KERNEL: &str = "linux-image-cloud-amd64";
const BUSYBOX: &str = "busybox-static";
/// The root's UUID.
pub const ROOT: &str = "0ce00000-0000-4000-8000-000000000001";

/// Files that every cell's disk gets, and the disk with the root.
#[derive(Debug)]
pub struct Payload {
    /// As in the names of the files.
    pub version: String,
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub root: PathBuf,
}

impl Payload {
    /// Makes it in `dir`.
    pub fn make(dir: &Path) -> Result<Self> {
        let packages = packages()?;
        let busybox = packages.join("busybox");
        let kernel = host::only(&packages, "vmlinuz-")?;
        let name = kernel.file_name().unwrap_or_default().to_string_lossy();
        let version = name.trim_start_matches("vmlinuz-").to_owned();
        let payload =
            Self { version, kernel, initramfs: dir.join("initramfs"), root: dir.join("root.raw") };

        let tree = dir.join("initramfs.d");
        system(&tree, &busybox, "init", include_str!("assets/init-initramfs"))?;
        let mut pack = host::command("sh");
        pack.arg("-c").arg("cd \"$1\" && find . | \"$2\" cpio -o -H newc | gzip -1 >\"$3\"");
        pack.arg("sh").arg(&tree).arg(&busybox).arg(&payload.initramfs);
        host::run(&mut pack)?;

        let tree = dir.join("root.d");
        system(&tree, &busybox, "sbin/init", include_str!("assets/init-root"))?;
        let mut mke2fs = host::command("mke2fs");
        mke2fs.args(["-q", "-F", "-t", "ext4", "-U", ROOT, "-d"]).arg(&tree);
        host::run(mke2fs.arg(&payload.root).arg("8M"))?;
        Ok(payload)
    }
}

/// A directory with a shell, what its scripts need, and this one.
fn system(tree: &Path, busybox: &Path, init: &str, script: &str) -> Result<()> {
    const PROGRAMS: [&str; 6] = ["sh", "cat", "findfs", "mount", "sleep", "switch_root"];
    for name in ["bin", "sbin", "dev", "proc", "root"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy(busybox, tree.join("bin/busybox"))?;
    for program in PROGRAMS {
        symlink("busybox", tree.join("bin").join(program))?;
    }
    fs::write(tree.join(init), script)?;
    fs::set_permissions(tree.join(init), fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The directory with `vmlinuz-VERSION` and `busybox`.
fn packages() -> Result<PathBuf> {
    let home = host::target().join("once/payload");
    if home.exists() {
        return Ok(home.canonicalize()?);
    }
    let work = home.with_file_name(format!("payload.new-{}", std::process::id()));
    let made = work.join("made");
    fs::create_dir_all(&made)?;
    let result = fill(&work, &made).and_then(|()| {
        // Another run may have been faster.
        if !home.exists() {
            fs::rename(&made, &home)?;
        }
        Ok(())
    });
    fs::remove_dir_all(&work)?;
    result.context("getting a kernel from Debian's packages")?;
    Ok(home.canonicalize()?)
}

fn fill(work: &Path, made: &Path) -> Result<()> {
    eprintln!("once: downloading {KERNEL} and {BUSYBOX}");
    let about = host::run(host::command("apt-cache").args(["depends", KERNEL]))?;
    let image = about.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let image = image.with_context(|| format!("apt knows no {KERNEL}"))?;
    let image = unpack(work, &format!("linux-image-{image}"))?;
    let kernel = host::only(&image.join("boot"), "vmlinuz-")?;
    fs::rename(&kernel, made.join(kernel.file_name().unwrap_or_default()))?;

    let busybox = unpack(work, BUSYBOX)?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| busybox.join(place));
    let busybox = places.iter().find(|place| place.is_file());
    fs::rename(busybox.context("the package has no busybox")?, made.join("busybox"))?;
    Ok(())
}

/// Downloads a package and unpacks it into a directory.
fn unpack(work: &Path, package: &str) -> Result<PathBuf> {
    host::run(host::command("apt-get").args(["-q", "download", package]).current_dir(work))?;
    let to = work.join(package);
    let archive = host::only(work, &format!("{package}_"))?;
    host::run(host::command("dpkg").arg("-x").arg(archive).arg(&to))?;
    Ok(to)
}

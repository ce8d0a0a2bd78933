//! Disks in files: one that keeps every write, and copies of it that are mounted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::writes::Writes;

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// About the smallest that can be made, in MiB.
    fn size(self) -> u64 {
        match self {
            Self::Ext4 => 64,
            Self::Xfs => 320,
            Self::Btrfs => 128,
        }
    }

    /// Makes one in the new file `image`.
    pub fn format(self, image: &Path) -> Result<()> {
        File::create(image)?.set_len(self.size() << 20)?;
        self.make(&image.display().to_string())
    }

    fn make(self, device: &str) -> Result<()> {
        let force = if self == Self::Ext4 { "-F" } else { "-f" };
        run(&format!("mkfs.{}", self.name()), &["-q", force, device]).map(drop)
    }
}

/// A disk that keeps every write.
#[derive(Debug)]
pub struct Recorder {
    dir: PathBuf,
    daemon: Child,
    device: Option<Loop>,
}

impl Recorder {
    /// Makes the disk and a file system on it, with everything in `dir`.
    pub fn start(dir: &Path, fs: FileSystem) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let at = |name: &str| dir.join(name).display().to_string();
        let size = fs.size() << 20;
        File::create(dir.join("image"))?.set_len(size)?;
        File::create(dir.join("log"))?.set_len(4 << 30)?;
        File::create(dir.join("export"))?;
        let file = format!("node-name=file,driver=file,filename={}", at("image"));
        let log = format!("node-name=log,driver=file,filename={}", at("log"));
        let kept = "node-name=kept,driver=blklogwrites,file=file,log=log,log-sector-size=512";
        let export = "type=fuse,id=export,node-name=kept,writable=on,mountpoint=";
        let daemon = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &file, "--blockdev", &log, "--blockdev", kept])
            .args(["--export", &format!("{export}{}", at("export"))])
            .stdin(Stdio::null())
            .spawn()
            .context("apt-get install qemu-system-common")?;
        let mut recorder = Self { dir: dir.to_path_buf(), daemon, device: None };
        let end = Instant::now() + Duration::from_secs(10);
        while fs::metadata(dir.join("export"))?.len() != size {
            ensure!(Instant::now() < end, "qemu-storage-daemon exports nothing");
            ensure!(recorder.daemon.try_wait()?.is_none(), "qemu-storage-daemon ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        let device = Loop::new(&dir.join("export"))?;
        fs.make(&device.0)?;
        recorder.device = Some(device);
        Ok(recorder)
    }

    /// Mounts the disk, does something with the directory `root` on it, and unmounts.
    pub fn on_mounted(&self, act: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let Some(device) = &self.device else { bail!("there is no disk") };
        let point = self.dir.join("mnt");
        let mount = Mount::new(&device.0, &point)?;
        act(&point.join("root"))?;
        mount.end()
    }

    /// A copy of the disk as it is now.
    pub fn copy(&self) -> Result<PathBuf> {
        run("sync", &[])?;
        let to = self.dir.join("before");
        copy(&self.dir.join("image"), &to)?;
        Ok(to)
    }

    /// Everything that was written so far.
    pub fn writes(&self) -> Result<Writes> {
        Writes::read(&self.dir.join("log"))
    }

    /// Takes the disk apart.
    pub fn stop(mut self) -> Result<Writes> {
        self.device = None;
        self.writes()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.device = None;
        let _ = run("umount", &["-l", &self.dir.join("export").display().to_string()]);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A disk of a case, mounted.
#[derive(Debug)]
pub struct Mounted {
    // Unmounted before the device goes.
    mount: Mount,
    _device: Loop,
}

impl Mounted {
    pub fn new(image: &Path, point: &Path) -> Result<Self> {
        let device = Loop::new(image)?;
        let mount = Mount::new(&device.0, point).context("the kernel does not mount it")?;
        Ok(Self { mount, _device: device })
    }

    /// The tree on it.
    pub fn root(&self) -> PathBuf {
        self.mount.0.join("root")
    }

    pub fn end(self) -> Result<()> {
        self.mount.end()
    }
}

#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn new(device: &str, point: &Path) -> Result<Self> {
        fs::create_dir_all(point)?;
        run("mount", &[device, &point.display().to_string()])?;
        Ok(Self(point.to_path_buf()))
    }

    fn end(self) -> Result<()> {
        let point = self.0.display().to_string();
        std::mem::forget(self);
        run("umount", &[&point]).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &[&self.0.display().to_string()]);
    }
}

/// A loop device of a file, until it is dropped.
#[derive(Debug)]
pub struct Loop(pub String);

impl Loop {
    pub fn new(file: &Path) -> Result<Self> {
        let device = run("losetup", &["--find", "--show", &file.display().to_string()])?;
        Ok(Self(device.trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.0]);
        // btrfs keeps in mind which devices had which file system.
        let _ = run("btrfs", &["device", "scan", "--forget"]);
    }
}

/// A file that is removed in the end.
#[derive(Debug)]
pub struct Gone<'a>(pub &'a Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// Copies a disk, holes and all.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    run("cp", &["--sparse=always", &from, &to]).map(drop)
}

/// Runs a program to its end; returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

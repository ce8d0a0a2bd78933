//! A release's libvirt packages in a directory: unpacked once, then copied from a cache.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vfio_testkit::{Description, Tree};

use crate::vm::{host, image};

/// Raised when the same packages are to be unpacked differently.
const VERSION: u32 = 1;

/// The daemon and its QEMU; `libxml2-utils` validates, `udev` brings the group `input`, `apparmor` reads the rules.
const PACKAGES: &[&str] = &[
    "apparmor",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system",
    "libxml2-utils",
    "qemu-system-x86",
    "udev",
];

const LEFT_OUT: &[&str] =
    &["/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"];

/// The file that this is about.
const QEMU_CONF: &str = "etc/libvirt/qemu.conf";

/// The user who runs guests; in no group but their own.
pub const USER: &str = "anna";

/// The unpacked release, from the cache; with `again` it is unpacked even if it is there.
pub fn unpacked(release: &str, again: bool) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (VERSION, release, PACKAGES, LEFT_OUT).hash(&mut hasher);
    let cache = image::cache()?;
    let home = cache.join(format!("libvirt-{release}-{:016x}", hasher.finish()));
    if home.exists() && !again {
        return Ok(home);
    }
    eprintln!("libvirt: unpacking {release}, which takes minutes");
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let work = home.with_extension(format!("new-{}", std::process::id()));
    let done = host::unpack_debian(release, PACKAGES, (&[], &[]), LEFT_OUT, &work).and_then(|()| {
        host::run(host::command("chroot").arg(&work).args(["useradd", "--user-group", USER]))?;
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        Ok(fs::rename(&work, &home)?)
    });
    if done.is_err() {
        let _ = fs::remove_dir_all(&work);
    }
    done.with_context(|| format!("unpacking {release}")).map(|()| home)
}

/// A system of its own for one check.
#[derive(Debug)]
pub struct System {
    /// Where it is.
    pub root: PathBuf,
    program: PathBuf,
}

impl System {
    /// Copies `base` to `root` and plugs in the keyboards and mice of a described machine.
    pub fn copy(base: &Path, root: PathBuf, machine: &str, program: &Path) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(root.parent().context("a system below a directory")?)?;
        host::run(host::command("cp").args(["-a", "--reflink=auto"]).arg(base).arg(&root))?;
        let described = host::workspace().join(format!("machines/{machine}.json"));
        let plugged = root.join("tmp/machine");
        Description::read(&described)?.lay_out(&plugged)?;
        for path in ["sys", "proc", "dev/input"] {
            fs::rename(plugged.join(path), root.join(path))
                .with_context(|| format!("{path} of {machine}"))?;
        }
        fs::remove_dir_all(plugged)?;
        Ok(Self { root, program: program.to_owned() })
    }

    /// libvirt's version, as its package has it.
    pub fn version(&self) -> Result<(u32, String)> {
        let mut query = host::command("chroot");
        query.arg(&self.root).args(["dpkg-query", "-Wf", "${Version}", "libvirt-daemon"]);
        let package = host::run(&mut query)?;
        let version = package.split('-').next().unwrap_or_default().to_owned();
        let mut numbers = version.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next().context("a version such as 9.0.0")?.context("a number");
        Ok((number()? * 1000 + number()?, version))
    }

    /// `qemu.conf` as it is.
    pub fn conf(&self) -> Result<String> {
        Ok(fs::read_to_string(self.root.join(QEMU_CONF))?)
    }

    /// What a user's editor does to it.
    pub fn set_conf(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.root.join(QEMU_CONF), text)?)
    }

    /// Everything below `/etc`.
    pub fn etc(&self) -> Result<Tree> {
        Ok(Tree::read(&self.root.join("etc"))?.without_directory_times())
    }

    /// Runs `deploy-vfio` on it, which must succeed; what it tells other programs.
    pub fn deploy(&self, words: &[&str]) -> Result<Value> {
        let text = self.deploy_vfio(&[&["--json", "--yes"], words].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{words:?} printed no JSON: {text}"))
    }

    /// The same; what it prints for people.
    pub fn deploy_vfio(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(words).stdin(Stdio::null());
        let output = command.output().context("cannot start deploy-vfio")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "deploy-vfio {}: {errors}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

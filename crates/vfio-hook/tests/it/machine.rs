//! A machine below a temporary directory: writing to its sysfs does what the kernel would do.

use std::{
    cell::{Cell, RefCell},
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::Duration,
};

use vfio_core::Root;
use vfio_hook::{Call, Error, Hands, SETTINGS, attend};

pub struct Played {
    dir: tempfile::TempDir,
    /// Every program that was run.
    pub ran: RefCell<Vec<String>>,
    /// The `AllowedCPUs` that systemd tells of each unit.
    pub allowed_before: Cell<&'static str>,
    /// After how many more writes and programs the hook is killed.
    pub killed_after: Cell<Option<u32>>,
}

/// What a killed call unwinds with.
pub struct Killed;

impl Played {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = Self {
            dir,
            ran: RefCell::default(),
            allowed_before: Cell::new("0-7"),
            killed_after: Cell::new(None),
        };
        for (path, text) in [
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("sys/devices/system/cpu/isolated", "\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"),
            ("sys/bus/pci/drivers_probe", ""),
            ("sys/bus/pci/drivers/vfio-pci/bind", ""),
            ("proc/sys/vm/compact_memory", ""),
            ("proc/self/mountinfo", ""),
            (SETTINGS, ""),
        ] {
            machine.file(path, text);
        }
        for cpu in 0..8 {
            let dir = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
            machine.file(&format!("{dir}/scaling_governor"), "schedutil\n");
            let governors = "performance schedutil powersave\n";
            machine.file(&format!("{dir}/scaling_available_governors"), governors);
        }
        machine
    }

    pub fn root(&self) -> Root {
        Root::open(self.dir.path()).unwrap()
    }

    pub fn file(&self, path: &str, text: &str) {
        let at = self.dir.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.dir.path().join(path)).unwrap();
    }

    pub fn link(&self, path: &str, to: &str) {
        let at = self.dir.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(to, at).unwrap();
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap_or_default().trim().to_owned()
    }

    /// A device on `driver`, which takes it whenever it is probed.
    pub fn device(&self, address: &str, driver: &str) {
        let dir = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{dir}/driver_override"), "(null)\n");
        self.file(&format!("{dir}/host_driver"), driver);
        self.file(&format!("{dir}/vendor"), "0x1234\n");
        self.file(&format!("sys/bus/pci/drivers/{driver}/bind"), "");
        self.attach(address, driver);
    }

    fn attach(&self, address: &str, driver: &str) {
        self.file(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        let link = format!("sys/bus/pci/devices/{address}/driver");
        self.link(&link, &format!("../../../../bus/pci/drivers/{driver}"));
    }

    pub fn driver(&self, address: &str) -> String {
        let link = self.dir.path().join(format!("sys/bus/pci/devices/{address}/driver"));
        let to = fs::read_link(link).unwrap_or_default();
        to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Counts down to the moment that the hook is killed at.
    fn tick(&self) {
        match self.killed_after.get() {
            Some(0) => std::panic::panic_any(Killed),
            left => self.killed_after.set(left.map(|left| left - 1)),
        }
    }

    pub fn call(&self, words: &str, xml: &str) -> Result<(), Error> {
        let words: Vec<String> = words.split('|').map(str::to_owned).collect();
        attend(&self.root(), self, &Call::read(&words).unwrap(), xml.as_bytes())
    }

    /// All calls of a start, then all of a stop.
    pub fn start(&self, guest: &str, xml: &str) -> Result<(), Error> {
        for step in ["prepare|begin|-", "start|begin|-", "started|begin|-"] {
            self.call(&format!("{guest}|{step}"), xml)?;
        }
        Ok(())
    }

    pub fn stop(&self, guest: &str, xml: &str) {
        for step in ["stopped|end|-", "release|end|-"] {
            self.call(&format!("{guest}|{step}"), xml).unwrap();
        }
    }

    pub fn allowed(&self, unit: &str) -> Option<String> {
        let ran = self.ran.borrow();
        let told = format!("set-property --runtime {unit} AllowedCPUs=");
        let last = ran.iter().rev().find_map(|line| line.split_once(&told))?;
        Some(last.1.to_owned())
    }
}

impl Hands for Played {
    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        self.tick();
        let at = self.dir.path().join(path);
        if !at.exists() {
            return Err(format!("/{path}: No such file or directory"));
        }
        if path.ends_with("driver/unbind") {
            fs::remove_file(at.parent().unwrap()).unwrap();
        } else if path.ends_with("drivers_probe") || path.ends_with("/bind") {
            self.probe(text.trim());
        } else if path.ends_with("transparent_hugepage/enabled") {
            let now = "always madvise never".replace(text, &format!("[{text}]"));
            fs::write(at, now).unwrap();
        } else {
            let cleared = path.ends_with("driver_override") && text.trim().is_empty();
            fs::write(at, if cleared { "(null)\n" } else { text }).unwrap();
        }
        Ok(())
    }

    fn write_within(&self, _: Duration, path: &str, text: &str) -> Result<(), String> {
        self.write(path, text)
    }

    fn read_within(&self, _: Duration, path: &str) -> Result<String, String> {
        fs::read_to_string(self.dir.path().join(path)).map_err(|error| error.to_string())
    }

    fn run(&self, _: Duration, line: &[&str], input: &[u8]) -> Result<String, String> {
        self.tick();
        let line = line.join(" ");
        let shows = line.contains(" show ");
        let told = if input.is_empty() { line } else { format!("{line} <{}", input.len()) };
        self.ran.borrow_mut().push(told);
        Ok(if shows { format!("{}\n", self.allowed_before.get()) } else { String::new() })
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), String> {
        self.tick();
        self.file(path, text);
        Ok(())
    }

    fn is_program(&self, path: &str) -> Result<bool, String> {
        match Path::new(path).extension() {
            Some(kind) if kind == "txt" => Ok(false),
            Some(kind) if kind == "loose" => Err("others than root can change it".to_owned()),
            _ => Ok(true),
        }
    }
}

impl Played {
    fn probe(&self, address: &str) {
        let dir = format!("sys/bus/pci/devices/{address}");
        let wanted = self.text(&format!("{dir}/driver_override"));
        let host = self.text(&format!("{dir}/host_driver"));
        let driver = if wanted == "(null)" { host } else { wanted };
        if self.driver(address).is_empty() && driver != "stubborn" {
            self.attach(address, &driver);
        }
    }
}

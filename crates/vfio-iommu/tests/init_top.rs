//! The script that binds devices before udev, run by the real shell over a made-up `/sys`.
//!
//! The tree is made of plain files, so nothing reacts to a write; where a test needs the kernel's
//! part, a fake `modprobe` plays it (loading a driver binds what is reserved for it), and named
//! pipes hand a write to a process that does what the kernel would.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees and runs the real shell")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("../assets/init-top-deploy-vfio");
const GPU: &str = "0000:01:00.0";
const SOUND: &str = "0000:01:00.1";

/// Loads `vfio-pci` as the kernel would: every free device that is reserved for it becomes its.
const MODPROBE: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
echo "$*" >>"$0.calls"
[ "$1" = vfio-pci ] || exit 0
mkdir -p @/sys/bus/pci/drivers/vfio-pci
for device in @/sys/bus/pci/devices/*; do
	read -r override <"$device/driver_override"
	if [ "$override" = vfio-pci ] && ! [ -e "$device/driver" ]; then
		ln -s "$device" @/sys/bus/pci/drivers/vfio-pci
		ln -s ../../drivers/vfio-pci "$device/driver"
	fi
done
"#;

/// A scratch root with `/sys`, `/proc`, a log and a directory of programs.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    /// A machine with a graphics card of two functions, none of them bound.
    fn new() -> Self {
        let machine = Machine { root: tempfile::tempdir().unwrap() };
        for directory in ["bin", "proc", "sys/bus/pci/devices", "sys/bus/pci/drivers"] {
            fs::create_dir_all(machine.path(directory)).unwrap();
        }
        machine.write("sys/bus/pci/drivers_probe", "");
        machine.write("kmsg", "");
        machine.program("modprobe", MODPROBE);
        machine.device(GPU, "0x10de", "0x2484", "0x030000");
        machine.device(SOUND, "0x10de", "0x228b", "0x040300");
        machine
    }

    fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(relative)
    }

    fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(relative), text).unwrap();
    }

    fn read(&self, relative: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(relative)).unwrap()).into_owned()
    }

    fn program(&self, name: &str, text: &str) {
        let text = text.replace('@', self.root.path().to_str().unwrap());
        self.write(&format!("bin/{name}"), text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(format!("bin/{name}")), mode).unwrap();
    }

    fn device(&self, address: &str, vendor: &str, device: &str, class: &str) {
        let directory = format!("sys/bus/pci/devices/{address}");
        fs::create_dir_all(self.path(&directory)).unwrap();
        for (name, text) in [
            ("vendor", vendor),
            ("device", device),
            ("class", class),
            ("driver_override", "(null)"),
        ] {
            self.write(&format!("{directory}/{name}"), format!("{text}\n"));
        }
        self.write(&format!("{directory}/uevent"), "PCI_CLASS=30000\n");
    }

    /// Binds a device to a driver other than vfio-pci.
    fn bound(&self, address: &str, driver: &str) {
        let (device, drivers) =
            (format!("sys/bus/pci/devices/{address}"), format!("sys/bus/pci/drivers/{driver}"));
        fs::create_dir_all(self.path(&drivers)).unwrap();
        symlink(format!("../../drivers/{driver}"), self.path(format!("{device}/driver"))).unwrap();
        self.write(&format!("{device}/uevent"), format!("DRIVER={driver}\nPCI_CLASS=30000\n"));
        self.write(&format!("{drivers}/unbind"), "");
    }

    /// Runs the script for a kernel command line; what it logged.
    fn boot(&self, cmdline: impl AsRef<[u8]>) -> String {
        self.write("proc/cmdline", cmdline);
        let root = self.root.path().display();
        let mut script = SCRIPT.to_owned();
        for (constant, value) in [
            ("\nsys=/sys\n", format!("\nsys={root}/sys\n")),
            ("\nproc=/proc\n", format!("\nproc={root}/proc\n")),
            ("\nkmsg=/dev/kmsg\n", format!("\nkmsg={root}/kmsg\n")),
        ] {
            assert_eq!(script.matches(constant).count(), 1, "the constant {constant:?}");
            script = script.replace(constant, &value);
        }
        self.write("script", script);
        let output = Command::new("/usr/bin/timeout")
            .args(["20", shell(), "script"])
            .current_dir(self.root.path())
            .env_clear()
            // Only what the initramfs surely has: the shell and modprobe.
            .env("PATH", self.path("bin"))
            .env("sys", "/nowhere")
            .env("IFS", "abc")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {printed}", output.status);
        assert_eq!(printed + &String::from_utf8_lossy(&output.stdout), "");
        self.read("kmsg").replace("<5>deploy-vfio: ", "")
    }

    fn driver_override(&self, address: &str) -> String {
        self.read(&format!("sys/bus/pci/devices/{address}/driver_override"))
    }

    fn driver(&self, address: &str) -> Option<String> {
        let link =
            fs::read_link(self.path(format!("sys/bus/pci/devices/{address}/driver"))).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }
}

fn shell() -> &'static str {
    if Path::new("/bin/dash").exists() { "/bin/dash" } else { "/bin/sh" }
}

const BIND: &str = "quiet deploy_vfio.bind=0000:01:00.0=10de:2484,0000:01:00.1=10de:228b ro\n";

#[test]
fn prereqs_are_none() {
    let machine = Machine::new();
    machine.write("script", SCRIPT);
    let output = Command::new(shell()).arg(machine.path("script")).arg("prereqs").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "\n");
    assert!("deploy-vfio" < "udev", "scripts without prerequisites run by name");
}

#[test]
fn named_devices_are_bound() {
    let machine = Machine::new();
    let log = machine.boot(BIND);
    assert_eq!(log, "0000:01:00.0: bound to vfio-pci\n0000:01:00.1: bound to vfio-pci\n");
    assert_eq!(machine.driver(GPU).as_deref(), Some("vfio-pci"));
    assert_eq!(machine.driver(SOUND).as_deref(), Some("vfio-pci"));
    assert_eq!(machine.read("bin/modprobe.calls"), "vfio-pci\nvfio_iommu_type1\n");
}

#[test]
fn an_ordinary_boot_changes_nothing() {
    for cmdline in ["", "\n", "root=UUID=1 ro quiet splash\n", "deploy_vfio.entry=x\n"] {
        let machine = Machine::new();
        assert_eq!(machine.boot(cmdline), "", "{cmdline:?}");
        assert_eq!(machine.driver_override(GPU), "(null)\n");
        assert!(!machine.path("bin/modprobe.calls").exists());
    }
}

#[test]
fn it_can_be_switched_off() {
    for off in ["deploy_vfio.off", "deploy-vfio.off", "deploy_vfio=off", "deploy_vfio.off=1"] {
        for cmdline in [format!("{off} {BIND}"), format!("{} {off}", BIND.trim())] {
            let machine = Machine::new();
            let log = machine.boot(&cmdline);
            assert_eq!(log, "switched off on the kernel command line; nothing is bound\n");
            assert_eq!(machine.driver_override(GPU), "(null)\n", "{cmdline}");
        }
    }
}

#[test]
fn all_spellings_name_a_device_once() {
    let machine = Machine::new();
    machine.device("10000:e1:0a.7", "0x8086", "0x0ABC", "0x028000");
    machine.write("sys/bus/pci/devices/10000:e1:0a.7/device", "0x0abc");
    let log = machine.boot(
        "deploy-vfio.bind=0000:01:00.0=10DE:2484 deploy_vfio.bind=,10000:E1:0A.7=8086:0aBC,,\
         0000:01:00.0=10de:2484",
    );
    assert_eq!(log, "0000:01:00.0: bound to vfio-pci\n10000:e1:0a.7: bound to vfio-pci\n");
    assert_eq!(machine.driver(SOUND), None);
}

#[test]
fn a_device_that_is_not_the_expected_one_stays() {
    let machine = Machine::new();
    machine.device("0000:00:01.0", "0x8086", "0x1901", "0x060400");
    let log = machine.boot(
        "deploy_vfio.bind=0000:01:00.0=1002:73bf,0000:09:00.0=10de:2484,0000:00:01.0=8086:1901",
    );
    assert_eq!(
        log,
        "0000:01:00.0: is 10de:2484, not 1002:73bf; left alone\n\
         0000:09:00.0: no such device\n\
         0000:00:01.0: is a bridge; left alone\n"
    );
    assert_eq!(machine.driver_override("0000:00:01.0"), "(null)\n");
    assert!(!machine.path("bin/modprobe.calls").exists());
}

#[test]
fn malformed_items_are_told_and_ignored() {
    let machine = Machine::new();
    for item in [
        "0000:01:00.0",
        "0000:01:00.0@10de:2484",
        "01:00.0=10de:2484",
        "000000000:01:00.0=10de:2484",
        "0000:01:00.8=10de:2484",
        "0000:01:20.0=10de:2484",
        "0000:01:00.0=10de:248",
        "0000:01:00.0=10de:24840",
        "0000:01:00.0=10de=2484",
        "../../../x=10de:2484",
        "????:??:??.?=????:????",
        "*=*",
        "$(touch${IFS}hit)=`id`",
        "\\c\\n=;reboot",
        "-n",
        "=",
        "\u{e9}\u{e9}=10de:2484",
    ] {
        machine.write("kmsg", "");
        let log = machine.boot(format!("deploy_vfio.bind={item}\n"));
        assert!(log.starts_with(&format!("ignored '{item}': not ")), "{item}: {log}");
    }
    machine.write("kmsg", "");
    let log = machine.boot(format!("deploy_vfio.bind={},{}", "a".repeat(1500), &BIND[23..]));
    assert!(log.starts_with("ignored an item of deploy_vfio.bind that is too long\n"), "{log}");
    assert!(log.contains("0000:01:00.0: bound"), "the good ones still count: {log}");
    assert!(!machine.path("hit").exists());
}

#[test]
fn any_bytes_leave_the_boot_going() {
    for cmdline in
        [&b"\xff\xfe deploy_vfio.bind=\x01\xff=\x80"[..], b"deploy_vfio.bind=\n\0", b"* ?"]
    {
        Machine::new().boot(cmdline);
    }
}

#[test]
fn without_vfio_pci_everything_is_given_back() {
    let machine = Machine::new();
    machine.program("modprobe", "#!/bin/sh\nexit 1\n");
    assert_eq!(machine.boot(BIND), "vfio-pci is not available; nothing is bound\n");
    assert_eq!(
        (machine.driver_override(GPU), machine.driver_override(SOUND)),
        ("\n".into(), "\n".into())
    );

    fs::remove_file(machine.path("bin/modprobe")).unwrap();
    machine.write("kmsg", "");
    assert_eq!(machine.boot(BIND), "vfio-pci is not available; nothing is bound\n");
}

#[test]
fn a_device_that_vfio_pci_refuses_is_given_back() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("sys/bus/pci/drivers/vfio-pci")).unwrap();
    machine.program("modprobe", "#!/bin/sh\n");
    let log = machine.boot("deploy_vfio.bind=0000:01:00.0=10de:2484");
    assert_eq!(log, "0000:01:00.0: vfio-pci did not take it; given back\n");
    assert_eq!(machine.driver_override(GPU), "\n");
    assert_eq!(machine.read("sys/bus/pci/drivers_probe"), "0000:01:00.0\n");
}

#[test]
fn a_built_in_driver_is_unbound_first() {
    let machine = Machine::new();
    machine.bound(GPU, "xhci_hcd");
    for pipe in ["drivers/xhci_hcd/unbind", "drivers_probe"] {
        let pipe = machine.path(format!("sys/bus/pci/{pipe}"));
        fs::remove_file(&pipe).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    // Opening a pipe waits for the other side: the script cannot look before this is through.
    let kernel = r#"
        read -r address <drivers/xhci_hcd/unbind
        echo "$address" >unbound
        rm devices/$address/driver
        ln -s ../../drivers/vfio-pci devices/$address/driver
        ln -s ../../devices/$address drivers/vfio-pci/
        read -r address <drivers_probe
        echo "$address" >probed"#;
    let mut kernel = Command::new("timeout")
        .args(["20", shell(), "-c", kernel])
        .current_dir(machine.path("sys/bus/pci"))
        .spawn()
        .unwrap();
    let log = machine.boot("deploy_vfio.bind=0000:01:00.0=10de:2484");
    assert!(kernel.wait().unwrap().success());
    assert_eq!(log, "0000:01:00.0: bound to vfio-pci, taken from xhci_hcd\n");
    assert_eq!(machine.read("sys/bus/pci/unbound"), "0000:01:00.0\n");
    assert_eq!(machine.read("sys/bus/pci/probed"), "0000:01:00.0\n");
}

#[test]
fn a_driver_with_disks_keeps_its_device() {
    for below in
        ["nvme/nvme0", "ata1", "host0", "mmc_host", "virtio0/block/vda", "usb1/1-1/1-1:1.0/host4"]
    {
        let machine = Machine::new();
        machine.bound(GPU, "ahci");
        fs::create_dir_all(machine.path(format!("sys/bus/pci/devices/{GPU}/{below}"))).unwrap();
        let log = machine.boot(BIND);
        assert_eq!(
            log,
            "0000:01:00.0: ahci has disks on it; left alone\n0000:01:00.1: bound to vfio-pci\n",
            "{below}"
        );
        assert_eq!(machine.driver_override(GPU), "\n");
        assert_eq!(machine.driver(GPU).as_deref(), Some("ahci"));
        assert_eq!(machine.read("sys/bus/pci/drivers/ahci/unbind"), "");
    }
}

//! A machine, described in JSON.
//!
//! Only facts a test needs are kept: keys that are not listed here are ignored, and `null` is the
//! same as a key that is not there.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A described machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Description {
    /// A short name, the same as that of its file.
    pub name: String,
    /// What is special about it, in a sentence.
    pub summary: String,
    /// Its processors.
    pub cpu: CpuDescription,
    /// `MemTotal` in KiB.
    pub mem_kib: u64,
    /// Its PCI devices.
    pub devices: Vec<DeviceDescription>,
    /// What the host itself uses; what is not given is guessed from the devices.
    pub roles: Roles,
    /// Installed kernels, the running one first; Debian 12's when there are none.
    pub kernels: Vec<String>,
    /// `false` for a machine whose firmware has the IOMMU switched off.
    pub iommu_table: Option<bool>,
    /// `true` for a machine that UEFI firmware started.
    pub efi: bool,
    /// Whether `/` and swap are volumes on LUKS.
    pub encrypted: bool,
    /// Whether Secure Boot is on; only UEFI firmware says.
    pub secure_boot: bool,
    /// Its keyboards, mice and the like; a keyboard when there are none.
    pub inputs: Vec<InputDescription>,
    /// Further links below `/dev/input` and the nodes there that they lead to.
    pub input_links: BTreeMap<String, String>,
    /// Files to write last, by path below the root.
    pub files: BTreeMap<String, String>,
}

/// The processors of a described machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CpuDescription {
    /// `GenuineIntel` or `AuthenticAMD`.
    pub vendor: String,
    /// What they call themselves.
    pub model: String,
    /// How many packages there are; zero is read as one.
    pub sockets: u32,
    /// How many cores there are.
    pub cores: u32,
    /// How many logical processors there are.
    pub threads: u32,
    /// Which of them share a core: pairs such as `0,6` anywhere in the text.
    pub siblings: String,
    /// Which share an L3 cache; the whole package when not given.
    pub l3: Vec<Vec<u32>>,
    /// The economical ones of a hybrid processor.
    pub ecores: Vec<u32>,
    /// The NUMA nodes' processors; one node when not given.
    pub nodes: Vec<Vec<u32>>,
    /// `true` when `cores` counts those of one socket.
    pub cores_per_socket: Option<Value>,
}

/// One PCI function of a described machine; numbers are hexadecimal text (`0x10de`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceDescription {
    /// `0000:01:00.0`.
    pub addr: String,
    /// Class code with the programming interface, `0x030000`.
    pub class: String,
    /// Vendor id.
    pub vendor: String,
    /// Device id.
    pub device: String,
    /// Subsystem vendor id.
    pub subsystem_vendor: String,
    /// Subsystem device id.
    pub subsystem_device: String,
    /// Revision.
    pub revision: String,
    /// The driver bound to it.
    pub driver: Option<String>,
    /// Modules that could drive it.
    pub modules: Vec<String>,
    /// Its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Whether the firmware used it as the display.
    #[serde(deserialize_with = "truth")]
    pub boot_vga: bool,
    /// Vendor and device in words.
    pub name: String,
    /// The bridge that leads to it; not given on a root bus, or where nobody said.
    pub parent: Option<String>,
    /// Its NUMA node.
    pub numa_node: Option<u32>,
    /// How it can be reset; empty text for not at all.
    pub reset_method: Option<String>,
}

/// One input device of a described machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InputDescription {
    /// The number of its event node.
    pub event: u32,
    /// What it calls itself.
    pub name: String,
    /// `keyboard`, `consumer` (media keys), `mouse`, `tablet`, `touchpad` or `power`.
    pub kind: String,
    /// The PCI device of its controller.
    pub pci: Option<String>,
    /// Its parent in sysfs, below that device, or else below `/sys/devices`:
    /// `usb1/1-1/1-1:1.0/0003:046D:C31C.0001`.
    pub place: String,
    /// Vendor and product of its USB hardware, `046d:c31c`.
    pub ids: String,
    /// The serial number of that.
    pub serial: Option<String>,
    /// The links below `/dev/input` that lead to it.
    pub links: Vec<String>,
}

/// What the host itself uses.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Roles {
    /// The controller of the disk under `/`, `/boot/efi` and swap.
    pub disk: Option<String>,
    /// The network card of the default route.
    pub network: Option<String>,
    /// The USB controller of the only keyboard.
    pub keyboard: Option<String>,
    /// The display devices that a screen is plugged into.
    pub screens: Vec<String>,
}

/// `true`, 1 or "1".
fn truth<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value == Value::Bool(true) || value.as_u64() == Some(1) || value.as_str() == Some("1"))
}

/// Takes out what is `null`, so that it is like a key that is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(list) => {
            let list = list.into_iter().filter(|value| !value.is_null());
            Value::Array(list.map(without_nulls).collect())
        }
        other => other,
    }
}

impl Description {
    /// Reads a described machine.
    pub fn read(path: &Path) -> io::Result<Self> {
        let problem = |error| io::Error::other(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(problem)?;
        Self::parse(&text).map_err(|error| problem(error.into()))
    }

    /// The same from text.
    pub fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_value(without_nulls(serde_json::from_str(json)?))
    }

    /// The device at `address`.
    #[must_use]
    pub fn device(&self, address: &str) -> Option<&DeviceDescription> {
        self.devices.iter().find(|device| device.addr == address)
    }

    /// What the host uses: as described, or else the first device of each kind that fits and is
    /// not given away already.
    #[must_use]
    pub fn roles(&self) -> Roles {
        let first = |given: &Option<String>, kinds: &[u32]| {
            given.clone().or_else(|| {
                let mut fitting = kinds
                    .iter()
                    .flat_map(|kind| self.devices.iter().filter(move |device| device.fits(*kind)));
                fitting.next().map(|device| device.addr.clone())
            })
        };
        let mut screens = self.roles.screens.clone();
        if screens.is_empty() {
            let lit = self.devices.iter().filter(|d| d.has_connectors() && d.boot_vga);
            screens = lit.map(|device| device.addr.clone()).collect();
        }
        Roles {
            disk: first(&self.roles.disk, &[0x0108, 0x0106, 0x0104, 0x0107, 0x0100]),
            network: first(&self.roles.network, &[0x0200, 0x0280]),
            keyboard: first(&self.roles.keyboard, &[0x0c_0330, 0x0c03]),
            screens,
        }
    }

    /// Releases of the installed kernels, the running one first.
    #[must_use]
    pub fn kernels(&self) -> Vec<String> {
        match self.kernels.as_slice() {
            [] => vec!["6.1.0-56-amd64".to_owned()],
            given => given.to_vec(),
        }
    }
}

impl DeviceDescription {
    /// The class code.
    #[must_use]
    pub fn class_code(&self) -> u32 {
        number(&self.class).unwrap_or(0)
    }

    /// Vendor and device id.
    #[must_use]
    pub fn ids(&self) -> (u32, u32) {
        (number(&self.vendor).unwrap_or(0xffff), number(&self.device).unwrap_or(0xffff))
    }

    /// Subsystem vendor and device id; zeros when there are none.
    #[must_use]
    pub fn subsystem(&self) -> (u32, u32) {
        let part = |text: &str| number(text).unwrap_or(0);
        (part(&self.subsystem_vendor), part(&self.subsystem_device))
    }

    /// The revision.
    #[must_use]
    pub fn revision(&self) -> u32 {
        number(&self.revision).unwrap_or(0)
    }

    /// Whether it is VGA, 3D or another display controller.
    #[must_use]
    pub fn is_display(&self) -> bool {
        matches!(self.class_code() >> 8, 0x0300 | 0x0302 | 0x0380)
    }

    /// Whether it is any kind of bridge.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.class_code() >> 16 == 0x06
    }

    /// The domain part of its address.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.addr.split(':').next().unwrap_or_default()
    }

    /// The number of its bus.
    #[must_use]
    pub fn bus(&self) -> u32 {
        self.addr.split(':').nth(1).and_then(number).unwrap_or(0)
    }

    /// Its address without the function: the same for all functions of a card.
    #[must_use]
    pub fn slot(&self) -> &str {
        self.addr.rsplit_once('.').map_or(self.addr.as_str(), |(slot, _)| slot)
    }

    /// Whether its DRM driver shows connectors.
    pub(crate) fn has_connectors(&self) -> bool {
        let driven = self.driver.as_deref().is_some_and(|driver| driver != "vfio-pci");
        driven && matches!(self.class_code() >> 8, 0x0300 | 0x0380)
    }

    /// Whether the host can use it as a `kind`: a class with or without programming interface.
    fn fits(&self, kind: u32) -> bool {
        let class = self.class_code();
        let same = if kind > 0xffff { class == kind } else { class >> 8 == kind };
        same && self.driver.as_deref() != Some("vfio-pci")
    }
}

/// A hexadecimal number, with or without `0x`; `None` for anything else.
pub(crate) fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_keys_are_nothing() {
        let json = r#"{"name": "x", "cpu": {"l3": null, "threads": 4}, "odd": [1],
            "devices": [{"addr": "0000:01:00.0", "class": "0x030000", "driver": "i915",
                         "subsystem_vendor": null, "iommu_group": null, "boot_vga": 1},
                        {"addr": "0000:02:00.0", "class": "0x010802", "boot_vga": null}]}"#;
        let machine = Description::parse(json).unwrap();
        let [card, disk] = machine.devices.as_slice() else { panic!("{machine:?}") };
        assert!(card.boot_vga && card.is_display() && card.iommu_group.is_none());
        assert_eq!((card.subsystem(), card.slot()), ((0, 0), "0000:01:00"));
        let roles = machine.roles();
        assert_eq!(roles.disk.as_deref(), Some(disk.addr.as_str()));
        assert_eq!((roles.network, roles.screens), (None, vec![card.addr.clone()]));
    }
}

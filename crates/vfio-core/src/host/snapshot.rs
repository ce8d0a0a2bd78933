//! A machine as a JSON text: for bug reports, and to plan for a machine that is elsewhere.
//!
//! The text is a versioned record of its own (`"format": 2`); a field that this program does not
//! know is an error, never ignored. It has no serial numbers, hardware addresses, UUIDs or host
//! names: [`Machine::to_snapshot`] leaves them out.

use serde::Deserialize;

use crate::{
    Error, Result,
    host::{Machine, attr::visible},
};

/// The format that this program writes; it reads this and all before it.
pub(super) const FORMAT: u32 = 2;

impl Machine {
    /// The machine as JSON, without what would tell whose it is: disks, hosts and people have
    /// numbers instead of names.
    #[must_use]
    pub fn to_snapshot(&self) -> String {
        // Records have string keys only, so this cannot fail.
        let mut text = serde_json::to_string_pretty(&self.record()).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The machine that a snapshot describes.
    pub fn from_snapshot(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_str(text).map_err(|e| not_a_snapshot(&e))?;
        if !(1..=FORMAT).contains(&head.format) {
            return Err(Error::Refused {
                what: format!("the machine snapshot has format {}", head.format),
                because: vec![format!("this program reads formats up to {FORMAT}")],
                help: vec!["write the snapshot again with this version of deploy-vfio".to_owned()],
            });
        }
        let record = serde_json::from_str(text).map_err(|e| not_a_snapshot(&e))?;
        Ok(Self::from_record(record))
    }
}

fn not_a_snapshot(error: &serde_json::Error) -> Error {
    Error::Refused {
        what: "this is not a machine snapshot that can be read".to_owned(),
        because: vec![visible(&error.to_string())],
        help: vec!["`deploy-vfio host --json > FILE` writes one".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Root,
        host::{Interface, Pci, Usage, tree::Tree},
    };

    /// Kept for ever: what was written once can be read always.
    const V1: &str = include_str!("../../tests/fixtures/snapshot-v1.json");
    const V2: &str = include_str!("../../tests/fixtures/snapshot-v2.json");

    #[test]
    fn the_first_format_can_be_read() {
        let machine = Machine::from_snapshot(V1).unwrap();
        let card = "0000:01:00.0".parse().unwrap();
        assert_eq!(machine.pci.get(card).unwrap().ids(), "10de:2484");
        assert_eq!(machine.details[&card].modules, ["nvidia", "nouveau"]);
        assert_eq!(machine.cpu.online[1].siblings.to_string(), "0-1");
        assert_eq!(machine.storage.on("0000:02:00.0".parse().unwrap()), ["/", "/mnt/1", "swap"]);
        assert!(machine.inputs.devices.iter().all(|input| input.links.is_empty()));
    }

    #[test]
    fn the_second_format_says_what_input_devices_are_called_and_what_runs_guests() {
        let machine = Machine::from_snapshot(V2).unwrap();
        assert_eq!(machine.inputs.devices[0].links[0].path, "by-id/usb-A_B_redacted-event-kbd");
        assert_eq!(machine.libvirt.version.unwrap().to_string(), "9.0.0");
        let first = Machine::from_snapshot(V1).unwrap();
        assert_eq!((&machine.pci, &machine.boot), (&first.pci, &first.boot));
        assert_eq!(machine.to_snapshot(), V2);
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        let because = |text: &str| match Machine::from_snapshot(text) {
            Err(Error::Refused { what, because, .. }) => format!("{what}: {}", because.join(" ")),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            because("{\"format\": 3, \"new\": []}"),
            "the machine snapshot has format 3: this program reads formats up to 2"
        );
        let unknown = V2.replace("\"boot_vga\"", "\"boot\\u001b_vga\"");
        let unknown = because(&unknown);
        assert!(
            unknown.contains("unknown field `boot_vga`") && unknown.contains("line"),
            "{unknown}"
        );
        assert!(because(&V2.replace("0000:01:00.0", "01:00.0")).contains("is not a PCI address"));
        assert!(because("").contains("line 1"));
    }

    #[test]
    fn a_machine_without_anything_makes_the_round_trip() {
        let nothing = Machine::read(&Root::empty()).unwrap();
        assert_eq!(nothing, Machine::default());
        assert_eq!(Machine::from_snapshot(&nothing.to_snapshot()).unwrap(), nothing);
    }

    #[test]
    fn a_machine_read_from_odd_files_makes_the_round_trip() {
        let devices = "sys/bus/pci/devices";
        let device = |tree: Tree, address: &str, class: &str| {
            let uevent = format!("PCI_CLASS={class}\nPCI_ID=8086:0A54\n");
            tree.file(&format!("{devices}/{address}/uevent"), uevent)
        };
        let tree = device(Tree::new(), "10000:e1:00.0", "10802");
        let tree = device(tree, "0000:00:02.0", "30000")
            .link(&format!("{devices}/0000:00:02.0/iommu_group"), "../../groups/0")
            .dir(&format!("{devices}/0000:00:02.0/boot_vga"))
            .file(&format!("{devices}/0000:00:03.0/uevent"), "")
            .dir(&format!("{devices}/0000:00:04.0/uevent"))
            .link(&format!("{devices}/0000:00:05.0"), "gone")
            .file("proc/cpuinfo", b"model name: \xff\x1b[2J\nprocessor: 0\n")
            .file("proc/cmdline", b"root=/dev/sda1 \xff quiet")
            .file("usr/share/misc/pci.ids", vec![b'\t'; 100_000])
            .file("proc/meminfo", "")
            .dir("proc/self/mountinfo")
            .file("boot/vmlinuz-6.1.0", "");
        let machine = Machine::read(&tree.root()).unwrap();
        let groups: Vec<_> = machine.pci.devices().iter().map(|device| device.group).collect();
        assert_eq!(groups, [Some(0), None]);
        let copy = Machine::from_snapshot(&machine.to_snapshot()).unwrap();
        assert_eq!(copy.boot.cmdline.to_string(), "root=redacted \u{fffd} quiet");
        let boot = machine.boot.clone();
        assert_eq!(Machine { boot, ..copy }, machine);
    }

    fn any_machine() -> impl Strategy<Value = Machine> {
        let device = (any::<u32>(), any::<u8>(), 0u32..0x100_0000, any::<(u16, u16)>());
        let devices = prop::collection::vec((device, prop::option::of("[a-z_]{1,9}")), 0..6);
        let usages =
            prop::collection::vec(("/[\\PC]{0,6}", "[a-z0-9/-]{0,6}", any::<bool>()), 0..4);
        (devices, usages, "[^\"]{0,60}", "[a-z]{0,3}[0-9a-f]{0,12}").prop_map(|parts| {
            let (devices, usages, line, name) = parts;
            let mut machine = Machine::from_snapshot(V2).unwrap();
            let template = machine.pci.devices()[0].clone();
            let devices = devices.into_iter().map(|((domain, bus, class, ids), driver)| {
                let mut device = template.clone();
                (device.address.domain, device.address.bus) = (domain, bus);
                (device.class.0, device.driver) = (class, driver);
                (device.vendor, device.device) = ids;
                device
            });
            machine.pci = Pci::from_devices(devices.collect());
            let usage =
                |(mount, device, passphrase)| Usage { mount, device, pci: Vec::new(), passphrase };
            machine.storage.usages = usages.into_iter().map(usage).collect();
            machine.boot.cmdline = line.as_str().into();
            let interface = Interface { name, pci: Vec::new(), default_route: true };
            machine.network.interfaces.push(interface);
            machine
        })
    }

    proptest! {
        #[test]
        fn a_snapshot_of_a_snapshot_is_the_same(machine in any_machine()) {
            let once = machine.to_snapshot();
            let copy = Machine::from_snapshot(&once).unwrap();
            prop_assert_eq!(&copy.pci, &machine.pci);
            prop_assert_eq!(copy.to_snapshot(), once);
        }

        #[test]
        fn never_panics(text in "\\PC*", at in 0usize..V2.len(), byte in "[0-9a-z\"{},:]") {
            let _ = Machine::from_snapshot(&text);
            if V2.is_char_boundary(at) && V2.is_char_boundary(at + 1) {
                let broken = format!("{}{byte}{}", &V2[..at], &V2[at + 1..]);
                let _ = Machine::from_snapshot(&broken);
            }
        }
    }
}

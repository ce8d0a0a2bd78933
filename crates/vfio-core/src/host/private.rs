//! What a machine snapshot leaves out, since people attach it to bug reports: serial numbers,
//! hardware addresses, UUIDs, host names, and the names that people give to disks.

use std::collections::BTreeMap;

use crate::{
    Cmdline,
    host::{Network, Storage, attr::visible},
};

/// What stands where something was left out.
const REDACTED: &str = "redacted";

/// Parameters whose values name disks, hosts or secrets.
const NAMES: [&str; 20] = [
    "root",
    "resume",
    "real_root",
    "cryptdevice",
    "cryptkey",
    "crypto",
    "zfs",
    "bootfs",
    "ip",
    "nfsroot",
    "nfsaddrs",
    "netroot",
    "nameserver",
    "hostname",
    "domainname",
    "ifname",
    "ds",
    "netconsole",
    "swap",
    "home",
];
/// Beginnings of such parameters.
const FAMILIES: [&str; 15] = [
    "rd.luks",
    "luks",
    "rd.lvm",
    "rd.md",
    "rd.dm",
    "rd.zfs",
    "rd.iscsi",
    "iscsi",
    "rd.znet",
    "rd.neednet",
    "systemd.hostname",
    "systemd.machine_id",
    "systemd.set_credential",
    "systemd.verity",
    "cloud",
];

/// The command line with the values left out that say whose machine it is.
pub(super) fn cmdline(line: &Cmdline) -> String {
    let kept = line.iter().map(|word| parameter(&visible(word))).filter(|word| !word.is_empty());
    kept.collect::<Vec<_>>().join(" ")
}

fn parameter(parameter: &str) -> String {
    let Some((name, value)) = parameter.split_once('=') else { return text(parameter) };
    let bare = name.trim_start_matches('"');
    let plain = bare.replace('-', "_");
    let names_something = NAMES.contains(&plain.as_str())
        || FAMILIES.iter().any(|family| plain.starts_with(family))
        || ["/dev/", "UUID=", "LABEL="].iter().any(|mark| value.contains(mark));
    if names_something { format!("{bare}={REDACTED}") } else { format!("{name}={}", text(value)) }
}

/// A text with its UUIDs, machine ids and hardware addresses left out.
pub(super) fn text(text: &str) -> String {
    let part_of = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-');
    let text = visible(text);
    let (mut out, mut rest) = (String::new(), text.as_str());
    while !rest.is_empty() {
        let end = rest.find(|c| !part_of(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        out.push_str(if is_identity(word) { REDACTED } else { word });
        let other = tail.find(part_of).unwrap_or(tail.len());
        out.push_str(&tail[..other]);
        rest = &tail[other..];
    }
    out
}

/// `8-4-4-4-12` or 32 hexadecimal digits, or six pairs of them.
fn is_identity(word: &str) -> bool {
    let shape: Vec<_> = word.split(['-', ':']).map(str::len).collect();
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b':'));
    hex && matches!(shape.as_slice(), [8, 4, 4, 4, 12] | [32] | [2, 2, 2, 2, 2, 2])
}

/// Mount points and devices with numbers for the names that somebody chose.
pub(super) fn storage(storage: &Storage) -> Storage {
    let mut storage = storage.clone();
    let mut others = BTreeMap::new();
    for usage in &mut storage.usages {
        if usage.mount != "swap" && !Storage::SYSTEM.contains(&usage.mount.as_str()) {
            let number = others.len() + 1;
            let mount = others.entry(usage.mount.clone());
            usage.mount = mount.or_insert_with(|| format!("/mnt/{number}")).clone();
        }
        if usage.device.contains('/') {
            REDACTED.clone_into(&mut usage.device);
        }
    }
    storage
}

/// Interfaces with numbers for the hardware addresses in names such as `enx001122334455`.
pub(super) fn network(network: &Network) -> Network {
    let mut network = network.clone();
    let hex = |name: &str| name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
    for (number, interface) in network.interfaces.iter_mut().enumerate() {
        let name = visible(&interface.name);
        if let Some(kind) =
            ["enx", "wlx", "wwx"].iter().find(|k| name.strip_prefix(**k).is_some_and(hex))
        {
            interface.name = format!("{kind}{number:012x}");
        }
    }
    network
}

/// A name below `/dev/input` without the serial number in it; `None` when it is a person's own
/// name for the device, or the number cannot be found in it.
pub(super) fn link(path: &str, serial: Option<&str>) -> Option<String> {
    let path = visible(path);
    if path.starts_with("by-path/") {
        return Some(text(&path));
    }
    let id = path.strip_prefix("by-id/")?;
    match serial {
        None => Some(text(&path)),
        Some(serial) => {
            let (model, rest) = id.split_once(&format!("_{serial}-"))?;
            Some(format!("by-id/{}_{REDACTED}-{}", text(model), text(rest)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::{Interface, Usage};

    const UUID: &str = "0b6ab5b3-6a5e-4a57-8f0c-3d9d5a0e7c11";

    #[test]
    fn leaves_out_what_names_a_machine_and_keeps_the_rest() {
        let line = format!(
            "BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64 root=UUID={UUID} ro rd.luks.uuid=luks-{UUID} \
             rd.lvm.lv=myhost-vg/root resume=/dev/mapper/myhost--vg-swap foo={UUID} quiet \
             netconsole=@10.0.0.2/eth0,@10.0.0.1/00:11:22:33:44:55 isolcpus=2-7 a=00:11:22:33:44:55 \
             intel_iommu=on vfio-pci.ids=10de:2484,10de:228b x=b35e1a7f0c6d4b6f9f3c3a5b8e2d1c0f \
             deploy_vfio.bind=0000:01:00.0=10de:2484"
        );
        assert_eq!(
            cmdline(&line.as_str().into()),
            "BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64 root=redacted ro rd.luks.uuid=redacted \
             rd.lvm.lv=redacted resume=redacted foo=redacted quiet netconsole=redacted \
             isolcpus=2-7 a=redacted intel_iommu=on vfio-pci.ids=10de:2484,10de:228b x=redacted \
             deploy_vfio.bind=0000:01:00.0=10de:2484"
        );
    }

    #[test]
    fn numbers_what_people_name() {
        let usage = |mount: &str, device: &str| Usage {
            mount: mount.to_owned(),
            device: device.to_owned(),
            ..Usage::default()
        };
        let usages =
            vec![usage("/", "anna/ROOT"), usage("/media/anna/X", "sda1"), usage("swap", "dm-1")];
        let kept = storage(&Storage { usages });
        let expected = [usage("/", "redacted"), usage("/mnt/1", "sda1"), usage("swap", "dm-1")];
        assert_eq!(kept.usages, expected);
        assert_eq!(storage(&kept), kept);
        let interface =
            |name: &str| Interface { name: name.to_owned(), pci: Vec::new(), default_route: false };
        let interfaces = vec![interface("enp5s0"), interface("enx001122334455")];
        let kept = network(&Network { interfaces });
        assert_eq!(kept.interfaces, [interface("enp5s0"), interface("enx000000000001")]);
    }

    #[test]
    fn a_serial_number_is_left_out_of_names() {
        let name = "by-id/usb-A_B_1-2_1-2-event-kbd";
        assert_eq!(link(name, Some("1-2_1-2")).unwrap(), "by-id/usb-A_B_redacted-event-kbd");
        assert_eq!(link(name, None).unwrap(), name);
        assert_eq!(link(name, Some("other")), None);
        assert_eq!(link("annas-keyboard", None), None);
        let path = "by-path/pci-0000:00:14.0-usb-0:1:1.0-event-kbd";
        assert_eq!(link(path, Some("1.0")).unwrap(), path);
    }

    proptest! {
        #[test]
        fn doing_it_twice_changes_nothing(line in "([a-f0-9:= -]|root|\\PC){0,60}") {
            let once = text(&line);
            prop_assert_eq!(text(&once), once);
        }
    }
}

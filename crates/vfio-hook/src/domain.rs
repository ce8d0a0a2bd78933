//! What of a guest's definition matters here: libvirt gives it on standard input.
//!
//! Source: <https://libvirt.org/formatdomain.html>. The text is bounded in size and nesting, and
//! has no document type, so it cannot expand.

use roxmltree::{Document, Node, ParsingOptions};
use vfio_core::{Address, CpuList, markup::out_of_bounds};

use crate::Error;

/// The longest definition that is read.
pub const LONGEST: usize = 4 << 20;
const MOST_NODES: u32 = 100_000;
/// The elements that name a PCI device of the host, each with its type.
const PASSED: [(&str, &str); 3] = [("hostdev", "pci"), ("interface", "hostdev"), ("disk", "nvme")];

/// A guest's definition, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The PCI devices that it is given.
    pub devices: Vec<Address>,
    /// The host's CPUs that its virtual CPUs are pinned to; empty where none is.
    pub pinned: CpuList,
    /// Whether its memory is of huge pages.
    pub huge_pages: bool,
}

impl Domain {
    /// Reads a definition.
    ///
    /// # Errors
    ///
    /// What is no XML, too long, has a document type, is no `<domain>`, or names a device by an
    /// address that is none.
    pub fn read(text: &[u8]) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(Error::Domain(format!("it is longer than {} MiB", LONGEST >> 20)));
        }
        let wrong = |error: &dyn std::fmt::Display| Error::Domain(error.to_string());
        let text = str::from_utf8(text).map_err(|error| wrong(&error))?;
        if let Some(why) = out_of_bounds(text) {
            return Err(Error::Domain(why));
        }
        let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
        let document =
            Document::parse_with_options(text, options).map_err(|error| wrong(&error))?;
        let domain = document.root_element();
        if domain.tag_name().name() != "domain" {
            return Err(wrong(&"it is no <domain>"));
        }
        let pinned = pinned(domain);
        let huge_pages = path(domain, &["memoryBacking", "hugepages"]).next().is_some();
        let devices = PASSED
            .iter()
            .flat_map(|(element, kind)| {
                let all = path(domain, &["devices", element]);
                all.filter(|device| device.attribute("type") == Some(*kind))
            })
            .flat_map(|device| path(device, &["source", "address"]))
            .filter(|address| address.attribute("type").is_none_or(|kind| kind == "pci"))
            .map(address)
            .collect::<Result<_, _>>()?;
        Ok(Self { devices, pinned, huge_pages })
    }
}

/// The elements below `node` along `names`.
fn path<'a>(node: Node<'a, 'a>, names: &[&str]) -> std::vec::IntoIter<Node<'a, 'a>> {
    let mut found = vec![node];
    for name in names {
        found = found
            .iter()
            .flat_map(Node::children)
            .filter(|child| child.tag_name().name() == *name)
            .collect();
    }
    found.into_iter()
}

/// The CPUs of `<vcpupin>`; else those of `<vcpu cpuset=…>`.
fn pinned(domain: Node<'_, '_>) -> CpuList {
    let sets = |names: &[&str]| {
        let sets = path(domain, names).filter_map(|pin| pin.attribute("cpuset"));
        sets.flat_map(cpus).collect::<CpuList>()
    };
    let pins = sets(&["cputune", "vcpupin"]);
    if pins.is_empty() { sets(&["vcpu"]) } else { pins }
}

/// A CPU set as libvirt writes it: `1-4,^3,6`.
fn cpus(set: &str) -> Vec<u32> {
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for part in set.split(',').map(str::trim) {
        let (list, part) = match part.strip_prefix('^') {
            Some(part) => (&mut without, part),
            None => (&mut all, part),
        };
        if let Ok(cpus) = part.parse::<CpuList>() {
            list.extend(cpus.iter());
        }
    }
    all.retain(|cpu| !without.contains(cpu));
    all
}

/// `<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>`; the domain may be left out.
fn address(node: Node<'_, '_>) -> Result<Address, Error> {
    let number = |name: &str| {
        let text = node.attribute(name).unwrap_or("0");
        let digits = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
        u32::from_str_radix(digits.0, digits.1)
            .map_err(|_| Error::Domain(format!("a device's {name} is `{}`", text.escape_debug())))
    };
    let [domain, bus] = [number("domain")?, number("bus")?];
    let [slot, function] = [number("slot")?, number("function")?];
    let text = format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}");
    text.parse().map_err(|_| Error::Domain(format!("`{text}` is no PCI address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "<domain type='kvm'><name>win10</name><vcpu placement='static' \
        cpuset='0-7'>4</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='6'/>\
        <vcpupin vcpu='2' cpuset='3-4,^4'/><emulatorpin cpuset='0'/></cputune>\
        <memoryBacking><hugepages/></memoryBacking><devices>\
        <hostdev mode='subsystem' type='pci' managed='yes'><source>\
        <address domain='0x0000' bus='0x0a' slot='0x00' function='0x1'/></source>\
        <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/></hostdev>\
        <hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>\
        </devices></domain>";

    #[test]
    fn what_matters_is_read() {
        let guest = Domain::read(GUEST.as_bytes()).unwrap();
        assert_eq!(guest.devices, ["0000:0a:00.1".parse().unwrap()]);
        assert_eq!(guest.pinned.to_string(), "2-3,6");
        assert!(guest.huge_pages);
        let plain = Domain::read(b"<domain><vcpu cpuset='1-2'>2</vcpu></domain>").unwrap();
        assert_eq!(plain.pinned.to_string(), "1-2");
        assert_eq!(Domain::read(b"<domain/>").unwrap(), Domain::default());
    }

    #[test]
    fn virtual_functions_and_nvme_disks_are_devices_too() {
        let text = "<domain><devices><interface type='hostdev'><source>\
            <address type='pci' domain='0x0000' bus='0x03' slot='0x10' function='0x2'/></source>\
            </interface><interface type='network'><source network='x'/></interface>\
            <disk type='nvme'><source type='pci'><address domain='0' bus='4' slot='0' function='0'/>\
            </source></disk></devices></domain>";
        let devices = Domain::read(text.as_bytes()).unwrap().devices;
        let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
        assert_eq!(devices, ["0000:03:10.2", "0000:04:00.0"]);
    }

    #[test]
    fn what_is_no_guest_is_refused() {
        let device = |address: &str| {
            format!(
                "<domain><devices><hostdev type='pci'><source><address {address}/></source>\
                 </hostdev></devices></domain>"
            )
        };
        for bad in [
            String::new(),
            "<domain>".to_owned(),
            "<network/>".to_owned(),
            "<!DOCTYPE d [<!ENTITY a \"x\">]><domain>&a;</domain>".to_owned(),
            device("bus='0xzz'"),
            device("bus='0x1' slot='0x20'"),
            format!("<domain>{}</domain>", " ".repeat(LONGEST)),
        ] {
            assert!(Domain::read(bad.as_bytes()).is_err(), "{}", bad.get(..80).unwrap_or(&bad));
        }
        assert!(Domain::read(b"<domain>\xff</domain>").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".{0,200}") {
            let _ = Domain::read(text.as_bytes());
            let _ = cpus(&text);
        }
    }
}

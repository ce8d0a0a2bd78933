//! What of a guest's definition decides what it needs.

use vfio_core::Address;

use crate::{
    Error,
    markup::{domain, path, text},
    same::address,
};

/// More I/O threads than anybody has.
const MOST_THREADS: u32 = 1024;

/// A guest, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// How many virtual CPUs it has; `None` where its definition does not say, which means one.
    pub vcpus: Option<usize>,
    /// Its memory, in KiB; `None` where the definition does not say in a unit that is known.
    pub memory_kib: Option<u64>,
    /// The elements that name virtual CPUs by their numbers, besides those that pin them.
    pub numbering: Vec<&'static str>,
    /// The ids of its I/O threads.
    pub iothreads: Vec<u32>,
    /// How it sees the host's processor: `host-passthrough`, `custom`…
    pub cpu_mode: Option<String>,
    /// Whether it is told that it runs on Hyper-V, as Windows guests are.
    pub hyperv: bool,
    /// The host's PCI devices that it has.
    pub devices: Vec<Address>,
    /// Those that it has as network interfaces or disks.
    pub otherwise: Vec<Address>,
}

impl Guest {
    /// Reads a definition.
    ///
    /// # Errors
    ///
    /// What is no XML, is too long, has a document type or is no `<domain>`.
    pub fn read(definition: &str) -> Result<Self, Error> {
        let document = domain(definition)?;
        let guest = document.root_element();
        let first = |names: &[&str]| path(guest, names).first().copied();
        let number = |names: &[&str]| first(names).and_then(text)?.parse().ok();
        let of = |hostdev: roxmltree::Node<'_, '_>| {
            let [domain, bus, slot, function] = address(hostdev)?;
            format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}").parse().ok()
        };
        let given = |element: &str, kind: &str| -> Vec<Address> {
            let all = path(guest, &["devices", element]);
            let of_kind = all.into_iter().filter(|device| device.attribute("type") == Some(kind));
            of_kind.filter_map(of).collect()
        };
        let ids = path(guest, &["iothreadids", "iothread"]);
        let ids: Vec<u32> = ids.iter().filter_map(|id| id.attribute("id")?.parse().ok()).collect();
        // Threads without ids are numbered from 1.
        let count: u32 = number(&["iothreads"]).unwrap_or(0).try_into().unwrap_or(u32::MAX);
        let others = (1..=MOST_THREADS).filter(|id| !ids.contains(id));
        let others = others.take((count.min(MOST_THREADS) as usize).saturating_sub(ids.len()));
        let numbering = [
            ("numa", &["cpu", "numa", "cell"][..]),
            ("vcpusched", &["cputune", "vcpusched"]),
            ("vcpus", &["vcpus"]),
        ];
        let numbering = numbering.into_iter().filter(|(_, names)| !path(guest, names).is_empty());
        let cpu = first(&["cpu"]);
        // A model without a mode is a custom one.
        let model = cpu.filter(|cpu| !path(*cpu, &["model"]).is_empty()).map(|_| "custom");
        let memory = first(&["memory"]);
        let unit = memory.and_then(|memory| memory.attribute("unit")).unwrap_or("KiB");
        Ok(Self {
            name: first(&["name"]).and_then(text).unwrap_or_default().to_owned(),
            vcpus: number(&["vcpu"]),
            memory_kib: memory.and_then(text).and_then(|text| kib(text.parse().ok()?, unit)),
            numbering: numbering.map(|(name, _)| name).collect(),
            iothreads: ids.iter().copied().chain(others).collect(),
            cpu_mode: cpu.and_then(|cpu| cpu.attribute("mode")).or(model).map(str::to_owned),
            hyperv: first(&["features", "hyperv"]).is_some(),
            devices: given("hostdev", "pci"),
            otherwise: [given("interface", "hostdev"), given("disk", "nvme")].concat(),
        })
    }
}

/// A number in a unit of libvirt's, in KiB; those of a thousand are not written by anybody.
fn kib(number: u64, unit: &str) -> Option<u64> {
    match unit {
        "KiB" | "k" => Some(number),
        "MiB" | "M" => number.checked_mul(1 << 10),
        "GiB" | "G" => number.checked_mul(1 << 20),
        "TiB" | "T" => number.checked_mul(1 << 30),
        "b" | "bytes" => Some(number >> 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_matters_is_read() {
        let guest = Guest::read(
            "<!-- x -->\n<domain><name>win 10</name><memory unit='GiB'>16</memory>\
             <vcpu placement='static'> 6 </vcpu><iothreads>2</iothreads>\
             <iothreadids><iothread id='5'/></iothreadids><cputune><vcpusched/></cputune>\
             <features><hyperv/></features><cpu mode='host-model'/><devices>\
             <hostdev type='pci'><source><address bus='0x0a' slot='0x00' function='0x1'/></source>\
             </hostdev><hostdev type='usb'/><interface type='hostdev'><source><address type='pci' \
             bus='010' slot='0X1'/></source></interface></devices></domain>",
        );
        let wanted = Guest {
            name: "win 10".to_owned(),
            vcpus: Some(6),
            memory_kib: Some(16 << 20),
            numbering: vec!["vcpusched"],
            iothreads: vec![5, 1],
            cpu_mode: Some("host-model".to_owned()),
            hyperv: true,
            devices: vec!["0000:0a:00.1".parse().unwrap()],
            otherwise: vec!["0000:08:01.0".parse().unwrap()],
        };
        assert_eq!(guest.unwrap(), wanted);
        assert_eq!(Guest::read("<domain/>").unwrap(), Guest::default());
        let custom = Guest::read("<domain><cpu><model>x</model></cpu></domain>").unwrap();
        assert_eq!(custom.cpu_mode.as_deref(), Some("custom"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".{0,200}") {
            let _ = Guest::read(&text);
            let _ = crate::merge(&text, "<domain><a/></domain>");
        }
    }
}

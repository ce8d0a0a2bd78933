//! What guests need, as XML of libvirt's.

use std::fmt::Write as _;

use vfio_core::{Address, CpuList};

use crate::markup::escaped;

/// A PCI device of the host, and the file that is its ROM where it is not to show its own.
///
/// It is always `managed`: libvirt gives a device that it took from a driver back to it, and leaves
/// one alone that waits on vfio-pci.
#[must_use]
pub fn hostdev(device: Address, rom: Option<&str>) -> String {
    let text = device.to_string();
    let part = |range| text.get(range).unwrap_or_default();
    let (domain, bus, slot, function) = (part(0..4), part(5..7), part(8..10), part(11..12));
    let mut xml = format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'>\n  <source>\n    \
         <address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>\n  \
         </source>\n"
    );
    if let Some(rom) = rom {
        let _ = writeln!(xml, "  <rom file='{}'/>", escaped(rom));
    }
    xml + "</hostdev>\n"
}

/// What hides from a guest that it is one: NVIDIA's drivers before 465 for Windows refuse to work
/// in guests, and tell them by KVM's signature and by Hyper-V's vendor.
#[must_use]
pub fn hidden(hyperv: bool) -> String {
    let vendor = "  <hyperv>\n    <vendor_id state='on' value='deployvfio'/>\n  </hyperv>\n";
    let vendor = if hyperv { vendor } else { "" };
    format!("<features>\n{vendor}  <kvm>\n    <hidden state='on'/>\n  </kvm>\n</features>\n")
}

/// Memory in huge pages of this size, in KiB.
#[must_use]
pub fn huge_pages(kib: u64) -> String {
    format!(
        "<memoryBacking>\n  <hugepages>\n    <page size='{kib}' unit='KiB'/>\n  </hugepages>\n\
         </memoryBacking>\n"
    )
}

/// I/O threads on the host's CPUs, by their ids; at least one, which disks can be told to use.
#[must_use]
pub fn pins(iothreads: &[u32], host: &CpuList) -> String {
    let iothreads = if iothreads.is_empty() { &[1] } else { iothreads };
    let mut xml = format!("<iothreads>{}</iothreads>\n<cputune>\n", iothreads.len());
    for thread in iothreads {
        let _ = writeln!(xml, "  <iothreadpin iothread='{thread}' cpuset='{host}'/>");
    }
    xml + "</cputune>\n"
}

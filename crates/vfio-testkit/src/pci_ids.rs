//! A `pci.ids` that knows the described devices and no others.
//!
//! Tests must not depend on the names that the machine they run on happens to have.

use std::{collections::BTreeMap, fmt::Write};

use crate::description::Description;

/// Vendors that name themselves in more than one word.
const VENDORS: &[(u32, &str)] = &[
    (0x1002, "Advanced Micro Devices, Inc. [AMD/ATI]"),
    (0x1022, "Advanced Micro Devices, Inc. [AMD]"),
    (0x10de, "NVIDIA Corporation"),
    (0x10ec, "Realtek Semiconductor Co., Ltd."),
    (0x144d, "Samsung Electronics Co Ltd"),
    (0x14e4, "Broadcom Inc. and subsidiaries"),
    (0x15b7, "Sandisk Corp"),
    (0x1a03, "ASPEED Technology, Inc."),
    (0x1b21, "ASMedia Technology Inc."),
    (0x8086, "Intel Corporation"),
];

/// The file's text.
pub(crate) fn text(machine: &Description) -> String {
    let mut vendors = BTreeMap::<u32, (String, BTreeMap<u32, String>)>::new();
    for device in &machine.devices {
        let (vendor, id) = device.ids();
        // One line each, and a tab at its start would mean something.
        let name: String =
            device.name.chars().map(|c| if c < ' ' && c != '\x1b' { ' ' } else { c }).collect();
        let (by, rest) = split(vendor, name.trim());
        let entry = vendors.entry(vendor).or_insert_with(|| (by.to_owned(), BTreeMap::new()));
        if !rest.is_empty() {
            entry.1.entry(id).or_insert_with(|| rest.to_owned());
        }
    }
    let mut text = String::from("# The devices of one described machine.\n");
    for (vendor, (name, devices)) in vendors {
        let _ = writeln!(text, "{vendor:04x}  {name}");
        for (id, name) in devices {
            let _ = writeln!(text, "\t{id:04x}  {name}");
        }
    }
    text + CLASSES
}

/// Vendor and device of a name such as `NVIDIA Corporation GA104 [GeForce RTX 3070]`.
fn split(vendor: u32, name: &str) -> (&str, &str) {
    if let Some((_, known)) = VENDORS.iter().find(|(id, _)| *id == vendor) {
        let rest = name.strip_prefix(known).unwrap_or(name).trim_start();
        return (known, rest);
    }
    let end = ["Corporation ", "Inc. ", "Ltd. ", "Co. "]
        .iter()
        .find_map(|word| name.find(word).map(|at| at + word.len()))
        .or_else(|| name.find(' '))
        .unwrap_or(name.len());
    let (by, rest) = name.split_at(end);
    (by.trim_end(), rest.trim_start())
}

const CLASSES: &str = "
C 01  Mass storage controller
\t06  SATA controller
\t\t01  AHCI 1.0
\t08  Non-Volatile memory controller
\t\t02  NVM Express
C 02  Network controller
\t00  Ethernet controller
\t80  Network controller
C 03  Display controller
\t00  VGA compatible controller
\t\t00  VGA controller
\t02  3D controller
\t80  Display controller
C 04  Multimedia controller
\t01  Multimedia audio controller
\t03  Audio device
C 05  Memory controller
\t80  Memory controller
C 06  Bridge
\t00  Host bridge
\t01  ISA bridge
\t04  PCI bridge
\t80  Bridge
C 07  Communication controller
\t80  Communication controller
C 08  Generic system peripheral
\t06  IOMMU
\t80  System peripheral
C 0c  Serial bus controller
\t03  USB controller
\t\t30  XHCI
\t05  SMBus
\t80  Serial bus controller
C 10  Encryption controller
\t80  Encryption controller
C 11  Signal processing controller
\t80  Signal processing controller
C 12  Processing accelerators
C 13  Non-Essential Instrumentation
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_vendor_and_device() {
        assert_eq!(split(0x10de, "NVIDIA Corporation TU106"), ("NVIDIA Corporation", "TU106"));
        assert_eq!(split(0x1af4, "Red Hat, Inc. Virtio GPU"), ("Red Hat, Inc.", "Virtio GPU"));
        assert_eq!(split(0x9999, "Odd"), ("Odd", ""));
        assert_eq!(split(0x8086, "something"), ("Intel Corporation", "something"));
    }
}

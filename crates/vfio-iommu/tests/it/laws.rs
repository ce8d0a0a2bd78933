//! Laws over random machines: whatever is asked, the host stays usable and nothing is split.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::select as any_of};
use vfio_core::{
    Address,
    host::{Class, Device, Input, InputKind, Interface, Machine, Pci, Storage, Usage, Vendor},
};
use vfio_iommu::{
    Allow, Binding, Choice, Chosen, Entry, Reason, Request, Selection, arguments, choose, entries,
    fixed, protected, select,
};

/// Classes of all kinds, displays and bridges often.
const CLASSES: [u32; 18] = [
    0x0300, 0x0300, 0x0300, 0x0302, 0x0380, 0x0403, 0x0c03, 0x0c80, 0x0108, 0x0200, 0x0600, 0x0604,
    0x0601, 0x0c05, 0x0500, 0x1300, 0x0880, 0x0106,
];
const VENDORS: [u16; 6] = [0x8086, 0x1022, 0x1002, 0x10de, 0x10de, 0x1a03];

fn device() -> impl Strategy<Value = Device> {
    let place = (0u8..6, 0u8..3, 0u8..4);
    let what = (any_of(&CLASSES[..]), any_of(&VENDORS[..]), 1u16..4);
    let rest = (option::weighted(0.95, 0u32..12), any::<bool>(), option::weighted(0.1, 0u8..4));
    (place, what, rest).prop_map(
        |((bus, slot, function), (class, vendor, id), (group, boot, vf))| {
            let address = Address { domain: 0, bus, device: slot, function };
            let class = Class(class << 8);
            let physical = vf.map(|function| Address { function, ..address });
            Device {
                address,
                class,
                vendor,
                device: id,
                subsystem: (0, 0),
                driver: None,
                modalias: None,
                group,
                boot_vga: (class.kind() == 0x0300).then_some(boot),
                parent: None,
                physical: physical.filter(|physical| *physical != address),
            }
        },
    )
}

/// A machine, and what the host does with some of its devices.
fn machine() -> impl Strategy<Value = Machine> {
    let uses = vec((0usize..30, 0u8..5), 0..8);
    (vec(device(), 1..30), uses, any::<bool>()).prop_map(|(devices, uses, amd)| {
        let pci = Pci::from_devices(devices);
        let mut machine = Machine { pci, ..Machine::default() };
        machine.cpu.vendor = if amd { Vendor::Amd } else { Vendor::Intel };
        for (at, what) in uses {
            let all = machine.pci.devices();
            let pci = all[at % all.len()].address;
            let name = "K".to_owned();
            let usage =
                |mount: &str| Usage { mount: mount.to_owned(), pci: vec![pci], ..Usage::default() };
            let Storage { usages } = &mut machine.storage;
            match what {
                0 => usages.push(usage("/")),
                1 => usages.push(usage("/home")),
                2 => machine.network.interfaces.push(Interface {
                    name,
                    pci: vec![pci],
                    default_route: true,
                }),
                _ => machine.inputs.devices.push(Input {
                    name,
                    kind: InputKind::Keyboard,
                    pci: Some(pci),
                    event: String::new(),
                    port: None,
                    serial: None,
                    links: Vec::new(),
                }),
            }
        }
        machine
    })
}

fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("all".to_owned()),
        Just("vga".to_owned()),
        Just("no-vga".to_owned()),
        (0u32..13).prop_map(|group| group.to_string()),
        (0u32..13, 0u32..5).prop_map(|(first, more)| format!("{first}-{}", first + more)),
    ];
    vec(word, 1..4).prop_map(|words| words.join(","))
}

fn allowed() -> impl Strategy<Value = Vec<Allow>> {
    proptest::sample::subsequence(Allow::ALL.to_vec(), 0..=4)
}

fn drives_screens(device: &Device) -> bool {
    matches!(device.class.kind(), 0x0300 | 0x0380) && device.physical.is_none()
}

/// The devices that an entry leaves to the host.
fn kept<'m>(machine: &'m Machine, entry: &Entry) -> Vec<&'m Device> {
    let bound: BTreeSet<_> = entry.bind.iter().map(|(address, ..)| *address).collect();
    machine.pci.devices().iter().filter(|device| !bound.contains(&device.address)).collect()
}

/// Whether two devices are functions of a card, as `roles.rs` defines it, told independently.
fn same_card(a: &Device, b: &Device) -> bool {
    let add_in = |device: &Device| {
        device.address.bus > 0
            && device.vendor != 0x1022
            && !device.class.is_bridge()
            && device.physical.is_none()
            && device.group.is_some()
    };
    a.address.same_slot(&b.address) && add_in(a) && add_in(b)
}

/// An entry binds whole groups and cards, nothing that is protected, and leaves the host usable.
fn usable(
    machine: &Machine,
    words: &str,
    allow: &[Allow],
    chosen: &Chosen,
    entry: &Entry,
) -> Result<(), TestCaseError> {
    let reasons = protected(machine);
    let kept = kept(machine, entry);
    let get = |address: &Address| machine.pci.get(*address).unwrap();
    let bound: Vec<_> = entry.bind.iter().map(|(address, ..)| get(address)).collect();
    prop_assert!(!bound.is_empty());
    for device in &bound {
        prop_assert!(!device.class.is_bridge() && device.physical.is_none());
        prop_assert!(device.group.is_some_and(|g| chosen.groups.contains(&g)));
        for reason in reasons.get(&device.address).into_iter().flatten() {
            let lifted = reason.lifted_by().is_some_and(|by| allow.contains(&by));
            prop_assert!(lifted || reason.yields_to_name(), "{} {reason}", device.address);
        }
        // Whole groups, whole cards.
        for other in &kept {
            let group =
                other.group == device.group && !other.class.is_bridge() && other.physical.is_none();
            prop_assert!(!group, "{} and {}", device.address, other.address);
            prop_assert!(!same_card(device, other));
        }
    }
    let soft = reasons.iter().filter(|(_, r)| r.contains(&Reason::IntegratedDisplay));
    if words.split(',').all(|word| word.parse::<u32>().is_err()) {
        for (address, _) in soft {
            prop_assert!(kept.iter().any(|device| device.address == *address));
        }
    }
    match entry.host {
        Some(host) => {
            prop_assert!(kept.iter().any(|d| d.address == host && drives_screens(d)))
        }
        None => prop_assert!(
            allow.contains(&Allow::Headless) || !machine.pci.devices().iter().any(drives_screens)
        ),
    }
    let has_keyboard = |list: &[&Device]| {
        list.iter().any(|d| machine.inputs.keyboards_on(d.address).next().is_some())
    };
    if has_keyboard(&bound) && !allow.contains(&Allow::Keyboard) {
        prop_assert!(has_keyboard(&kept));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_host_stays_usable(
        machine in machine(),
        words in words(),
        allow in allowed(),
    ) {
        let selection: Selection = words.parse().unwrap();
        let Ok(chosen) = select(&machine, &selection, &allow) else { return Ok(()) };
        let Ok(entries) = entries(&machine, &|d| d.ids(), &chosen) else { return Ok(()) };
        prop_assert!(!entries.is_empty());
        for entry in &entries {
            usable(&machine, &words, &allow, &chosen, entry)?;
        }
    }

    #[test]
    fn so_it_does_without_a_menu(
        machine in machine(),
        words in words(),
        allow in allowed(),
        host in option::weighted(0.3, 0u32..12),
    ) {
        let selection: Selection = words.parse().unwrap();
        let request = Request { selection, allow, host };
        let Ok((entry, chosen)) = fixed(&machine, &|d| d.ids(), &request) else { return Ok(()) };
        usable(&machine, &words, &request.allow, &chosen, &entry)?;
        for group in words.split(',').filter_map(|word| word.parse().ok()) {
            prop_assert!(chosen.groups.contains(&group), "{group} was named");
        }
        if let Some(host) = host {
            prop_assert!(!chosen.groups.contains(&host) && entry.host.is_some());
        }
    }

    #[test]
    fn entries_are_told_apart_and_ordered(machine in machine(), words in words()) {
        let Ok(chosen) = select(&machine, &words.parse().unwrap(), &[]) else { return Ok(()) };
        let Ok(entries) = entries(&machine, &|d| d.ids(), &chosen) else { return Ok(()) };
        prop_assert!(entries.is_sorted_by(|a, b| a.host < b.host));
        let pick = |choice| choose(&entries, &machine, choice).unwrap().map(|entry| entry.host);
        prop_assert_eq!(pick(Choice::First), entries.first().map(|entry| entry.host));
        prop_assert_eq!(pick(Choice::Last), entries.last().map(|entry| entry.host));
        prop_assert_eq!(pick(Choice::Default), None);
        for entry in &entries {
            if let Some(group) = entry.host_group {
                let picked = choose(&entries, &machine, Choice::Group(group)).unwrap().unwrap();
                prop_assert_eq!(picked.host_group, Some(group));
            }
        }
    }

    #[test]
    fn by_id_never_takes_what_the_host_keeps(machine in machine(), words in words()) {
        let Ok(chosen) = select(&machine, &words.parse().unwrap(), &[]) else { return Ok(()) };
        let Ok(entries) = entries(&machine, &|d| d.ids(), &chosen) else { return Ok(()) };
        for entry in &entries {
            let Ok(arguments) = arguments(entry, Binding::ById, &machine) else { continue };
            let ids = arguments.always.value("vfio-pci.ids").unwrap();
            for device in kept(&machine, entry) {
                prop_assert!(!ids.contains(&device.ids()), "{} in {ids}", device.address);
            }
        }
    }

    #[test]
    fn the_same_machine_on_vfio_pci_gives_the_same_plan(machine in machine(), words in words()) {
        let plan = |machine: &Machine| {
            let chosen = select(machine, &words.parse().unwrap(), &[]).ok()?;
            entries(machine, &|d| d.ids(), &chosen).ok()
        };
        let mut bound = machine.clone();
        let on_vfio = |device: &Device| {
            let driver = Some("vfio-pci".to_owned());
            Device { driver, ..device.clone() }
        };
        bound.pci = Pci::from_devices(machine.pci.devices().iter().map(on_vfio).collect());
        prop_assert_eq!(plan(&machine), plan(&bound));
    }
}

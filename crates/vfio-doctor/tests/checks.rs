//! What each finding says, on machines made for it.

use vfio_core::host::{
    Availability, Class, Cpu, Detail, Device, HugePages, Kernel, Machine, Pci, Platform, User,
    Vendor,
};
use vfio_doctor::{Check, Patient, Verdict, examine};

fn card(address: &str, ids: (u16, u16)) -> Device {
    Device {
        address: address.parse().unwrap(),
        class: Class(0x03_0000),
        vendor: ids.0,
        device: ids.1,
        subsystem: (0, 0),
        driver: None,
        modalias: None,
        group: Some(7),
        boot_vga: Some(address.ends_with("01:00.0")),
        parent: None,
        physical: None,
    }
}

fn machine(cards: Vec<Device>) -> Machine {
    Machine { pci: Pci::from_devices(cards), ..Machine::default() }
}

fn all(machine: &Machine, platform: &Platform, user: Option<&User>) -> Vec<Check> {
    let call = |device: &Device| device.ids();
    let groups = ["root".to_owned(), "libvirt".to_owned()];
    examine(&Patient { machine, platform, user, groups: &groups, call: &call })
}

/// The verdict on what is `about` that, and what was said.
fn found(checks: &[Check], about: &str) -> Vec<(Verdict, String)> {
    let wanted = checks.iter().filter(|check| check.about == about);
    wanted.map(|check| (check.verdict, check.why.clone())).collect()
}

fn verdict(checks: &[Check], about: &str) -> Option<Verdict> {
    found(checks, about).first().map(|(verdict, _)| *verdict)
}

#[test]
fn what_is_not_known_is_no_failure() {
    let checks = all(&Machine::default(), &Platform::default(), None);
    assert!(checks.iter().all(|check| check.verdict != Verdict::Fail), "{checks:?}");
    for about in ["virtualization", "interrupt remapping", "kernels", "Secure Boot", "reset"] {
        assert_eq!(verdict(&checks, about), None, "{about}");
    }
}

#[test]
fn a_finding_that_is_not_passed_says_what_to_do() {
    let mut sick = machine(vec![card("0000:01:00.0", (0x1002, 0x67df))]);
    sick.boot.cmdline = "pcie_acs_override=downstream nomodeset intremap=off".into();
    let platform = Platform {
        remapping: Some(false),
        lockdown: Some("integrity".into()),
        ..Platform::default()
    };
    let checks = all(&sick, &platform, None);
    for check in &checks {
        assert_eq!(check.help.is_some(), check.verdict != Verdict::Pass, "{check:?}");
    }
    assert_eq!(found(&checks, "kernel parameters").len(), 2);
    assert_eq!(verdict(&checks, "interrupt remapping"), Some(Verdict::Fail));
    assert_eq!(verdict(&checks, "Secure Boot"), Some(Verdict::Warn));
}

#[test]
fn guests_need_virtualization_and_remapped_interrupts() {
    for (flags, verdict_of) in [
        (&["vmx"][..], Verdict::Pass),
        (&["svm", "hypervisor"], Verdict::Warn),
        (&["pdpe1gb"], Verdict::Fail),
    ] {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let cpu = Cpu { flags, vendor: Vendor::Intel, ..Cpu::default() };
        let machine = Machine { cpu, ..machine(vec![card("0000:01:00.0", (1, 2))]) };
        let platform = Platform { remapping: Some(true), ..Platform::default() };
        let checks = all(&machine, &platform, None);
        assert_eq!(verdict(&checks, "virtualization"), Some(verdict_of));
        assert_eq!(verdict(&checks, "interrupt remapping"), Some(Verdict::Pass));
    }
}

#[test]
fn a_card_is_reset_or_it_is_told() {
    let polaris = card("0000:01:00.0", (0x1002, 0x67df));
    let other = card("0000:02:00.0", (0x10de, 0x1f02));
    let mut machine = machine(vec![polaris.clone(), other.clone()]);
    let methods = |methods: &[&str]| Detail {
        reset_methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        ..Detail::default()
    };
    machine.details.insert(polaris.address, methods(&["device_specific", "bus"]));
    let mut platform = Platform::default();
    platform.resettable.insert(other.address, false);
    let checks = all(&machine, &platform, None);
    let verdicts: Vec<Verdict> = found(&checks, "reset").iter().map(|(v, _)| *v).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn]);
    machine.details.insert(polaris.address, methods(&["bus"]));
    platform.resettable.insert(other.address, true);
    let checks = all(&machine, &platform, None);
    let verdicts: Vec<Verdict> = found(&checks, "reset").iter().map(|(v, _)| *v).collect();
    assert_eq!(verdicts, [Verdict::Warn, Verdict::Pass]);
}

#[test]
fn the_only_display_and_twins_are_told() {
    let mut platform =
        Platform { framebuffer: Some("simpledrmdrmfb".into()), ..Platform::default() };
    let one = card("0000:01:00.0", (0x10de, 0x1f02));
    platform.windows.insert(one.address, 16 << 30);
    let checks = all(&machine(vec![one.clone()]), &platform, None);
    let [(Verdict::Warn, why)] = &found(&checks, "display")[..] else { panic!("{checks:?}") };
    assert!(why.contains("`simpledrmdrmfb` draws the console; it is the only one"), "{why}");
    let [(Verdict::Pass, why)] = &found(&checks, "memory window")[..] else { panic!("{checks:?}") };
    assert!(why.contains("16384 MiB (resized"), "{why}");
    assert_eq!(verdict(&checks, "twin cards"), None);
    let two = machine(vec![one, card("0000:02:00.0", (0x10de, 0x1f02))]);
    let checks = all(&two, &Platform::default(), None);
    assert_eq!(verdict(&checks, "display"), Some(Verdict::Pass));
    assert_eq!(verdict(&checks, "twin cards"), Some(Verdict::Warn));
}

#[test]
fn kernels_pages_and_users_are_told() {
    let kernel = |release: &str, vfio_pci| Kernel {
        release: release.to_owned(),
        vfio_pci,
        ..Kernel::default()
    };
    let (with, without) =
        (kernel("6.1", Availability::Module), kernel("6.9-custom", Availability::Missing));
    for (installed, wanted) in [
        (vec![with.clone()], Verdict::Pass),
        (vec![with, without.clone()], Verdict::Warn),
        (vec![without], Verdict::Fail),
    ] {
        let mut machine = Machine::default();
        machine.kernels.installed = installed;
        machine.memory.total_kib = 8 << 20;
        machine.memory.huge_pages = vec![HugePages { size_kib: 1 << 20, total: 6, free: 6 }];
        let user = User { name: "anna".into(), uid: 1000, groups: vec!["anna".into()] };
        let checks = all(&machine, &Platform::default(), Some(&user));
        assert_eq!(verdict(&checks, "kernels"), Some(wanted));
        assert_eq!(verdict(&checks, "huge pages"), Some(Verdict::Warn));
        assert_eq!(verdict(&checks, "user"), Some(Verdict::Warn));
        let user = User { groups: vec!["libvirt".into()], ..user };
        let checks = all(&machine, &Platform::default(), Some(&user));
        assert_eq!(verdict(&checks, "user"), Some(Verdict::Pass));
    }
}

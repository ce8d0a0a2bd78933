//! Processor, interrupt remapping, and parameters that people add by habit.

use vfio_core::host::{Machine, Vendor};

use crate::{Check, Patient};

const VIRTUALIZATION: &str = "virtualization";
const REMAPPING: &str = "interrupt remapping";
const PARAMETERS: &str = "kernel parameters";

/// Parameters that cost more than they give: their name, what they do, what to do.
const HABITS: [(&str, &str, &str); 4] = [
    (
        "pcie_acs_override",
        "makes groups look smaller than what the hardware keeps apart",
        "without it `deploy-vfio groups` shows the true groups",
    ),
    (
        "vfio_iommu_type1.allow_unsafe_interrupts",
        "lets a guest forge interrupts of the host",
        "take it away where interrupts are remapped",
    ),
    (
        "nomodeset",
        "keeps the graphics drivers from driving any screen",
        "take it away: the card that the host keeps needs its driver",
    ),
    (
        "vfio-pci.ids",
        "binds every device of an id, the host's twin too",
        "`deploy-vfio multiboot` or `static grub` binds by address",
    ),
];

pub(crate) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(virtualization(patient.machine));
    checks.extend(remapping(patient));
    for (name, does, help) in HABITS {
        let line = &patient.machine.boot.cmdline;
        if line.value(name).is_some() && line.value(name) != Some("0") {
            checks.push(Check::warn(PARAMETERS, format!("`{name}` {does}"), help));
        }
    }
    checks
}

/// KVM needs VT-x or AMD-V; the kernel lists neither when the firmware has it locked off.
fn virtualization(machine: &Machine) -> Option<Check> {
    let cpu = &machine.cpu;
    if cpu.flags.is_empty() {
        return None;
    }
    let (name, setting) = match cpu.vendor {
        Vendor::Intel => ("VT-x", "`Intel Virtualization Technology`"),
        Vendor::Amd => ("AMD-V", "`SVM Mode`"),
        Vendor::Other => ("virtualization", "virtualization"),
    };
    if !cpu.flags.contains("vmx") && !cpu.flags.contains("svm") {
        let why = format!("the processor shows no {name}: guests cannot run");
        let help = format!("switch {setting} on in the firmware setup, and boot again");
        return Some(Check::fail(VIRTUALIZATION, why, help));
    }
    if cpu.flags.contains("hypervisor") {
        let why = format!("{name} is there, but this machine is a guest itself");
        let help = "pass devices through from the machine below";
        return Some(Check::warn(VIRTUALIZATION, why, help));
    }
    Some(Check::pass(VIRTUALIZATION, format!("{name} is on")))
}

fn remapping(patient: &Patient<'_>) -> Option<Check> {
    if !patient.machine.pci.has_groups() {
        return None;
    }
    let line = &patient.machine.boot.cmdline;
    match patient.platform.remapping? {
        true => Some(Check::pass(REMAPPING, "interrupts are remapped")),
        false if line.value("intremap") == Some("off") || line.value("nointremap").is_some() => {
            let why = "switched off on the kernel's command line: VFIO refuses every device";
            Some(Check::fail(REMAPPING, why, "take `intremap=off` or `nointremap` away"))
        }
        false => {
            let why = "interrupts are not remapped: VFIO refuses every device";
            let help = "switch it, or x2APIC, on in the firmware setup; \
                 `dmesg | grep -i remapping` shows more";
            Some(Check::fail(REMAPPING, why, help))
        }
    }
}

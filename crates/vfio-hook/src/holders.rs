//! Who uses a device: a driver that is taken from a device in use waits for its users, without end.
//!
//! What is looked for: file systems and swap on disks below it, the default route, a bridge or bond
//! that an interface is part of, the console on its framebuffer, and processes with its DRM or
//! NVIDIA nodes open. Sound is not among them: its users let go when the card goes.

use std::collections::BTreeSet;

use vfio_core::{
    Address, Result, Root,
    host::{Network, Storage},
};

/// Where the PCI devices are.
pub const DEVICES: &str = "sys/bus/pci/devices";
/// How deep below a device its nodes are looked for.
const DEEPEST: usize = 4;

/// Everybody who uses the device, each in a few words.
///
/// # Errors
///
/// A tree that cannot be read.
pub fn holders(root: &Root, address: Address) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mounts = Storage::read(root)?;
    let carries = mounts.on(address);
    if !carries.is_empty() {
        found.push(format!("it carries {}", carries.join(", ")));
    }
    let network = Network::read(root)?;
    if let Some(interface) = network.default_route_on(address) {
        found.push(format!("{} has the default route", interface.name));
    }
    let interfaces = format!("{DEVICES}/{address}/net");
    for name in root.names(&interfaces)? {
        if let Some(master) = root.link(&format!("{interfaces}/{name}/master"))? {
            let master = master.rsplit('/').next().unwrap_or_default().to_owned();
            found.push(format!("{name} is part of {master}"));
        }
    }
    if has_console(root, address)? {
        found.push("the console is on its framebuffer".to_owned());
    }
    found.extend(processes(root, &nodes(root, address)?)?);
    Ok(found)
}

/// Whether the kernel's console draws on a framebuffer of this device.
fn has_console(root: &Root, address: Address) -> Result<bool> {
    let mut bound = false;
    for name in root.names("sys/class/vtconsole")? {
        let attribute = |what: &str| root.text(&format!("sys/class/vtconsole/{name}/{what}"));
        let draws = attribute("name")?.unwrap_or_default().contains("frame buffer");
        bound |= draws && attribute("bind")?.unwrap_or_default().trim() == "1";
    }
    // Consoles are on the first framebuffer unless somebody moved them.
    let first = root.real_path("sys/class/graphics/fb0")?.unwrap_or_default();
    Ok(bound && first.contains(&format!("/{address}/")))
}

/// The device nodes of its DRM minors, and NVIDIA's own.
fn nodes(root: &Root, address: Address) -> Result<BTreeSet<String>> {
    let mut nodes = BTreeSet::new();
    let drm = format!("{DEVICES}/{address}/drm");
    collect(root, &drm, DEEPEST, &mut nodes)?;
    let about = format!("proc/driver/nvidia/gpus/{address}/information");
    let about = root.text(&about)?.unwrap_or_default();
    let minor = about.lines().find_map(|line| line.strip_prefix("Device Minor:"));
    nodes.extend(minor.map(|minor| format!("/dev/nvidia{}", minor.trim())));
    Ok(nodes)
}

/// The `DEVNAME` of everything below `dir`.
fn collect(root: &Root, dir: &str, deep: usize, nodes: &mut BTreeSet<String>) -> Result<()> {
    for name in root.names(dir)? {
        let below = format!("{dir}/{name}");
        if root.link(&below)?.is_some() {
            continue;
        }
        let event = root.text(&format!("{below}/uevent"))?.unwrap_or_default();
        let node = event.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        nodes.extend(node.map(|node| format!("/dev/{node}")));
        if deep > 0 && node.is_some() {
            collect(root, &below, deep - 1, nodes)?;
        }
    }
    Ok(())
}

/// The processes that have one of `nodes` open.
pub(crate) fn processes(root: &Root, nodes: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if nodes.is_empty() {
        return Ok(found);
    }
    for pid in root.names("proc")?.iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let dir = format!("proc/{pid}/fd");
        // A process that ends while it is looked at has nothing open.
        let names = root.names(&dir).unwrap_or_default();
        let links = names.iter().filter_map(|fd| root.link(&format!("{dir}/{fd}")).ok().flatten());
        let open: BTreeSet<String> = links.filter(|link| nodes.contains(link)).collect();
        if !open.is_empty() {
            let name = root.text(&format!("proc/{pid}/comm")).ok().flatten().unwrap_or_default();
            let open: Vec<String> = open.into_iter().collect();
            found.push(format!("{} (process {pid}) has {} open", name.trim(), open.join(", ")));
        }
    }
    Ok(found)
}

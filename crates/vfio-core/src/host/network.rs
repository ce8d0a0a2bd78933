//! Network interfaces, and which of them carry the default route.

use std::collections::BTreeSet;

use crate::{
    Address, Result, Root,
    host::attr::{addresses, names, real, text},
};

const NET: &str = "sys/class/net";

/// Route flags of `include/uapi/linux/route.h`: the route is up; it rejects what it matches.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name for it (`enp5s0`, `br0`).
    pub name: String,
    /// The PCI devices under it, through bridges, bonds, teams and VLANs.
    pub pci: Vec<Address>,
    /// Whether a default route (IPv4 or IPv6) leaves through it.
    pub default_route: bool,
}

/// All network interfaces, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Every interface but the loopback.
    pub interfaces: Vec<Interface>,
}

impl Network {
    /// Reads `/sys/class/net` and the routes of IPv4 and IPv6; none when there is no network.
    pub fn read(root: &Root) -> Result<Self> {
        let routes = |path, parse: fn(&str) -> Option<&str>| -> BTreeSet<String> {
            let table = text(root, path).unwrap_or_default();
            table.lines().filter_map(parse).map(str::to_owned).collect()
        };
        let mut default = routes("proc/net/route", default_v4);
        default.extend(routes("proc/net/ipv6_route", default_v6));
        let mut interfaces = Vec::new();
        for name in root.names(NET)? {
            // `bonding_masters` is a file among the interfaces.
            if name == "lo" || !matches!(root.dir(&format!("{NET}/{name}")), Ok(Some(_))) {
                continue;
            }
            let mut under = BTreeSet::new();
            collect(root, &name, &mut under, &mut BTreeSet::new());
            let default_route = default.contains(&name);
            interfaces.push(Interface { name, pci: under.into_iter().collect(), default_route });
        }
        Ok(Self { interfaces })
    }

    /// The interface with a default route that stands on the device at `address`.
    #[must_use]
    pub fn default_route_on(&self, address: Address) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.default_route && i.pci.contains(&address))
    }
}

/// Adds the PCI devices under the interface `name`, those it is stacked upon included.
fn collect(root: &Root, name: &str, under: &mut BTreeSet<Address>, seen: &mut BTreeSet<String>) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let dir = format!("{NET}/{name}");
    let own = |path: &str| addresses(&real(root, path).unwrap_or_default());
    let found = own(&dir);
    under.extend(if found.is_empty() { own(&format!("{dir}/device")) } else { found });
    for entry in names(root, &dir) {
        if let Some(lower) = entry.strip_prefix("lower_") {
            collect(root, lower, under, seen);
        }
    }
    for port in names(root, &format!("{dir}/brif")) {
        collect(root, &port, under, seen);
    }
}

/// The interface of a line of `/proc/net/route`, if it is a default route.
fn default_v4(line: &str) -> Option<&str> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (name, to, mask) = (*fields.first()?, *fields.get(1)?, *fields.get(7)?);
    (to == "00000000" && mask == "00000000" && leads_out(fields.get(3)?)).then_some(name)
}

/// The interface of a line of `/proc/net/ipv6_route`, if it is a default route.
fn default_v6(line: &str) -> Option<&str> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (to, bits, name) = (*fields.first()?, *fields.get(1)?, *fields.get(9)?);
    let any = to.len() == 32 && to.bytes().all(|b| b == b'0') && bits == "00";
    (any && leads_out(fields.get(8)?)).then_some(name)
}

fn leads_out(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & UP != 0 && flags & REJECT == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    const HEADER: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n";

    fn nic(tree: Tree, name: &str, under: &str) -> Tree {
        let real = format!("sys/devices/{under}/net/{name}");
        tree.file(&format!("{real}/ifindex"), "2\n")
            .link(&format!("sys/class/net/{name}"), &format!("../../../{real}"))
    }

    #[test]
    fn finds_the_default_route_through_a_vlan_on_a_bridge_on_a_bond() {
        let tree = nic(Tree::new(), "enp3s0", "pci0000:00/0000:00:1c.0/0000:03:00.0");
        let tree = nic(tree, "enp4s0", "pci0000:00/0000:00:1c.1/0000:04:00.0/virtio0");
        let tree = nic(tree, "wlan0", "pci0000:00/0000:05:00.0");
        let tree = ["bond0", "br0", "br0.7", "lo"].iter().fold(tree, |t, n| nic(t, n, "virtual"));
        let net = "sys/devices/virtual/net";
        let tree = tree
            .link(&format!("{net}/bond0/lower_enp3s0"), "x")
            .link(&format!("{net}/bond0/lower_enp4s0"), "x")
            .link(&format!("{net}/br0/brif/bond0"), "x")
            .link(&format!("{net}/br0/lower_br0.7"), "a loop")
            .link(&format!("{net}/br0.7/lower_br0"), "x")
            .file("sys/class/net/bonding_masters", "bond0\n")
            .link("sys/class/net/gone", "nowhere")
            .file(
                "proc/net/route",
                format!("{HEADER}br0.7\t00000000\t0\t0003\t0\t0\t0\t00000000\t0\n"),
            );
        let network = Network::read(&tree.root()).unwrap();
        let names: Vec<_> = network.interfaces.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["bond0", "br0", "br0.7", "enp3s0", "enp4s0", "wlan0"]);
        let on = |a: &str| network.default_route_on(a.parse().unwrap()).map(|i| i.name.as_str());
        assert_eq!((on("0000:03:00.0"), on("0000:04:00.0")), (Some("br0.7"), Some("br0.7")));
        assert_eq!(on("0000:05:00.0"), None);
    }

    #[test]
    fn tells_default_routes_from_others() {
        let v4 = |to: &str, flags: &str, mask: &str| {
            default_v4(&format!("eth0\t{to}\t00000000\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0"))
                .is_some()
        };
        assert!(v4("00000000", "0003", "00000000"));
        assert!(!v4("00000000", "0003", "00000080"), "half of a VPN's pair");
        assert!(!v4("00000000", "0202", "00000000") && !v4("0001A8C0", "0001", "00FFFFFF"));
        let zeros = "0".repeat(32);
        let v6 = |bits: &str, flags: &str| {
            format!("{zeros} {bits} {zeros} 00 fe80 400 1 0 {flags} eth0")
        };
        assert_eq!(default_v6(&v6("00", "00450003")), Some("eth0"));
        assert_eq!(default_v6(&v6("00", "00200200")), None, "unreachable");
        assert_eq!(default_v6(&v6("80", "00450003")), None);
    }

    proptest! {
        #[test]
        fn never_panics(line in "\\PC*") {
            let _ = (default_v4(&line), default_v6(&line));
        }
    }
}

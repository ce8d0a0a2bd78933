//! Processors: vendor, features, and how cores, caches and memory nodes belong together.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    CpuList, Result, Root,
    host::attr::{clean, cpus, essential, names, number, numbered, text},
};

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";

/// Who made the processor; it decides which IOMMU parameters exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// `GenuineIntel`.
    Intel,
    /// `AuthenticAMD` and `HygonGenuine`.
    Amd,
    /// Any other.
    #[default]
    Other,
}

/// Which kind of core a logical processor belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoreKind {
    /// The only kind, or the fast kind of a hybrid processor.
    #[default]
    Performance,
    /// The economical kind of a hybrid processor.
    Efficiency,
}

/// One logical processor (hardware thread).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalCpu {
    /// Its number.
    pub number: u32,
    /// The socket it sits in.
    pub package: u32,
    /// The threads of its core, itself included.
    pub siblings: CpuList,
    /// The processors that share its last-level (L3) cache; empty when it has none.
    pub l3: CpuList,
    /// The NUMA node it belongs to.
    pub node: Option<u32>,
    /// Its kind of core.
    pub kind: CoreKind,
}

/// The processors of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Who made them.
    pub vendor: Vendor,
    /// What they call themselves.
    pub model: String,
    /// Feature flags of `/proc/cpuinfo` (`vmx`, `svm`, `pdpe1gb`, …).
    pub flags: BTreeSet<String>,
    /// Those that are online, by number.
    pub online: Vec<LogicalCpu>,
    /// Those that the scheduler leaves alone (`isolcpus=`).
    pub isolated: CpuList,
    /// Those without a periodic tick (`nohz_full=`).
    pub nohz_full: CpuList,
}

impl Cpu {
    /// Reads `/proc/cpuinfo` and the topology in `/sys/devices/system`
    /// (`Documentation/admin-guide/cputopology.rst`); empty below a root without them.
    pub fn read(root: &Root) -> Result<Self> {
        let info = essential(root, "proc/cpuinfo")?.unwrap_or_default();
        let (mut cpu, listed) = Self::parse(&info);
        let online: CpuList = number(root, &format!("{CPUS}/online")).unwrap_or(listed);
        cpu.isolated = cpus(root, &format!("{CPUS}/isolated"));
        cpu.nohz_full = cpus(root, &format!("{CPUS}/nohz_full"));
        let mut nodes = BTreeMap::new();
        for (node, name) in numbered(root, NODES, "node") {
            let members = cpus(root, &format!("{NODES}/{name}/cpulist"));
            nodes.extend(members.iter().map(|cpu| (cpu, node)));
        }
        // `cpu_lowpower` has the cores of Meteor Lake's and its successors' SoC tile.
        let small = ["cpu_atom", "cpu_lowpower"].map(|kind| format!("sys/devices/{kind}/cpus"));
        let small: BTreeSet<u32> =
            small.iter().flat_map(|path| cpus(root, path).iter().collect::<Vec<_>>()).collect();
        for number in online.iter() {
            // A cache is described alike in the directories of all who share it.
            let shared = cpu.online.iter().rev().find(|c| c.l3.contains(number));
            let l3 = shared.map_or_else(|| l3(root, number), |other| other.l3.clone());
            let kind = match small.contains(&number) {
                true => CoreKind::Efficiency,
                false => CoreKind::Performance,
            };
            let node = nodes.get(&number).copied();
            cpu.online.push(LogicalCpu { l3, node, kind, ..logical(root, number) });
        }
        Ok(cpu)
    }

    /// What the first processor says of itself, and the numbers of all.
    fn parse(cpuinfo: &str) -> (Self, CpuList) {
        let lines = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let value = |key: &str| lines().find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim());
        let vendor = match value("vendor_id") {
            Some("GenuineIntel") => Vendor::Intel,
            Some("AuthenticAMD" | "HygonGenuine") => Vendor::Amd,
            _ => Vendor::Other,
        };
        let flags = value("flags").unwrap_or_default().split_whitespace().map(str::to_owned);
        let numbers = lines().filter(|(key, _)| key.trim() == "processor");
        let listed = numbers.filter_map(|(_, number)| number.trim().parse().ok()).collect();
        let model = clean(value("model name").unwrap_or_default());
        (Self { vendor, model, flags: flags.collect(), ..Self::default() }, listed)
    }
}

/// What `cpuN/topology` says; a processor that says nothing is a core of its own.
fn logical(root: &Root, number: u32) -> LogicalCpu {
    let topology = format!("{CPUS}/cpu{number}/topology");
    // The second name is the older kernels'.
    let siblings = ["core_cpus_list", "thread_siblings_list"]
        .into_iter()
        .map(|name| cpus(root, &format!("{topology}/{name}")))
        .find(|siblings| siblings.contains(number))
        .unwrap_or_else(|| [number].into_iter().collect());
    let package = text(root, &format!("{topology}/physical_package_id"));
    LogicalCpu {
        number,
        package: package.and_then(|id| id.parse().ok()).unwrap_or_default(),
        siblings,
        l3: CpuList::default(),
        node: None,
        kind: CoreKind::default(),
    }
}

/// The processors that share the L3 cache of `number`, found by its `level`: `index3` need not
/// be it.
fn l3(root: &Root, number: u32) -> CpuList {
    let cache = format!("{CPUS}/cpu{number}/cache");
    let third = |index: &String| {
        index.starts_with("index")
            && text(root, &format!("{cache}/{index}/level")).is_some_and(|level| level == "3")
    };
    // The highest index first: that is where it nearly always is.
    let index = names(root, &cache).into_iter().rev().find(third);
    index.map(|index| cpus(root, &format!("{cache}/{index}/shared_cpu_list"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn reads_a_hybrid_processor() {
        let tree = Tree::new()
            .file(
                "proc/cpuinfo",
                b"processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Core \xff i9\n\
                  flags\t\t: fpu vmx pdpe1gb\n\nprocessor\t: 1\nflags\t\t: other\n",
            )
            .file("sys/devices/system/cpu/online", "0-2\n")
            .file("sys/devices/system/cpu/isolated", "1-2\n")
            .file("sys/devices/system/cpu/nohz_full", "  (null)\n")
            .file("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1\n")
            .file("sys/devices/system/cpu/cpu0/topology/physical_package_id", "-1\n")
            .file("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n")
            .file("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n")
            .file("sys/devices/system/cpu/cpu0/cache/index2/level", "3\n")
            .file("sys/devices/system/cpu/cpu0/cache/index2/shared_cpu_list", "0-1\n")
            .file("sys/devices/system/node/node3/cpulist", "0-1\n")
            .file("sys/devices/cpu_atom/cpus", "2\n");
        let cpu = Cpu::read(&tree.root()).unwrap();
        assert_eq!((cpu.vendor, cpu.model.as_str()), (Vendor::Intel, "Core \u{fffd} i9"));
        assert!(cpu.flags.contains("pdpe1gb") && !cpu.flags.contains("other"));
        assert_eq!((cpu.isolated.to_string().as_str(), cpu.nohz_full.len()), ("1-2", 0));
        let found: Vec<_> = cpu
            .online
            .iter()
            .map(|c| format!("{} {} {} {:?} {:?}", c.number, c.siblings, c.l3, c.node, c.kind))
            .collect();
        assert_eq!(
            found,
            [
                "0 0-1 0-1 Some(3) Performance",
                "1 0-1 0-1 Some(3) Performance",
                "2 2  None Efficiency",
            ]
        );
    }

    #[test]
    fn a_machine_that_says_nothing_has_no_processors() {
        assert_eq!(Cpu::read(&Root::empty()).unwrap(), Cpu::default());
        let odd = Tree::new().dir("proc/cpuinfo").dir("sys/devices/system/cpu/online");
        assert_eq!(Cpu::read(&odd.root()).unwrap(), Cpu::default());
        let bare = Tree::new().file("proc/cpuinfo", "processor : 4\nvendor_id: HygonGenuine\n");
        let cpu = Cpu::read(&bare.root()).unwrap();
        assert_eq!((cpu.vendor, cpu.online[0].number), (Vendor::Amd, 4));
    }

    proptest! {
        #[test]
        fn never_panics(text in "([\\PC\n\t:]|processor|flags){0,40}") {
            let _ = Cpu::parse(&text);
        }
    }
}

//! Cores out of logical processors, with what they share.

use std::collections::BTreeSet;

use vfio_core::{
    CpuList,
    host::{CoreKind, Cpu},
};

/// One core with the hardware threads of it that are online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The numbers of its threads, ascending; never empty.
    pub threads: Vec<u32>,
    /// Its kind.
    pub kind: CoreKind,
    /// The NUMA node it belongs to.
    pub node: Option<u32>,
    /// What tells its L3 cache from others: the package, and the cache's first CPU if there is
    /// such a cache.
    pub(crate) cache: (u32, Option<u32>),
}

impl Core {
    /// Its threads as a list.
    #[must_use]
    pub fn list(&self) -> CpuList {
        self.threads.iter().copied().collect()
    }

    /// How many of its threads `list` names.
    pub(crate) fn within(&self, list: &CpuList) -> usize {
        self.threads.iter().filter(|thread| list.contains(**thread)).count()
    }
}

/// The CPUs of some cores.
pub(crate) fn cpus<'a>(cores: impl IntoIterator<Item = &'a Core>) -> CpuList {
    cores.into_iter().flat_map(|core| core.threads.iter().copied()).collect()
}

/// The cores of a machine, by their first thread: CPU 0's is the first.
///
/// Threads that only one of two claims as its sibling are one core all the same.
pub(crate) fn cores(cpu: &Cpu) -> Vec<Core> {
    let online: BTreeSet<u32> = cpu.online.iter().map(|logical| logical.number).collect();
    let mut cores: Vec<Core> = Vec::new();
    for logical in &cpu.online {
        let mut threads: BTreeSet<u32> =
            logical.siblings.iter().filter(|sibling| online.contains(sibling)).collect();
        threads.insert(logical.number);
        let first = logical.l3.iter().find(|sharer| online.contains(sharer));
        let mut core = Core {
            threads: Vec::new(),
            kind: logical.kind,
            node: logical.node,
            cache: (logical.package, first),
        };
        cores.retain(|other| {
            let same = other.threads.iter().any(|thread| threads.contains(thread));
            if same {
                threads.extend(&other.threads);
                (core.kind, core.node, core.cache) = (other.kind, other.node, other.cache);
            }
            !same
        });
        core.threads = threads.into_iter().collect();
        cores.push(core);
    }
    cores.sort_by(|a, b| a.threads.cmp(&b.threads));
    cores
}

/// A machine of cores written as `(threads, sharers of the L3 cache)`; `E` before the threads
/// makes it an economical core, ` @2` behind them puts it on node 2.
#[cfg(test)]
pub(crate) fn invented(cores: &[(&str, &str)]) -> Cpu {
    use vfio_core::host::LogicalCpu;
    let mut cpu = Cpu::default();
    for (text, l3) in cores {
        let (text, node) = text.split_once(" @").unwrap_or((text, "0"));
        let fast = text.strip_prefix('E');
        let siblings: CpuList = fast.unwrap_or(text).parse().unwrap();
        cpu.online.extend(siblings.iter().map(|number| LogicalCpu {
            number,
            package: 0,
            siblings: siblings.clone(),
            l3: l3.parse().unwrap(),
            node: node.parse().ok(),
            kind: if fast.is_some() { CoreKind::Efficiency } else { CoreKind::Performance },
        }));
    }
    cpu.online.sort_by_key(|logical| logical.number);
    cpu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(cpu: &Cpu) -> Vec<String> {
        cores(cpu).iter().map(|core| core.list().to_string()).collect()
    }

    #[test]
    fn b29_siblings_come_from_the_machine_and_from_no_formula() {
        assert_eq!(
            threads(&invented(&[("0,1", "0-5"), ("2,3", "0-5"), ("E4", ""), ("E5", "")])),
            ["0-1", "2-3", "4", "5"]
        );
        assert_eq!(threads(&invented(&[("0,2", ""), ("1,3", "")])), ["0,2", "1,3"]);
    }

    #[test]
    fn siblings_that_are_offline_or_disagree_make_no_trouble() {
        let mut cpu = invented(&[("0,4", ""), ("1,5", ""), ("2,6", "")]);
        cpu.online.retain(|logical| !matches!(logical.number, 5 | 6));
        // 2 claims 1, which knows nothing of it.
        cpu.online[2].siblings = "1,2".parse().unwrap();
        assert_eq!(threads(&cpu), ["0,4", "1-2"]);
        assert!(cores(&Cpu::default()).is_empty());
    }
}

//! What this machine can spare.

use vfio_core::host::{Cpu, Kernels, Memory};

use crate::{Count, Error, PageSize, RESERVE_KIB};

/// Kernels before this one do not understand `hugepages=0:4,1:4`.
const BY_NODE: (u32, u32) = (6, 1);

/// Refuses pages that the processor does not have, or that leave too little to the host when
/// other huge pages take `others_kib` of memory.
pub(crate) fn check(
    cpu: &Cpu,
    memory: &Memory,
    size: PageSize,
    count: &Count,
    others_kib: u64,
) -> Result<(), Error> {
    if count.total() == 0 {
        return Err(Error::Zero(size));
    }
    if !cpu.flags.contains(size.flag()) {
        return Err(Error::Unsupported(size));
    }
    let fits = |node, count, total_kib: u64, reserve_kib: u64, others_kib| {
        let spare = total_kib.saturating_sub(reserve_kib).saturating_sub(others_kib);
        let most = spare / size.kib();
        match count > most {
            true => Err(Error::TooMany { count, size, node, most, total_kib, others_kib }),
            false => Ok(()),
        }
    };
    // A node that the kernel tells no size of has no memory.
    let nodes: Vec<_> = memory.nodes.iter().filter(|node| node.total_kib > 0).collect();
    let share_kib = RESERVE_KIB / u64::try_from(nodes.len()).unwrap_or(1).max(1);
    for (number, count) in count.nodes() {
        let node = nodes.iter().find(|node| node.number == number).ok_or_else(|| {
            Error::NoNode { node: number, nodes: nodes.iter().map(|node| node.number).collect() }
        })?;
        fits(Some(number), count, node.total_kib, share_kib, 0)?;
    }
    fits(None, count.total(), memory.total_kib, RESERVE_KIB, others_kib)
}

/// Refuses counts by node on a kernel command line that an installed kernel does not understand.
pub(crate) fn check_kernels(kernels: &Kernels, count: &Count) -> Result<(), Error> {
    let old = kernels.installed.iter().filter(|kernel| kernel.version() < BY_NODE);
    let old: Vec<String> = old.map(|kernel| kernel.release.clone()).collect();
    let by_node = count.nodes().next().is_some();
    match by_node && (!old.is_empty() || kernels.installed.is_empty()) {
        true => Err(Error::OldKernels(old)),
        false => Ok(()),
    }
}

//! Memory and huge pages.

use std::io;

use crate::description::Description;

use super::{cpu, maker::Maker};

/// Lays out `proc/meminfo` and the huge page counters.
pub(super) fn lay_out(make: &Maker, machine: &Description) -> io::Result<()> {
    let total = machine.mem_kib;
    let (free, available) = (total / 4 * 3, total / 5 * 4);
    make.file(
        "proc/meminfo",
        format!(
            "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\n\
             MemAvailable:   {available:8} kB\nSwapTotal:       8388604 kB\n\
             HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n\
             HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n"
        ),
    )?;
    pages(make, "sys/kernel/mm")?;
    let nodes = cpu::nodes(&machine.cpu).len();
    let share = total / nodes.max(1) as u64;
    for number in 0..nodes {
        let at = format!("sys/devices/system/node/node{number}");
        let text = format!(
            "Node {number} MemTotal:       {share:8} kB\nNode {number} MemFree:        {:8} kB\n",
            share / 4 * 3
        );
        make.file(&format!("{at}/meminfo"), text)?;
        pages(make, &at)?;
    }
    Ok(())
}

fn pages(make: &Maker, at: &str) -> io::Result<()> {
    for size in ["2048", "1048576"] {
        let at = format!("{at}/hugepages/hugepages-{size}kB");
        make.lines(&at, &[("nr_hugepages", "0"), ("free_hugepages", "0")])?;
    }
    Ok(())
}

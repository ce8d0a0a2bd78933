//! Processors: topology, caches, nodes, and `proc/cpuinfo`.

use std::{collections::BTreeSet, fmt::Write, io};

use crate::description::CpuDescription;

use super::maker::Maker;

/// Which logical processors make a core, in order.
fn cores(cpu: &CpuDescription) -> Vec<Vec<u32>> {
    let threads = cpu.threads;
    let whole = if cpu.cores_per_socket.is_some() { cpu.sockets.max(1) } else { 1 };
    let count = cpu.cores * whole;
    let mut pairs = pairs(&cpu.siblings, threads);
    if let Some(&[a, b]) = pairs.first().map(Vec::as_slice)
        && pairs.len() * 2 < threads as usize
        && cpu.ecores.is_empty()
    {
        // Only the start of a pattern was written down.
        match b.saturating_sub(a) {
            1 => pairs = (0..threads / 2).map(|core| vec![core * 2, core * 2 + 1]).collect(),
            step if step * 2 == threads => pairs = halves(step),
            _ => {}
        }
    }
    if pairs.is_empty() && threads == 2 * count {
        pairs = halves(count);
    }
    let seen: BTreeSet<u32> = pairs.iter().flatten().copied().collect();
    pairs.extend((0..threads).filter(|cpu| !seen.contains(cpu)).map(|cpu| vec![cpu]));
    pairs.sort();
    pairs
}

fn halves(count: u32) -> Vec<Vec<u32>> {
    (0..count).map(|core| vec![core, core + count]).collect()
}

/// Every `A,B` in the text whose numbers exist and were not named before.
fn pairs(text: &str, threads: u32) -> Vec<Vec<u32>> {
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_digit() && c != ',') {
        let mut numbers = word.split(',').map_while(|number| number.parse::<u32>().ok());
        let (Some(a), Some(b)) = (numbers.next(), numbers.next()) else { continue };
        if a < threads && b < threads && !seen.contains(&a) && !seen.contains(&b) {
            seen.extend([a, b]);
            pairs.push(vec![a, b]);
        }
    }
    pairs
}

/// `0-2,5` for 0, 1, 2 and 5.
pub(super) fn list(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers.into_iter().collect::<BTreeSet<_>>() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Lays out `sys/devices/system/{cpu,node}` and `proc/cpuinfo`.
pub(super) fn lay_out(make: &Maker, cpu: &CpuDescription) -> io::Result<()> {
    let (cores, sockets) = (cores(cpu), cpu.sockets.max(1));
    let per_socket = u32::try_from(cores.len()).unwrap_or(0).div_ceil(sockets).max(1);
    let mut info = String::new();
    for number in 0..cpu.threads {
        let core = cores.iter().position(|core| core.contains(&number)).unwrap_or(0);
        let id = u32::try_from(core).unwrap_or(0);
        let package = id / per_socket;
        let same_package =
            || cores.iter().skip((package * per_socket) as usize).take(per_socket as usize);
        let cache = match cpu.l3.iter().find(|cache| cache.contains(&number)) {
            Some(cache) => list(cache.iter().copied().filter(|n| *n < cpu.threads)),
            None => list(same_package().flatten().copied()),
        };
        let at = format!("sys/devices/system/cpu/cpu{number}");
        let siblings = list(cores[core].iter().copied());
        make.lines(
            &format!("{at}/topology"),
            &[
                ("core_id", &id.to_string()),
                ("physical_package_id", &package.to_string()),
                ("thread_siblings_list", &siblings),
                ("core_cpus_list", &siblings),
            ],
        )?;
        let index = [("level", "3"), ("type", "Unified"), ("shared_cpu_list", cache.as_str())];
        make.lines(&format!("{at}/cache/index3"), &index)?;
        if number > 0 {
            make.lines(&at, &[("online", "1")])?;
        }
        processor(&mut info, cpu, [number, package, id, per_socket]);
    }
    make.file("proc/cpuinfo", info)?;
    whole(make, cpu)
}

fn processor(info: &mut String, cpu: &CpuDescription, numbers: [u32; 4]) {
    let [number, package, core, per_socket] = numbers;
    let virtualization = if cpu.vendor.contains("AMD") { "svm" } else { "vmx" };
    let _ = write!(
        info,
        "processor\t: {number}\nvendor_id\t: {}\nmodel name\t: {}\nphysical id\t: {package}\n\
         siblings\t: {}\ncore id\t\t: {core}\ncpu cores\t: {per_socket}\n\
         flags\t\t: fpu pse pge pdpe1gb lm {virtualization} constant_tsc\n\n",
        cpu.vendor,
        cpu.model,
        cpu.threads / cpu.sockets.max(1),
    );
}

/// What is said of all processors together.
fn whole(make: &Maker, cpu: &CpuDescription) -> io::Result<()> {
    let all = list(0..cpu.threads);
    make.lines(
        "sys/devices/system/cpu",
        &[
            ("online", all.as_str()),
            ("possible", &all),
            ("present", &all),
            ("isolated", ""),
            ("nohz_full", ""),
        ],
    )?;
    if !cpu.ecores.is_empty() {
        let fast = (0..cpu.threads).filter(|number| !cpu.ecores.contains(number));
        make.lines("sys/devices/cpu_core", &[("cpus", &list(fast))])?;
        make.lines("sys/devices/cpu_atom", &[("cpus", &list(cpu.ecores.iter().copied()))])?;
    }
    let nodes = nodes(cpu);
    let count = u32::try_from(nodes.len()).unwrap_or(1);
    make.lines("sys/devices/system/node", &[("online", &list(0..count))])?;
    for (number, cpus) in nodes.iter().enumerate() {
        let cpus = list(cpus.iter().copied());
        make.lines(&format!("sys/devices/system/node/node{number}"), &[("cpulist", &cpus)])?;
    }
    Ok(())
}

/// The processors of each node.
pub(super) fn nodes(cpu: &CpuDescription) -> Vec<Vec<u32>> {
    match cpu.nodes.as_slice() {
        [] => vec![(0..cpu.threads).collect()],
        given => given.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_come_from_what_was_written_down() {
        let cpu = |threads, cores, siblings: &str| CpuDescription {
            threads,
            cores,
            siblings: siblings.to_owned(),
            ..CpuDescription::default()
        };
        assert_eq!(super::cores(&cpu(4, 2, "pairs 0,2 1,3")), [[0, 2], [1, 3]]);
        assert_eq!(super::cores(&cpu(4, 2, "0,1 …")), [[0, 1], [2, 3]]);
        assert_eq!(super::cores(&cpu(4, 2, "")), [[0, 2], [1, 3]]);
        assert_eq!(super::cores(&cpu(2, 2, "none")), [[0], [1]]);
        assert_eq!(list([5, 0, 1, 2]), "0-2,5");
    }
}

//! Who has which CPUs on described machines: as it should be on the project's own, lawful on all.
//!
//! `DEPLOY_VFIO_MACHINES` names a directory with more machines.
#![allow(clippy::disallowed_methods, reason = "a test lays machines out")]
#![allow(clippy::print_stdout, reason = "with --nocapture it shows further machines")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use vfio_core::{
    CpuList, Root,
    host::{CoreKind, Cpu},
};
use vfio_isolcpus::{Reason, Request, Split, split};
use vfio_testkit::{CpuDescription, Description, synthetic};

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../machines")
}

fn described(dir: &Path) -> Vec<Description> {
    let files = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|file| Description::read(file).unwrap()).collect()
}

fn read(machine: &Description) -> Cpu {
    let dir = tempfile::tempdir().unwrap();
    // Who has which CPUs depends on nothing else, and big machines have many devices.
    let bare = Description { devices: Vec::new(), ..machine.clone() };
    bare.lay_out(dir.path()).unwrap();
    Cpu::read(&Root::open(dir.path()).unwrap()).unwrap()
}

/// Kinds of processor that the sample machines do not have: sibling threads, L3 caches and so on.
fn kinds() -> Vec<Description> {
    let machine =
        |name: &str, cpu| Description { name: name.to_owned(), cpu, ..Default::default() };
    let cpu = |sockets, cores: u32, threads| CpuDescription {
        vendor: "GenuineIntel".to_owned(),
        sockets,
        cores,
        threads,
        siblings: (cores..threads).map(|cpu| format!("{},{cpu} ", cpu - cores)).collect(),
        ..CpuDescription::default()
    };
    // The caches of so many cores each, both threads of a core in the same.
    let caches = |sizes: &[u32], cores: u32| {
        let mut first = 0;
        let next = |size: &u32| {
            let cache = first..first + size;
            first = cache.end;
            cache.clone().chain(cache.map(|cpu| cpu + cores)).collect()
        };
        sizes.iter().map(next).collect::<Vec<Vec<u32>>>()
    };
    let hybrid = CpuDescription {
        siblings: (0..8).map(|core| format!("{},{} ", 2 * core, 2 * core + 1)).collect(),
        ecores: (16..24).collect(),
        ..cpu(1, 16, 24)
    };
    let halves = |cpus: u32| vec![(0..cpus / 2).collect(), (cpus / 2..cpus).collect::<Vec<u32>>()];
    let two_sockets = CpuDescription { nodes: halves(16), l3: halves(16), ..cpu(2, 16, 16) };
    let many = CpuDescription {
        l3: caches(&[8; 24], 192),
        nodes: caches(&[96; 2], 192),
        ..cpu(2, 192, 384)
    };
    vec![
        machine("hybrid", hybrid),
        machine("two-sockets", two_sockets),
        machine("384-threads", many),
        machine("no-smt", cpu(1, 6, 6)),
        machine("uneven-caches", CpuDescription { l3: caches(&[8, 4], 12), ..cpu(1, 12, 24) }),
        machine("two-cores", cpu(1, 2, 4)),
        machine("three-cores", cpu(1, 3, 3)),
    ]
}

/// Who has which CPUs by themselves, a line a machine.
fn shown(machines: &[Description]) -> String {
    let line = |machine: &Description| {
        let split = split(&read(machine), &Request::Auto).unwrap().unwrap();
        let (host, guest) = (split.host_cpus().to_string(), split.guest_cpus().to_string());
        format!("{:20} host {host:10} guests {guest:12} {:?}\n", machine.name, split.reasons)
    };
    machines.iter().map(line).collect()
}

#[test]
fn every_kind_of_processor_is_split_as_its_owner_would() {
    insta::assert_snapshot!(shown(&kinds()), @r"
    hybrid               host 0-1,16-23  guests 2-15         [Kind(Performance)]
    two-sockets          host 0-7        guests 8-15         [Cache]
    384-threads          host 0-95,192-287 guests 96-191,288-383 [Cache, Node]
    no-smt               host 0-1        guests 2-5          []
    uneven-caches        host 0-1,12-13  guests 2-11,14-23   []
    two-cores            host 0,2        guests 1,3          []
    three-cores          host 0          guests 1-2          []
    ");
}

#[test]
fn the_sample_machines_are_split_as_their_owners_would() {
    insta::assert_snapshot!(shown(&described(&own())), @r"
    encrypted-disk       host 0-1        guests 2-7          []
    igpu-and-card        host 0-1,6-7    guests 2-5,8-11     []
    laptop-shared-group  host 0-1,6-7    guests 2-5,8-11     []
    many-inputs          host 0-1,6-7    guests 2-5,8-11     []
    no-iommu             host 0-1,4-5    guests 2-3,6-7      []
    odd                  host 0-1,4-5    guests 2-3,6-7      []
    old-libvirt          host 0-1,6-7    guests 2-5,8-11     []
    single-gpu           host 0-2,6-8    guests 3-5,9-11     [Cache]
    twin-cards           host 0-5,12-17  guests 6-11,18-23   [Cache]
    two-gpus             host 0-1        guests 2-7          []
    ");
}

#[test]
fn the_laws_hold_on_all_machines() {
    let mut machines = described(&own());
    if let Some(dir) = std::env::var_os("DEPLOY_VFIO_MACHINES") {
        machines.extend(described(Path::new(&dir)));
        // `cargo test -- --nocapture` shows them.
        println!("{}", shown(&machines));
    }
    machines.extend(kinds());
    machines.extend([synthetic(49), synthetic(483)]);
    for machine in machines {
        let cpu = read(&machine);
        let cores: BTreeSet<_> = cpu.online.iter().map(|cpu| cpu.siblings.to_string()).collect();
        let counts = [1, 3].into_iter().filter(|&count| (count as usize) < cores.len());
        for request in counts.map(Request::HostCores).chain([Request::Auto]) {
            let split = split(&cpu, &request).unwrap().unwrap();
            lawful(&cpu, &split).unwrap_or_else(|law| panic!("{}: {request}: {law}", machine.name));
            let same = vfio_isolcpus::split(&cpu, &Request::Guest(split.guest_cpus()));
            assert_eq!(same.unwrap().unwrap().guest, split.guest, "{}", machine.name);
        }
    }
}

fn lawful(cpu: &Cpu, split: &Split) -> Result<(), String> {
    let (host, guest) = (split.host_cpus(), split.guest_cpus());
    let online: CpuList = cpu.online.iter().map(|logical| logical.number).collect();
    let all: CpuList = host.iter().chain(guest.iter()).collect();
    if !host.contains(0) || guest.is_empty() {
        return Err(format!("host {host}, guests {guest}"));
    }
    if all != online || host.len() + guest.len() != online.len() {
        return Err(format!("{host} and {guest} are not {online}"));
    }
    for logical in &cpu.online {
        let theirs = guest.contains(logical.number);
        let same = |list: &CpuList| list.iter().all(|cpu| guest.contains(cpu) == theirs);
        if !same(&logical.siblings) {
            return Err(format!("the core {} is split", logical.siblings));
        }
        for reason in &split.reasons {
            let kept = match reason {
                Reason::Kind(kind) => !theirs || logical.kind == *kind,
                Reason::Cache => same(&logical.l3),
                Reason::Node => cpu
                    .online
                    .iter()
                    .filter(|other| other.node == logical.node)
                    .all(|other| guest.contains(other.number) == theirs),
            };
            if !kept {
                return Err(format!("{reason:?} does not hold for CPU {}", logical.number));
            }
        }
    }
    let kinds = |kind| cpu.online.iter().any(|c| guest.contains(c.number) && c.kind == kind);
    let both = kinds(CoreKind::Performance) && kinds(CoreKind::Efficiency);
    if both && !split.reasons.is_empty() { Err("both kinds of core".into()) } else { Ok(()) }
}

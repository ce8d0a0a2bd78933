//! Who has which CPUs on described machines: as it should be on the project's own, lawful on all.
//!
//! `DEPLOY_VFIO_MACHINES` names a directory with more machines.
#![allow(clippy::disallowed_methods, reason = "a test lays machines out")]

use std::path::{Path, PathBuf};

use vfio_core::{
    CpuList, Root,
    host::{CoreKind, Cpu},
};
use vfio_isolcpus::{Reason, Request, Split, split};
use vfio_testkit::{Description, synthetic};

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

#[test]
fn the_sample_machines_are_split_as_their_owners_would() {
    let shown = described(&own()).into_iter().map(|machine| {
        let split = split(&read(&machine), &Request::Auto).unwrap().unwrap();
        let (host, guest) = (split.host_cpus().to_string(), split.guest_cpus().to_string());
        format!("{:20} host {host:10} guests {guest:12} {:?}\n", machine.name, split.reasons)
    });
    insta::assert_snapshot!(shown.collect::<String>(), @r"
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
    }
    machines.extend([synthetic(49), synthetic(483)]);
    for machine in machines {
        let cpu = read(&machine);
        let requests = [Request::Auto, Request::HostCores(1), Request::HostCores(3)];
        for request in requests {
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

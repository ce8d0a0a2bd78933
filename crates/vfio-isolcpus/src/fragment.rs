//! The kernel parameters of a split, and what to tell about it.

use std::collections::BTreeSet;

use vfio_core::{
    CpuList,
    change::{Draft, by_hand},
    host::{CoreKind, Cpu, Kernel, Kernels},
};

use crate::{Core, Error, Reason, Request, Split, split};

/// The fragment that holds the kernel parameters of this feature.
pub const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/30-cpu.conf";

/// Writes or removes the kernel parameters for `request`, and notes both lists and what a guest's
/// definition should say.
///
/// # Errors
///
/// What [`split`] refuses.
pub fn plan(
    draft: &mut Draft<'_>,
    cpu: &Cpu,
    kernels: &Kernels,
    request: &Request,
) -> Result<(), Error> {
    let Some(split) = split(cpu, request)? else {
        draft.remove(FRAGMENT);
        return Ok(());
    };
    let (host, guest) = (split.host_cpus(), split.guest_cpus());
    let ticks = able(draft, kernels);
    let mut parameters = format!("isolcpus={guest}");
    if ticks {
        parameters += &format!(" nohz_full={guest} rcu_nocbs={guest}");
    }
    draft.write(
        FRAGMENT,
        format!("# Written by `deploy-vfio cpu`.\n{parameters} irqaffinity={host}\n"),
    )?;
    let hand = by_hand(draft, &["isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"])?;
    if !hand.is_empty() {
        draft.note(format!(
            "GRUB's settings have {} by hand: take that out, a kernel heeds only the first",
            hand.join(" ")
        ));
    }
    describe(draft, cpu, &split);
    Ok(())
}

/// Whether an installed kernel can stop the tick of its guests' CPUs; notes those that cannot.
///
/// A kernel without it heeds `isolcpus=` all the same, since the lists are identical.
fn able(draft: &mut Draft<'_>, kernels: &Kernels) -> bool {
    let has = |kernel: &&Kernel| {
        ["NO_HZ_FULL", "RCU_NOCB_CPU"]
            .iter()
            .all(|option| kernel.config.get(*option).is_some_and(|value| value == "y"))
    };
    let (with, without): (Vec<_>, Vec<_>) = kernels.installed.iter().partition(has);
    for kernel in &without {
        let release = &kernel.release;
        draft.note(match kernel.config.is_empty() {
            true => format!("/boot has no config-{release}: it is not known to stop its tick"),
            false => format!(
                "{release} was built without NO_HZ_FULL or RCU_NOCB_CPU: nohz_full and rcu_nocbs \
                 mean nothing to it"
            ),
        });
    }
    if with.is_empty() {
        draft.note(
            "nohz_full and rcu_nocbs are left out: no installed kernel is known to heed them",
        );
    }
    !with.is_empty()
}

/// Notes who has what and why, and what a guest's definition should say.
fn describe(draft: &mut Draft<'_>, cpu: &Cpu, split: &Split) {
    let cores = |count: usize| if count == 1 { "1 core".into() } else { format!("{count} cores") };
    draft.note(format!("the host has CPUs {} ({})", split.host_cpus(), cores(split.host.len())));
    draft.note(format!("guests have CPUs {} ({})", split.guest_cpus(), cores(split.guest.len())));
    for reason in &split.reasons {
        draft.note(match reason {
            Reason::Kind(CoreKind::Performance) => {
                "the efficiency cores stay with the host: a guest cannot tell them from fast ones"
            }
            Reason::Kind(CoreKind::Efficiency) => {
                "guests have efficiency cores only: too few performance cores are left"
            }
            Reason::Cache => {
                "the host has all cores that share an L3 cache with one of its own; \
                 `--host-cores` decides otherwise"
            }
            Reason::Node => "the host has all cores on the memory nodes of its own ones",
        });
    }
    if split.guest.iter().any(|core| split.guest.iter().any(|other| other.kind != core.kind)) {
        draft.note("guests have performance and efficiency cores, and cannot tell them apart");
    }
    let nodes = |cores: &[Core]| cores.iter().filter_map(|core| core.node).collect::<BTreeSet<_>>();
    let (theirs, all) = (nodes(&split.guest), &nodes(&split.host) | &nodes(&split.guest));
    if all.len() > 1 {
        let theirs: CpuList = theirs.into_iter().collect();
        draft.note(format!(
            "the guests' CPUs are on memory node {theirs}: a guest is fastest on one node, that \
             of its card; `--guest` chooses"
        ));
    }
    draft.note(format!(
        "nothing else runs on the guests' CPUs, so pin each guest; for one guest with all of \
         them, `virsh edit` takes:\n{}",
        split.domain_xml(cpu)
    ));
}

#[cfg(test)]
mod tests {
    use vfio_core::Root;

    use super::*;
    use crate::topology::invented;

    /// What the fragment says, and the notes before the guest's definition.
    fn planned(kernels: &[(&str, &[&str])]) -> (String, Vec<String>) {
        let kernel = |(release, options): &(&str, &[&str])| Kernel {
            release: (*release).to_owned(),
            config: options.iter().map(|o| ((*o).to_owned(), "y".to_owned())).collect(),
            ..Kernel::default()
        };
        let kernels = Kernels { installed: kernels.iter().map(kernel).collect(), running: None };
        let cpu = invented(&[("0,4", "0-7"), ("1,5", "0-7"), ("2,6", "0-7"), ("3,7", "0-7")]);
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, &cpu, &kernels, &Request::Auto).unwrap();
        let text = draft.text(FRAGMENT).unwrap().unwrap();
        let mut notes = draft.finish("cpu").unwrap().notes;
        notes.pop();
        (text.lines().last().unwrap().to_owned(), notes)
    }

    const BOTH: &[&str] = &["NO_HZ_FULL", "RCU_NOCB_CPU"];

    #[test]
    fn b28_the_lists_that_are_shown_are_the_lists_that_are_written() {
        let (text, notes) = planned(&[("6.1.0-28-amd64", BOTH)]);
        assert_eq!(
            text,
            "isolcpus=2-3,6-7 nohz_full=2-3,6-7 rcu_nocbs=2-3,6-7 irqaffinity=0-1,4-5"
        );
        assert_eq!(
            notes,
            ["the host has CPUs 0-1,4-5 (2 cores)", "guests have CPUs 2-3,6-7 (2 cores)"]
        );
    }

    #[test]
    fn the_tick_stops_only_where_a_kernel_can_stop_it() {
        let (text, notes) = planned(&[("5.10.0-32-amd64", &["CPU_ISOLATION"]), ("5.4", &[])]);
        assert_eq!(text, "isolcpus=2-3,6-7 irqaffinity=0-1,4-5");
        assert!(notes[0].starts_with("5.10.0-32-amd64 was built without"), "{notes:?}");
        assert!(notes[1].starts_with("/boot has no config-5.4"), "{notes:?}");
        assert!(notes[2].starts_with("nohz_full and rcu_nocbs are left out"), "{notes:?}");
        let (text, notes) = planned(&[("6.1.0", BOTH), ("5.10.0", &["CPU_ISOLATION"])]);
        assert!(text.contains("nohz_full=2-3,6-7") && notes.len() == 3, "{text} {notes:?}");
    }

    #[test]
    fn off_leaves_no_fragment() {
        let (root, cpu) = (Root::empty(), Cpu::default());
        let mut draft = Draft::new(&root);
        plan(&mut draft, &cpu, &Kernels::default(), &Request::Off).unwrap();
        assert!(draft.finish("off").unwrap().is_empty());
    }
}

//! Huge pages, reserved so that a guest's memory is never scattered.
//!
//! There are two ways, one command each, and the last command about a size counts:
//!
//! * **At boot**, of 1 GiB or 2 MiB, by kernel parameters. With a boot menu of ours they stand in
//!   its entries only, so that a normal boot keeps its memory.
//! * **At runtime**, of 2 MiB, by a systemd unit that starts early and can be started at once,
//!   without a reboot. The kernel must find whole free blocks by then, so it may get fewer. Where
//!   there is a boot menu of ours, the unit leaves a boot by the normal entry alone.
//!
//! Pages of 2 MiB are had in one way at a time; those of 1 GiB and of 2 MiB go together.
//!
//! systemd mounts pages of the default size, which our parameters set, at /dev/hugepages. The other
//! size, or each where that mount was changed by hand, gets a mount unit of its own.
//!
//! Invariant: at least [`RESERVE_KIB`] of memory stays with the host, shared out evenly among the
//! NUMA nodes where counts are by node.

mod error;
mod files;
mod limit;
mod request;
mod size;

use vfio_core::{
    change::{Draft, by_hand},
    host::{AskedPages, Cpu, Kernels, Memory},
    layout::ENTRIES_D,
};

pub use error::Error;
pub use files::FRAGMENT;
pub use request::{Count, Request};
pub use size::PageSize;

/// What the host keeps, in KiB: 4 GiB.
pub const RESERVE_KIB: u64 = 4 << 20;

/// How much memory, in KiB, the huge pages take that `draft` plans.
pub fn planned_kib(draft: &Draft<'_>) -> vfio_core::Result<u64> {
    Ok(kib(&files::at_boot(draft)?).saturating_add(kib(&files::at_runtime(draft)?)))
}

fn kib(asked: &[AskedPages]) -> u64 {
    asked.iter().fold(0, |sum, pages| sum.saturating_add(pages.kib()))
}

/// Writes or removes the kernel parameters and units for `request`.
///
/// # Errors
///
/// Pages that the processor does not have, more than memory allows, or counts by node that an
/// installed kernel does not understand.
pub fn plan(
    draft: &mut Draft<'_>,
    cpu: &Cpu,
    memory: &Memory,
    kernels: &Kernels,
    request: &Request,
) -> Result<(), Error> {
    let ran = !files::at_runtime(draft)?.is_empty();
    match request {
        Request::Off => {
            draft.remove(FRAGMENT);
            files::remove_runtime(draft);
        }
        Request::Reserve { size, count } => {
            if *size == PageSize::M2 {
                files::remove_runtime(draft);
            }
            limit::check(cpu, memory, *size, count, kib(&files::at_runtime(draft)?))?;
            limit::check_kernels(kernels, count)?;
            files::write_boot(draft, *size, count)?;
            note_by_hand(draft)?;
        }
        Request::AtRuntime { count } => {
            let boot = files::at_boot(draft)?;
            if boot.iter().any(|pages| pages.size_kib == PageSize::M2.kib()) {
                draft.remove(FRAGMENT);
            }
            limit::check(cpu, memory, PageSize::M2, count, kib(&files::at_boot(draft)?))?;
            files::write_runtime(draft, count)?;
        }
    }
    for mount in files::settle_mounts(draft)? {
        draft.note(format!(
            "libvirt looks for huge pages once: `systemctl start {mount}`, then restart libvirtd"
        ));
    }
    let runs = !files::at_runtime(draft)?.is_empty();
    if matches!(request, Request::AtRuntime { .. }) || (ran && !runs) {
        note_service(draft, runs)?;
    }
    note_rest(draft, memory)?;
    Ok(())
}

/// Notes what the user gave GRUB: the kernel heeds the first count of each size.
fn note_by_hand(draft: &mut Draft<'_>) -> Result<(), Error> {
    let hand = by_hand(draft, &["default_hugepagesz", "hugepagesz", "hugepages"])?;
    if !hand.is_empty() {
        let hand = hand.join(" ");
        draft.note(format!(
            "GRUB's settings have {hand} by hand: take that out, a kernel heeds the first of each"
        ));
    }
    Ok(())
}

/// Notes how to have the unit's pages at once, or their memory back.
fn note_service(draft: &mut Draft<'_>, runs: bool) -> Result<(), Error> {
    let unit = files::SERVICE.name;
    if runs {
        let menu = !draft.names(ENTRIES_D)?.is_empty();
        let boot = if menu { "every boot by an entry of ours" } else { "every boot" };
        draft.note(format!("{boot} reserves the pages; `systemctl restart {unit}` does it now"));
    } else {
        draft.note(format!(
            "`systemctl stop {unit}` beforehand gives the memory back at once; else the next \
             boot does"
        ));
    }
    Ok(())
}

/// Notes that little is left: a desktop, and the host's own part of each guest, need memory too.
fn note_rest(draft: &mut Draft<'_>, memory: &Memory) -> Result<(), Error> {
    let left = memory.total_kib.saturating_sub(planned_kib(draft)?);
    if left < memory.total_kib / 20 * 3 {
        let (left, total) = (left >> 20, memory.total_kib >> 20);
        draft.note(format!("only {left} of {total} GiB stay with the host, whatever runs there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vfio_core::{
        Advice, Exit, Root,
        host::{Kernel, Node},
        layout::RUNTIME_HUGEPAGES,
    };

    use super::*;

    /// A machine with as much memory on each of `nodes` nodes, and these kernels.
    struct Host {
        cpu: Cpu,
        memory: Memory,
        kernels: Kernels,
    }

    fn host(gib: u64, nodes: u32, releases: &[&str]) -> Host {
        let flags = ["pse", "pdpe1gb"].map(str::to_owned).into();
        let node = |number| Node {
            number,
            total_kib: (gib << 20) / u64::from(nodes),
            huge_pages: Vec::new(),
        };
        let kernel = |release: &&str| Kernel { release: (*release).into(), ..Kernel::default() };
        Host {
            cpu: Cpu { flags, ..Cpu::default() },
            memory: Memory {
                total_kib: gib << 20,
                nodes: (0..nodes).map(node).collect(),
                ..Memory::default()
            },
            kernels: Kernels { installed: releases.iter().map(kernel).collect(), running: None },
        }
    }

    impl Host {
        fn plan(&self, draft: &mut Draft<'_>, request: &Request) -> Result<(), Error> {
            plan(draft, &self.cpu, &self.memory, &self.kernels, request)
        }

        fn reserve(&self, size: PageSize, count: &str) -> Result<String, Error> {
            let root = Root::empty();
            let mut draft = Draft::new(&root);
            self.plan(&mut draft, &reserve(size, count))?;
            Ok(draft.text(FRAGMENT)?.unwrap_or_default())
        }
    }

    fn reserve(size: PageSize, count: &str) -> Request {
        Request::Reserve { size, count: count.parse().unwrap() }
    }

    fn at_runtime(count: &str) -> Request {
        Request::AtRuntime { count: count.parse().unwrap() }
    }

    #[test]
    fn pages_leave_four_gib_to_the_host() {
        let host = host(32, 1, &[]);
        assert!(host.reserve(PageSize::G1, "28").unwrap().contains("hugepagesz=1G hugepages=28\n"));
        let error = host.reserve(PageSize::G1, "29").unwrap_err();
        assert_eq!(
            error.to_string(),
            "29 pages of 1G do not fit: at most 28, leaving 4 GiB to the host"
        );
        assert_eq!(error.help(), ["deploy-vfio hugepages 1G 28"]);
    }

    #[test]
    fn a_host_that_keeps_little_is_told() {
        let (root, host) = (Root::empty(), host(64, 1, &[]));
        let notes = |count| {
            let mut draft = Draft::new(&root);
            host.plan(&mut draft, &reserve(PageSize::G1, count)).unwrap();
            draft.finish("x").unwrap().notes
        };
        assert_eq!(notes("60"), ["only 4 of 64 GiB stay with the host, whatever runs there"]);
        assert!(notes("48").is_empty());
    }

    #[test]
    fn b31_a_machine_with_eight_gib_may_have_pages() {
        assert!(host(8, 1, &[]).reserve(PageSize::M2, "2048").is_ok());
        assert!(host(8, 1, &[]).reserve(PageSize::M2, "2049").is_err());
        assert!(host(3, 1, &[]).reserve(PageSize::M2, "1").is_err());
        assert!(host(8, 1, &[]).reserve(PageSize::G1, "18446744073709551615").is_err());
    }

    #[test]
    fn b32_gigantic_pages_need_the_processor_to_have_them() {
        let mut host = host(32, 1, &[]);
        host.cpu.flags.remove("pdpe1gb");
        let error = host.reserve(PageSize::G1, "1").unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[test]
    fn b32_counts_by_node_leave_each_node_its_share() {
        let host = host(64, 2, &["6.12.9", "6.1.0-28-amd64"]);
        let text = host.reserve(PageSize::G1, "1=30,0=4").unwrap();
        assert!(text.ends_with(" hugepagesz=1G hugepages=0:4,1:30\n"), "{text}");
        let error = host.reserve(PageSize::G1, "0=31").unwrap_err();
        assert_eq!(
            error.to_string(),
            "31 pages of 1G do not fit on node 0: at most 30, leaving its share of 4 GiB to the host"
        );
        assert_eq!(error.help(), ["deploy-vfio hugepages 1G --node 0=30"]);
        let error = host.reserve(PageSize::G1, "7=1").unwrap_err();
        assert_eq!(
            (error.exit(), error.because()),
            (Exit::Refused, vec!["nodes with memory: 0, 1".into()])
        );
        assert!(matches!(host.reserve(PageSize::G1, "0=0"), Err(Error::Zero(_))));
        let many = format!("0={0},1={0}", u64::MAX);
        assert!(matches!(host.reserve(PageSize::M2, &many), Err(Error::TooMany { .. })));
    }

    #[test]
    fn counts_by_node_need_every_kernel_to_read_them() {
        let old = host(64, 2, &["6.1.0-28-amd64", "5.10.0-32-amd64"]);
        let error = old.reserve(PageSize::G1, "0=1,1=1").unwrap_err();
        assert_eq!(
            (error.exit(), error.because()),
            (Exit::Refused, vec!["installed: 5.10.0-32-amd64".into()])
        );
        assert!(host(64, 2, &[]).reserve(PageSize::G1, "0=1").is_err());
        assert!(old.reserve(PageSize::G1, "2").is_ok());
        let (root, request) = (Root::empty(), at_runtime("0=1,1=1"));
        old.plan(&mut Draft::new(&root), &request).unwrap();
    }

    #[test]
    fn pages_of_two_mib_are_had_in_one_way_and_go_beside_those_of_one_gib() {
        let (root, host) = (Root::empty(), host(16, 1, &[]));
        let mut draft = Draft::new(&root);
        let has = |draft: &Draft<'_>, path: &str| draft.text(path).unwrap().is_some();
        let mount = "etc/systemd/system/dev-hugepages2M.mount";
        host.plan(&mut draft, &reserve(PageSize::M2, "512")).unwrap();
        host.plan(&mut draft, &at_runtime("256")).unwrap();
        assert!(!has(&draft, FRAGMENT) && has(&draft, RUNTIME_HUGEPAGES) && !has(&draft, mount));
        host.plan(&mut draft, &reserve(PageSize::G1, "8")).unwrap();
        assert!(has(&draft, FRAGMENT) && has(&draft, RUNTIME_HUGEPAGES) && has(&draft, mount));
        assert_eq!(planned_kib(&draft).unwrap(), (8 << 20) + (256 << 11));
        // Both together leave 4 GiB.
        let error = host.plan(&mut draft, &at_runtime("2049")).unwrap_err();
        assert!(error.to_string().contains("at most 2048,"), "{error}");
        host.plan(&mut draft, &reserve(PageSize::M2, "512")).unwrap();
        assert!(!has(&draft, RUNTIME_HUGEPAGES) && !has(&draft, mount));
        host.plan(&mut draft, &Request::Off).unwrap();
        assert_eq!(planned_kib(&draft).unwrap(), 0);
        assert!(draft.finish("off").unwrap().is_empty());
    }

    #[test]
    fn pages_that_dev_hugepages_will_not_have_get_a_mount() {
        let (root, host) = (Root::empty(), host(16, 1, &[]));
        for (path, text, mounts) in [
            ("etc/fstab", "UUID=1 / ext4 defaults 0 1\n# x /dev/hugepages\n", false),
            ("etc/fstab", "none /dev/hugepages hugetlbfs pagesize=2M 0 0\n", true),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"default_hugepagesz=2M\"\n", true),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"default_hugepagesz=1G\"\n", false),
            ("etc/systemd/system/dev-hugepages.mount", "[Mount]\n", true),
        ] {
            let mut draft = Draft::new(&root);
            draft.write(path, text).unwrap();
            host.plan(&mut draft, &reserve(PageSize::G1, "2")).unwrap();
            let mount = draft.text("etc/systemd/system/dev-hugepages1G.mount").unwrap();
            assert_eq!(mount.is_some(), mounts, "{path}: {text}");
            let notes = draft.finish("x").unwrap().notes.concat();
            assert_eq!(notes.contains("restart libvirtd"), mounts, "{notes}");
        }
    }

    #[test]
    fn off_leaves_no_fragment() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        host(32, 1, &[]).plan(&mut draft, &Request::Off).unwrap();
        let plan = draft.finish("off").unwrap();
        assert!(plan.is_empty() && plan.notes.is_empty());
    }
}

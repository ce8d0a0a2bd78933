//! The rule: which cores the host keeps.

use vfio_core::{
    CpuList,
    host::{CoreKind, Cpu},
};

use crate::{
    Core, Error, Request, Side, listed,
    topology::{cores, cpus},
};

/// Who has which cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The host's cores, CPU 0's first.
    pub host: Vec<Core>,
    /// The guests' cores, by their first thread; never empty.
    pub guest: Vec<Core>,
    /// Why the host keeps more cores than it must.
    pub reasons: Vec<Reason>,
}

/// Why the host keeps more cores than it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The guests have only cores of this kind.
    Kind(CoreKind),
    /// They share an L3 cache with the host's.
    Cache,
    /// They are on a memory node of the host's.
    Node,
}

impl Split {
    /// The host's CPUs.
    #[must_use]
    pub fn host_cpus(&self) -> CpuList {
        cpus(&self.host)
    }

    /// The guests' CPUs.
    #[must_use]
    pub fn guest_cpus(&self) -> CpuList {
        cpus(&self.guest)
    }
}

/// Who would have which cores; `None` for [`Request::Off`].
///
/// # Errors
///
/// A machine with one core; a number or a list that this machine cannot have.
pub fn split(cpu: &Cpu, request: &Request) -> Result<Option<Split>, Error> {
    let cores = match request {
        Request::Off => return Ok(None),
        _ => cores(cpu),
    };
    let count = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    match (request, count) {
        (Request::HostCores(0), _) => return Err(Error::NoHostCore),
        (Request::Guest(list) | Request::Host(list), _) if list.is_empty() => {
            return Err(Error::EmptyList);
        }
        (_, 0) => return Err(Error::Unknown),
        (_, 1) => return Err(Error::OneCore(cpus(&cores))),
        (Request::HostCores(asked), _) if *asked >= count => {
            return Err(Error::TooManyForHost { asked: *asked, cores: count });
        }
        _ => {}
    }
    match request {
        Request::Guest(list) => listed::split(&cores, Side::Guest, list).map(Some),
        Request::Host(list) => listed::split(&cores, Side::Host, list).map(Some),
        Request::HostCores(count) => {
            let kind = guest_kind(&cores).map(|_| CoreKind::Performance);
            Ok(Some(first(&cores, kind, usize::try_from(*count).unwrap_or(usize::MAX))))
        }
        Request::Auto | Request::Off => Ok(Some(by_rule(&cores))),
    }
}

/// The kind of core that guests get on a machine that has both.
fn guest_kind(cores: &[Core]) -> Option<CoreKind> {
    let (boot, others) = cores.split_first()?;
    let of = |kind| others.iter().filter(|core| core.kind == kind).count();
    let hybrid = others.iter().any(|core| core.kind != boot.kind);
    let fast = of(CoreKind::Performance) >= 2 || of(CoreKind::Efficiency) == 0;
    hybrid.then_some(if fast { CoreKind::Performance } else { CoreKind::Efficiency })
}

/// The cores that the host would best have are the first: CPU 0's, those that guests of `kind`
/// do not get, those near to CPU 0.
fn nearest_first(cores: &[Core], kind: Option<CoreKind>) -> Vec<&Core> {
    let mut order: Vec<&Core> = cores.iter().collect();
    if let Some(boot) = cores.first() {
        order.sort_by_key(|core| {
            let (cache, node) = (core.cache != boot.cache, core.node != boot.node);
            (core.threads != boot.threads, kind == Some(core.kind), cache, node)
        });
    }
    order
}

/// The host's `count` cores in the order of the rule; the guests get those of `kind` last.
fn first(cores: &[Core], kind: Option<CoreKind>, count: usize) -> Split {
    let order = nearest_first(cores, kind);
    let (host, guest) = order.split_at(count.min(order.len()));
    let sorted = |part: &[&Core]| {
        let mut part: Vec<Core> = part.iter().map(|core| (*core).clone()).collect();
        part.sort_by(|a, b| a.threads.cmp(&b.threads));
        part
    };
    Split { host: sorted(host), guest: sorted(guest), reasons: Vec::new() }
}

/// What the rule says of at least two cores.
fn by_rule(cores: &[Core]) -> Split {
    let kind = guest_kind(cores);
    let of_kind = cores.iter().filter(|core| kind.is_none_or(|kind| core.kind == kind)).count();
    let boot_is_one = cores.first().is_some_and(|boot| kind.is_none_or(|kind| boot.kind == kind));
    let kept = cores.len() - of_kind + usize::from(boot_is_one);
    let least = if cores.len() > 3 { 2 } else { 1 };
    let mut split = first(cores, kind, kept.max(least));
    split.reasons.extend(kind.map(Reason::Kind));
    for reason in [Reason::Cache, Reason::Node] {
        keep_whole(&mut split, reason, of_kind);
    }
    split
}

/// Gives the host all cores of the caches or nodes that it has a core of, unless that leaves the
/// guests less than half of `of_kind` cores.
fn keep_whole(split: &mut Split, reason: Reason, of_kind: usize) {
    let shares = |a: &Core, b: &Core| match reason {
        Reason::Node => a.node == b.node,
        _ => a.cache == b.cache,
    };
    let touched = |core: &Core| split.host.iter().any(|host| shares(core, host));
    let (more, whole): (Vec<_>, Vec<_>) = split.guest.iter().cloned().partition(touched);
    if !more.is_empty() && whole.len() * 2 >= of_kind {
        split.host.extend(more);
        split.host.sort_by(|a, b| a.threads.cmp(&b.threads));
        split.guest = whole;
        split.reasons.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topology::invented;

    /// `host / guest (reasons)` as the rule has it.
    fn by_rule(cores: &[(&str, &str)]) -> String {
        shown(&split(&invented(cores), &Request::Auto).unwrap().unwrap())
    }

    fn shown(split: &Split) -> String {
        let reasons: Vec<String> = split.reasons.iter().map(|r| format!(" {r:?}")).collect();
        format!("{} / {}{}", split.host_cpus(), split.guest_cpus(), reasons.concat())
    }

    /// `count` cores from number `from` with two threads `step` apart, all with one L3 cache.
    fn ccx(from: u32, count: u32, step: u32, node: u32) -> Vec<(String, String)> {
        let last = from + count - 1;
        let l3 = format!("{from}-{last},{}-{}", from + step, last + step);
        (from..=last).map(|n| (format!("{n},{} @{node}", n + step), l3.clone())).collect()
    }

    fn of(cores: &[(String, String)]) -> String {
        let cores: Vec<(&str, &str)> = cores.iter().map(|(a, b)| (&**a, &**b)).collect();
        by_rule(&cores)
    }

    #[test]
    fn b30_small_machines_give_lists_without_holes() {
        assert_eq!(by_rule(&[("0,2", "0-3"), ("1,3", "0-3")]), "0,2 / 1,3");
        assert_eq!(by_rule(&[("0", ""), ("1", ""), ("2", "")]), "0 / 1-2");
        assert_eq!(by_rule(&[("0", ""), ("1", ""), ("2", ""), ("3", "")]), "0-1 / 2-3");
        let one = split(&invented(&[("0-1", "0-1")]), &Request::Auto).unwrap_err();
        assert!(matches!(one, Error::OneCore(_)), "{one:?}");
        assert!(matches!(split(&Cpu::default(), &Request::Auto), Err(Error::Unknown)));
    }

    #[test]
    fn b29_a_hybrid_gives_its_fast_cores() {
        let one = "0-31";
        let mut cores: Vec<(String, String)> =
            (0..8).map(|n| (format!("{}-{}", 2 * n, 2 * n + 1), one.into())).collect();
        cores.extend((16..32).map(|n| (format!("E{n}"), one.into())));
        assert_eq!(of(&cores), "0-1,16-31 / 2-15 Kind(Performance)");
        // With one fast core left the economical ones are worth more.
        let small = [("0-1", "0-7"), ("2-3", "0-7"), ("E4", "0-7"), ("E5", "0-7"), ("E6", "0-7")];
        assert_eq!(by_rule(&small), "0-3 / 4-6 Kind(Efficiency)");
        // CPU 0 is not always a fast one, nor does each core have an L3 cache.
        let odd = [("E0", ""), ("1", "1-3"), ("2", "1-3"), ("3", "1-3")];
        assert_eq!(by_rule(&odd), "0-1 / 2-3 Kind(Performance)");
        assert_eq!(by_rule(&[("E0", ""), ("1", "")]), "0 / 1 Kind(Performance)");
    }

    #[test]
    fn caches_stay_whole_where_that_leaves_half() {
        assert_eq!(
            of(&[ccx(0, 8, 16, 0), ccx(8, 8, 16, 0)].concat()),
            "0-7,16-23 / 8-15,24-31 Cache"
        );
        let four: Vec<_> = (0..4).flat_map(|n| ccx(3 * n, 3, 12, 0)).collect();
        assert_eq!(of(&four), "0-2,12-14 / 3-11,15-23 Cache");
        let uneven = [ccx(0, 8, 12, 0), ccx(8, 4, 12, 0)].concat();
        assert_eq!(of(&uneven), "0-1,12-13 / 2-11,14-23");
        let uneven = [ccx(0, 4, 12, 0), ccx(4, 8, 12, 0)].concat();
        assert_eq!(of(&uneven), "0-3,12-15 / 4-11,16-23 Cache");
    }

    #[test]
    fn two_sockets_with_384_threads_give_the_second() {
        let caches = (0..24).flat_map(|n| ccx(8 * n, 8, 192, n / 12));
        let split = of(&caches.collect::<Vec<_>>());
        assert_eq!(split, "0-95,192-287 / 96-191,288-383 Cache Node");
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        let asked = |cores: &[(&str, &str)], count| {
            split(&invented(cores), &Request::HostCores(count)).map(|s| shown(&s.unwrap()))
        };
        let hybrid = [("0-1", "0-5"), ("2-3", "0-5"), ("E4", "0-5"), ("E5", "0-5")];
        assert_eq!(asked(&hybrid, 1).unwrap(), "0-1 / 2-5");
        assert_eq!(asked(&hybrid, 3).unwrap(), "0-1,4-5 / 2-3");
        let caches = [("0", "0,2"), ("1", "1,3"), ("2", "0,2"), ("3", "1,3")];
        assert_eq!(asked(&caches, 2).unwrap(), "0,2 / 1,3");
        assert_eq!(asked(&caches, 3).unwrap(), "0-2 / 3");
        assert!(matches!(asked(&caches, 4), Err(Error::TooManyForHost { .. })));
        assert!(matches!(asked(&caches, 0), Err(Error::NoHostCore)));
    }

    proptest! {
        #[test]
        fn every_split_keeps_the_laws(
            parts in prop::collection::vec((1u32..4, 0u32..4, 0u32..2, any::<bool>()), 2..20),
            number in 1u32..30,
            list in prop::collection::btree_set(0u32..60, 1..9),
        ) {
            let mut next = 0;
            let mut cores = Vec::new();
            for (threads, cache, node, small) in parts {
                let kind = if small { "E" } else { "" };
                let last = next + threads - 1;
                cores.push((format!("{kind}{next}-{last} @{node}"), cache));
                next += threads;
            }
            let first = |cache| cores.iter().position(|(_, c)| *c == cache).unwrap().to_string();
            let cores: Vec<_> = cores.iter().map(|(core, c)| (core.clone(), first(*c))).collect();
            let cores: Vec<(&str, &str)> = cores.iter().map(|(a, b)| (&**a, &**b)).collect();
            let cpu = invented(&cores);
            let list: CpuList = list.into_iter().collect();
            for request in [
                Request::Auto,
                Request::HostCores(number),
                Request::Guest(list.clone()),
                Request::Host(list),
            ] {
                let split = match split(&cpu, &request) {
                    Ok(split) => split.unwrap(),
                    // What is offered instead is accepted.
                    Err(Error::List { side, nearest: Some(list), .. }) => {
                        let request = match side {
                            Side::Guest => Request::Guest(list),
                            Side::Host => Request::Host(list),
                        };
                        split(&cpu, &request).unwrap().unwrap()
                    }
                    Err(_) => continue,
                };
                let (host, guest) = (split.host_cpus(), split.guest_cpus());
                prop_assert!(host.contains(0) && !guest.is_empty());
                let all: CpuList = host.iter().chain(guest.iter()).collect();
                prop_assert_eq!((all.len(), host.len() + guest.len()), (cpu.online.len(), all.len()));
                for logical in &cpu.online {
                    let inside = logical.siblings.iter().filter(|s| guest.contains(*s)).count();
                    prop_assert!(inside == 0 || inside == logical.siblings.len());
                }
            }
        }
    }
}

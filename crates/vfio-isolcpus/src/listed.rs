//! Lists that a person wrote: taken as they are, or refused with the nearest that would do.

use vfio_core::CpuList;

use crate::{Core, Error, Side, Split, topology::cpus};

/// Reasons of one kind that are told one by one.
const SHOWN: usize = 3;

/// The split that gives `side` the CPUs in `list`.
pub(crate) fn split(cores: &[Core], side: Side, list: &CpuList) -> Result<Split, Error> {
    let problems = problems(cores, side, list);
    if !problems.is_empty() {
        let nearest = nearest(cores, side, list).map(|cores| cpus(&cores));
        return Err(Error::List { side, list: list.clone(), problems, nearest });
    }
    Ok(divide(cores, |core| core.within(list) > 0, side))
}

/// Gives `side` the cores that are `wanted`, and the other side the others.
fn divide(cores: &[Core], wanted: impl Fn(&Core) -> bool, side: Side) -> Split {
    let (with, without) = cores.iter().cloned().partition(wanted);
    let (host, guest) = match side {
        Side::Guest => (without, with),
        Side::Host => (with, without),
    };
    Split { host, guest, reasons: Vec::new() }
}

/// Why `side` cannot have the CPUs in `list`, one a line.
fn problems(cores: &[Core], side: Side, list: &CpuList) -> Vec<String> {
    let mut problems = Vec::new();
    let online = cpus(cores);
    let missing: CpuList = list.iter().filter(|cpu| !online.contains(*cpu)).collect();
    if !missing.is_empty() {
        problems.push(format!("{} not online here; {online} are", count(&missing)));
    }
    if let Some(boot) = cores.first() {
        let (has, whole) = (boot.within(list), boot.threads.len());
        let stays = if whole == 1 {
            "CPU 0 stays with the host".to_owned()
        } else {
            format!("the core of CPU 0 ({}) stays with the host", boot.list())
        };
        let wrong = match side {
            Side::Guest => has > 0,
            Side::Host => has < whole,
        };
        problems.extend(wrong.then_some(stays));
    }
    let split = |core: &&Core| (1..core.threads.len()).contains(&core.within(list));
    let mut split = cores.iter().skip(1).filter(split);
    problems.extend(split.by_ref().take(SHOWN).map(|core| {
        let inside: CpuList = core.threads.iter().copied().filter(|t| list.contains(*t)).collect();
        format!("{} are one core, and the list has only {inside}", core.list())
    }));
    let more = split.count();
    problems.extend((more > 0).then(|| format!("it splits {more} more cores")));
    if online.iter().all(|cpu| list.contains(cpu)) {
        problems.push(match side {
            Side::Guest => "nothing would be left to the host".to_owned(),
            Side::Host => "nothing would be left to guests".to_owned(),
        });
    }
    problems
}

fn count(list: &CpuList) -> String {
    match list.len() {
        1 => format!("CPU {list} is"),
        _ => format!("CPUs {list} are"),
    }
}

/// The whole cores nearest to `list` that `side` can have; `None` when it names nothing that it
/// can have.
fn nearest(cores: &[Core], side: Side, list: &CpuList) -> Option<Vec<Core>> {
    let (boot, others) = cores.split_first()?;
    let take = |enough: &dyn Fn(&Core) -> bool| {
        let taken: Vec<Core> = others.iter().filter(|core| enough(core)).cloned().collect();
        match side {
            Side::Guest => (!taken.is_empty()).then_some(taken),
            Side::Host => (taken.len() < others.len())
                .then(|| [boot.clone()].into_iter().chain(taken).collect()),
        }
    };
    let half = |core: &Core| core.within(list) * 2 >= core.threads.len();
    let touched = |core: &Core| core.within(list) > 0;
    let whole = |core: &Core| core.within(list) == core.threads.len();
    [&half as &dyn Fn(&Core) -> bool, &touched, &whole].into_iter().find_map(take)
}

#[cfg(test)]
mod tests {
    use vfio_core::Advice;

    use crate::{Error, Request, split, topology::invented};

    fn refused(words: &str) -> (Vec<String>, String) {
        let cpu = invented(&[("0,4", "0-7"), ("1,5", "0-7"), ("2,6", "0-7"), ("3,7", "0-7")]);
        let request: Request = words.parse().unwrap();
        let error = split(&cpu, &request).unwrap_err();
        assert!(matches!(error, Error::List { .. }), "{error:?}");
        (error.because(), error.help().concat())
    }

    #[test]
    fn a_list_that_cannot_be_had_names_the_nearest_that_can() {
        for (words, because, help) in [
            ("--guest 2-3", "2,6 are one core, and the list has only 2", "--guest 2-3,6-7"),
            ("--guest 0,2,4,6", "the core of CPU 0 (0,4) stays with the host", "--guest 2,6"),
            ("--guest 3,7-9", "CPUs 8-9 are not online here; 0-7 are", "--guest 3,7"),
            ("--guest 0-7", "nothing would be left to the host", "--guest 1-3,5-7"),
            ("--guest 9", "CPU 9 is not online here; 0-7 are", "`deploy-vfio cpu` alone"),
            ("--host 1,5", "the core of CPU 0 (0,4) stays with the host", "--host 0-1,4-5"),
            ("--host 0-3", "1,5 are one core, and the list has only 1", "--host 0,4"),
            ("--host 0-7", "nothing would be left to guests", "`deploy-vfio cpu` alone"),
            ("--host 0-2,4,5", "2,6 are one core, and the list has only 2", "--host 0-2,4-6"),
        ] {
            let (reasons, advice) = refused(words);
            assert!(reasons.contains(&because.to_owned()), "{words}: {reasons:?}");
            assert!(advice.contains(help), "{words}: {advice}");
        }
    }

    #[test]
    fn a_list_of_whole_cores_is_taken_as_it_is() {
        let cpu = invented(&[("0,2", ""), ("1,3", ""), ("4", "")]);
        for words in ["--guest 1,3", "--host 0,2,4"] {
            let split = split(&cpu, &words.parse().unwrap()).unwrap().unwrap();
            assert_eq!(split.guest_cpus().to_string(), "1,3", "{words}");
        }
    }
}

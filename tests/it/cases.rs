//! Every file in `tests/cases`: commands on sample machines, and what they print.
//!
//! `UPDATE=1 cargo test --test it cases` writes what they print now into the files.

use vfio_testkit::case::Runner;

use super::{all, files, home, programs};

fn runner() -> Runner {
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    Runner { programs: programs(), machines: home("machines"), update }
}

#[test]
fn commands_print_what_the_cases_say() {
    let cases = files(&home("tests/cases"), "case");
    assert!(!cases.is_empty(), "there are no cases");
    all(&cases, |case| runner().run(case));
}

#[test]
fn every_command_of_a_case_keeps_the_laws() {
    all(&files(&home("tests/cases"), "case"), |case| runner().laws(case));
}

/// Only root enters a tree to run its programs: a case that does prints something else to everybody else.
#[test]
fn no_case_depends_on_who_runs_it() {
    all(&files(&home("tests/cases"), "case"), |case| {
        let text = std::fs::read_to_string(case).unwrap();
        let entered = |line: &&str| line.starts_with("2> ") && line.contains("chroot: ");
        text.lines().find(entered).map_or(Ok(()), |line| Err(format!("{}: {line}", case.display())))
    });
}

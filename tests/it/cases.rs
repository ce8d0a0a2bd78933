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

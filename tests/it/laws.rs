//! The laws for commands that no case is about, on trees as people have them.

use vfio_testkit::{Description, Edits, laws::laws};

use super::{all, home, programs};

const MACHINES: &[&str] =
    &["two-gpus", "twin-cards", "igpu-and-card", "single-gpu", "no-iommu", "odd"];

const COMMANDS: &[&str] = &[
    "hugepages 2M 64",
    "hugepages 1G 2",
    "hugepages off",
    "multiboot first",
    "multiboot last",
    "multiboot default",
    "multiboot last --parse all",
    "multiboot off",
];

#[test]
fn commands_keep_the_laws_whatever_people_did_to_the_files() {
    let mut all_of_them = Vec::new();
    for machine in MACHINES {
        for edits in [Edits::None, Edits::User, Edits::Crlf] {
            all_of_them.extend(COMMANDS.iter().map(|command| (*machine, edits, *command)));
        }
    }
    all(&all_of_them, |(machine, edits, command)| {
        let problem = |error: std::io::Error| error.to_string();
        let file = home("machines").join(format!("{machine}.json"));
        let dir = tempfile::tempdir().map_err(problem)?;
        let described = Description::read(&file).map_err(problem)?;
        described.lay_out_with(dir.path(), *edits).map_err(problem)?;
        let words: Vec<&str> = command.split(' ').collect();
        laws(&programs(), dir.path(), &words)
            .map_err(|error| format!("{machine} with {edits:?} edits: {error}"))
    });
}

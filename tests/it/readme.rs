//! The README cannot lie: its commands are run, and its sample output is what they print.

use std::{fs, path::Path, process::Command};

use vfio_testkit::Description;

/// The lines inside the README's fenced blocks of one language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut inside: Option<Vec<&str>> = None;
    for line in readme.lines() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(_), Some(_)) => blocks.extend(inside.take()),
            (Some(fence), None) if fence == language => inside = Some(Vec::new()),
            (Some(_), None) => inside = None,
            (None, Some(lines)) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

/// The README, and the machine that its samples are from.
fn readme_and_machine() -> (String, tempfile::TempDir) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    Description::read(&project.join("machines/two-gpus.json"))
        .unwrap()
        .lay_out(dir.path())
        .unwrap();
    fs::write(dir.path().join("etc/passwd"), "anna:x:1000:1000::/home/anna:/bin/sh\n").unwrap();
    (readme, dir)
}

#[test]
fn every_command_of_the_readme_works_on_the_sample_machine() {
    let (readme, dir) = readme_and_machine();
    let mut count = 0;
    for line in blocks(&readme, "sh").concat() {
        let Some(words) = line.split('#').next().and_then(|l| l.strip_prefix("deploy-vfio "))
        else {
            continue;
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
        command.args(["--dry-run", "--root"]).arg(dir.path()).args(words.split_whitespace());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        count += 1;
    }
    assert!(count >= 8, "the README has only {count} commands");
}

#[test]
fn the_sample_output_of_the_readme_is_what_is_printed() {
    let (readme, dir) = readme_and_machine();
    let mut printed = String::new();
    for words in [&["groups"][..], &["multiboot", "last", "--dry-run"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy-vfio"));
        let output = command.arg("--root").arg(dir.path()).args(words).output().unwrap();
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    let shown =
        |lines: &&Vec<&str>| lines[0].starts_with("group ") || lines[0].starts_with("diff ");
    let samples = blocks(&readme, "text");
    let samples: Vec<_> = samples.iter().filter(shown).collect();
    assert_eq!(samples.len(), 2, "the README shows the groups and the plan");
    for sample in samples {
        assert!(
            printed.contains(&sample.join("\n")),
            "{}\nis not in\n{printed}",
            sample.join("\n")
        );
    }
}

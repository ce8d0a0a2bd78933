//! What must never be in the source: the design's rules, and plain tidiness.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use vfio_core::{
    Advice, Exit, Root,
    change::{self, Draft, Interrupt, NoRebuild, Settings},
};
use vfio_testkit::{STATE, Tree};

/// Crates that features may stand on, or that are only for tests.
const BASE: &[&str] = &["vfio-core", "vfio-cli", "vfio-testkit"];

/// Where programs may be started.
const STARTS_PROGRAMS: &[&str] = &[
    "crates/vfio-core/src/change/rebuild.rs",
    "crates/vfio-cli/src/programs.rs",
    "crates/vfio-hook/src/hands.rs",
    "crates/vfio-testkit/",
    "xtask/",
    "tests/",
];

/// Where text may go straight to standard output or error.
const PRINTS: &[&str] = &[
    "bins/vfio-define.rs",
    "bins/vfio-hook.rs",
    "crates/vfio-cli/",
    "crates/vfio-testkit/",
    "xtask/",
    "tests/",
];

/// The programs that must work when a feature, or a plugin, is gone, and what they stand on.
const RESCUE: &[&str] = &[
    "bins/deploy-vfio-undo.rs",
    "bins/deploy-vfio-redo.rs",
    "bins/deploy-vfio-recover.rs",
    "bins/deploy-vfio-status.rs",
    "bins/deploy-vfio-log.rs",
    "crates/vfio-cli/",
    "crates/vfio-core/",
];

/// The modules whose types are a format: what they derive reaches disk or a pipe as it stands.
const FORMATS: &[&str] = &[
    "bins/deploy-vfio-apply.rs",
    "bins/setup/",
    "crates/vfio-cli/src/json.rs",
    "crates/vfio-core/src/change/journal.rs",
    "crates/vfio-core/src/change/record.rs",
    "crates/vfio-core/src/host/record.rs",
    "crates/vfio-core/src/host/snapshot.rs",
    "crates/vfio-hook/src/settings.rs",
    "crates/vfio-hook/src/state.rs",
    "crates/vfio-testkit/",
];

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;

struct Source {
    /// Relative to the project.
    path: String,
    text: String,
}

impl Source {
    /// The text up to the tests at its end, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let end = self.text.find("#[cfg(test)]").unwrap_or(self.text.len());
        self.text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place)) || self.path.contains("/tests/")
    }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the project that `wanted` accepts, by path; build output is none.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(home().join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
            let path = dir.join(&name);
            let hidden = name.to_string_lossy().starts_with('.') || name == "target";
            if kind.is_dir() && !hidden {
                dirs.push(path);
            } else if kind.is_file() && wanted(&path.to_string_lossy()) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn text(path: &str) -> String {
    fs::read_to_string(home().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources() -> Vec<Source> {
    let paths = files(|path| path.ends_with(".rs"));
    paths.into_iter().map(|path| Source { text: text(&path), path }).collect()
}

fn manifests() -> Vec<(String, String)> {
    let paths = files(|path| path.starts_with("crates/") && path.ends_with("/Cargo.toml"));
    paths.iter().map(|path| (path.split('/').nth(1).unwrap().to_owned(), text(path))).collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Fails with every line of code that `bad` accepts.
fn no_line(what: &str, allowed: &[&str], bad: impl Fn(&Source, &str) -> bool) {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_below(allowed)) {
        let lines = source.code().filter(|line| bad(source, line));
        found.extend(lines.map(|line| format!("{}: {}", source.path, line.trim())));
    }
    none(what, &found);
}

/// Whether `word` stands in the line with nothing before it that would make it another word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(part))
}

/// The project's own crates that a manifest depends on, with the section that says so.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && line.starts_with("vfio-") {
            let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
            found.push((section, &line[..end]));
        }
    }
    found
}

#[test]
fn features_depend_on_the_core_and_on_no_other_feature() {
    let mut found = Vec::new();
    for (name, manifest) in manifests() {
        for (section, on) in dependencies(&manifest) {
            let test = section == "[dev-dependencies]" && on == "vfio-testkit";
            let allowed = test || (on == "vfio-core" && name != "vfio-core");
            if !allowed {
                found.push(format!("{name} depends on {on} in {section}"));
            }
        }
    }
    none("an arrow that the design does not have", &found);
}

#[test]
fn facts_and_changes_never_import_each_other() {
    no_line("host and change know each other", &[], |source, line| {
        let inside = |dir: &str| source.path.starts_with(&format!("crates/vfio-core/src/{dir}/"));
        (inside("host") && has_word(line, "change::"))
            || (inside("change") && has_word(line, "host::"))
    });
}

#[test]
fn what_takes_back_knows_no_feature() {
    let features: Vec<String> = manifests()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !BASE.contains(&name.as_str()))
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(features.len() > 2, "{features:?}");
    for path in RESCUE {
        assert!(home().join(path).exists(), "{path} is not there any more");
    }
    no_line("a way back needs a feature", &[], |source, line| {
        let rescue = RESCUE.iter().any(|path| source.path.starts_with(path));
        let names = |feature: &String| {
            has_word(line, &format!("{feature}::")) || line == format!("use {feature};")
        };
        rescue && features.iter().any(names)
    });
}

#[test]
fn only_one_program_loads_libvirt() {
    // A hook that calls libvirt back waits for ever; what takes back works without it.
    let allowed = ["bins/vfio-define.rs", "crates/vfio-libvirt/", "tests/"];
    no_line("libvirt is loaded elsewhere", &allowed, |_, line| {
        has_word(line, "libloading::") || has_word(line, "Libvirt::open")
    });
    let unsafe_code =
        ["crates/vfio-libvirt/src/library.rs", "crates/vfio-core/src/change/flush.rs", "tests/"];
    no_line("unsafe code", &unsafe_code, |_, line| {
        has_word(line, "unsafe {") || has_word(line, "unsafe fn") || has_word(line, "unsafe extern")
    });
}

/// No plan can name a path there, and a symbolic link to one leads nowhere.
#[test]
fn the_engine_writes_neither_to_the_kernels_trees_nor_to_boot() {
    let places = ["sys/kernel/x", "proc/sys/x", "dev/x", "run/x", "boot/grub/grub.cfg", "efi/x"];
    for place in places {
        for at in [place, "etc/link"] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(place);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::create_dir(dir.path().join("etc")).unwrap();
            fs::write(&file, "as it was").unwrap();
            symlink(format!("/{place}"), dir.path().join("etc/link")).unwrap();
            let tree = || Tree::read(dir.path()).unwrap().without(&[STATE]);
            let (root, before) = (Root::open(dir.path()).unwrap(), tree());
            let mut draft = Draft::new(&root);
            draft.write(at, "new").unwrap();
            let plan = draft.finish("test").unwrap();
            let (interrupt, progress) = (Interrupt::new(), |_: &str| ());
            let settings = Settings {
                rebuilder: &NoRebuild,
                verify: None,
                interrupt: &interrupt,
                wait: std::time::Duration::ZERO,
                progress: &progress,
            };
            let refused = change::apply(&root, &plan, &settings).unwrap_err();
            assert_eq!(refused.exit(), Exit::Refused, "{at} -> {place}: {refused}");
            let (before, now) =
                (before.without_directory_times(), tree().without_directory_times());
            assert_eq!(before.diff(&now), "", "{at} -> {place}");
        }
    }
}

/// Files of a plan are checked before `files.rs` sees them, `store.rs` writes the engine's own
/// records, `aside.rs` renames one that is damaged, and `boot.rs` commits what a generator staged.
#[test]
fn few_modules_put_files_in_place_and_one_of_them_below_boot() {
    const PLACES: &[&str] = &[
        "crates/vfio-core/src/change/aside.rs",
        "crates/vfio-core/src/change/boot.rs",
        "crates/vfio-core/src/change/disk.rs",
        "crates/vfio-core/src/change/files.rs",
        "crates/vfio-core/src/change/store.rs",
        "crates/vfio-core/src/change/verdict.rs",
    ];
    no_line("a file is put in place elsewhere", PLACES, |source, line| {
        let calls = ["create", "overwrite", "keep", "symlink", "rename", "rename_new", "exchange"];
        source.path.starts_with("crates/vfio-core/src/")
            && calls.iter().any(|call| line.contains(&format!("disk.{call}(")))
    });
}

#[test]
fn only_formats_derive_what_reaches_disk_or_a_pipe() {
    no_line("a type that is no record of a format", FORMATS, |_, line| {
        ["Serialize", "Deserialize"].iter().any(|word| has_word(line, word))
    });
}

#[test]
fn only_the_rebuilds_and_the_dispatcher_start_programs() {
    no_line("a program is started", STARTS_PROGRAMS, |_, line| {
        has_word(line, "Command::new(") && !line.contains("clap::Command::new(")
    });
}

#[test]
fn only_the_terminal_crate_prints() {
    no_line("text goes past vfio-cli", PRINTS, |_, line| {
        ["print!(", "println!(", "eprint!(", "eprintln!("].iter().any(|m| has_word(line, m))
    });
}

#[test]
fn features_know_neither_files_nor_environment_nor_clock() {
    no_line("a feature does not only plan", &[], |source, line| {
        let of = source.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next());
        let feature = of.is_some_and(|name| !BASE.contains(&name))
            && source.path != "crates/vfio-hook/src/hands.rs";
        let doors = ["std::fs", "std::env", "std::process", "SystemTime::now", "Instant::now"];
        feature && doors.iter().any(|door| has_word(line, door))
    });
}

#[test]
fn every_source_file_is_short_and_introduces_itself() {
    let mut found = Vec::new();
    for Source { path, text } in sources() {
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            found.push(format!("{path}: {lines} lines, at most {LONGEST_FILE}"));
        }
        if !text.starts_with("//! ") {
            found.push(format!("{path}: does not begin with `//! ` and what it is for"));
        }
        if !text.ends_with('\n') {
            found.push(format!("{path}: its last line has no end"));
        }
        // What a test expects to be printed may end in blanks.
        let own = text.split("\n#[cfg(test)]").next().filter(|_| !path.contains("tests/"));
        let lines = (1..).zip(own.unwrap_or_default().lines());
        let blanks = lines.filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
        found.extend(blanks.map(|(number, _)| format!("{path}:{number}: blanks at its end")));
        let within = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
        if within.is_some_and(|(_, modules)| modules.matches('/').count() > 1) {
            found.push(format!("{path}: modules are at most two deep"));
        }
    }
    none("untidy", &found);
}

/// How long each function is, by its first line; formatted code closes one where it began.
fn functions(text: &str) -> Vec<(usize, &str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "extern \"C\" "];
        let bare = words.iter().fold(code, |code, word| code.strip_prefix(word).unwrap_or(code));
        if !bare.starts_with("fn ") || line.ends_with(['}', ';']) {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indent).unwrap_or_default();
            rest == "}" || (rest.starts_with(')') && rest.ends_with(';'))
        };
        let length = lines[at..].iter().position(ends).map_or(0, |end| end + 1);
        found.push((at + 1, code, length));
    }
    found
}

#[test]
fn every_function_fits_a_screen() {
    let mut found = Vec::new();
    for Source { path, text } in sources() {
        let long = functions(&text).into_iter().filter(|(_, _, lines)| *lines > LONGEST_FUNCTION);
        found.extend(long.map(|(at, code, lines)| format!("{path}:{at}: {lines} lines: {code}")));
    }
    none(&format!("functions of more than {LONGEST_FUNCTION} lines"), &found);
    let text = "fn a() {\n    b\n}\nfn c() {}\n    fn d(\n        x: u8,\n    );\n";
    let lengths: Vec<usize> = functions(text).iter().map(|(_, _, lines)| *lines).collect();
    assert_eq!(lengths, [3, 3]);
}

#[test]
fn every_manifest_says_what_the_workspace_says() {
    let mut found = Vec::new();
    for (name, manifest) in manifests() {
        for wanted in [
            "description = \"",
            "version.workspace = true",
            "edition.workspace = true",
            "rust-version.workspace = true",
            "license.workspace = true",
            "[lints]\nworkspace = true",
        ] {
            if !manifest.contains(wanted) {
                found.push(format!("{name}: no `{wanted}`"));
            }
        }
    }
    none("manifests", &found);
}

/// Every shell script is listed in `tests/shell-scripts`, which CI gives to shellcheck.
#[test]
fn every_shell_script_is_listed_and_clean() {
    let list = text("tests/shell-scripts");
    let listed: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let is_script = |path: &str| {
        let text = fs::read(home().join(path)).unwrap_or_default();
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        path.ends_with(".sh")
            || path.ends_with(".bash")
            || (first.starts_with(b"#!") && first.ends_with(b"sh"))
    };
    // What a fixture holds is data.
    let ours = |path: &str| !path.contains("/fixtures/") && is_script(path);
    let there: BTreeSet<String> = files(ours).into_iter().collect();
    let differ: Vec<String> = there.symmetric_difference(&listed).cloned().collect();
    none("tests/shell-scripts does not list all scripts, or more", &differ);
    for (program, arguments) in [("sh", &["-n"][..]), ("shellcheck", &["-x"][..])] {
        for script in &there {
            let program =
                if program == "sh" && script.ends_with(".bash") { "bash" } else { program };
            let mut command = Command::new(program);
            let run = command.current_dir(home()).args(arguments).arg(script).output();
            // Not everybody who builds this has shellcheck; CI does.
            let Ok(output) = run else { continue };
            let said = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {script}:\n{said}{complained}");
        }
    }
}

//! The programs as files: installed with what they print, replaced by a later version, removed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use vfio_testkit::{Description, Edits, Outcome, Programs, STATE, Stage, Tree, laws::laws};

use crate::tools::has;

const LIST: &str = "usr/local/share/deploy-vfio/installed.sha256";

/// A machine, and a directory with programs of which one is as large as a real one.
struct Place {
    stage: Stage,
    build: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
        let stage = Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap();
        let place = Self { stage, build: tempfile::tempdir().unwrap() };
        // One that can print its page has the variable's name in its file.
        let page = "#!/bin/sh\n[ \"$DEPLOY_VFIO_ASK\" ] && echo '.TH DEPLOY-VFIO 1'\n";
        place.program("deploy-vfio", page.as_bytes());
        place.program("deploy-vfio-large", &large(b'a'));
        place
    }

    fn program(&self, name: &str, bytes: &[u8]) {
        let path = self.build.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let programs = Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")));
        programs.run(self.stage.path(), &[words, &["--yes", "--no-rebuild"]].concat()).unwrap()
    }

    fn install(&self, more: &[&str]) -> Outcome {
        let from = ["install", "--from", self.build.path().to_str().unwrap()];
        self.run(&[&from, more].concat())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.stage.path().join(path)
    }

    fn tree(&self) -> Tree {
        let tree = Tree::read(self.stage.path()).unwrap();
        tree.without(&[STATE]).without_directory_times().without_link_times()
    }
}

/// No text, and more than the engine keeps of everything.
fn large(fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; (1 << 20) + 1];
    bytes.push(0);
    bytes
}

fn done(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn programs_keep_the_laws() {
    let place = Place::new();
    let programs = Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")));
    let from = place.build.path().to_str().unwrap();
    laws(&programs, place.stage.path(), &["install", "--from", from]).unwrap();
    done(&place.install(&[]));
    laws(&programs, place.stage.path(), &["uninstall"]).unwrap();
    place.program("deploy-vfio-large", &large(b'b'));
    laws(&programs, place.stage.path(), &["install", "--from", from]).unwrap();
}

#[test]
fn programs_are_installed_with_pages_completions_and_their_sums() {
    let place = Place::new();
    let dry = place.install(&["--dry-run"]);
    let large = "2 MiB  0755  new     /usr/local/bin/deploy-vfio-large\n";
    assert!(dry.stdout.contains(large), "{}", dry.stdout);
    assert!(dry.stdout.lines().count() < 30, "a short plan: {}", dry.stdout);
    let json = place.install(&["--dry-run", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let files = plan["files"].as_array().unwrap();
    let one = files.iter().find(|file| file["path"] == "/usr/local/bin/deploy-vfio-large");
    let after = &one.unwrap()["after"];
    assert_eq!((&after["size"], &after["mode"]), (&1_048_578.into(), &"0755".into()), "{after}");

    done(&place.install(&["--quiet"]));
    let read = |path: &str| fs::read_to_string(place.at(path)).unwrap();
    assert_eq!(read("usr/local/share/man/man1/deploy-vfio.1"), ".TH DEPLOY-VFIO 1\n");
    assert!(!place.at("usr/local/share/man/man1/deploy-vfio-large.1").exists());
    for (shell, file) in [
        ("bash", "bash-completion/completions/deploy-vfio"),
        ("zsh", "zsh/site-functions/_deploy-vfio"),
        ("fish", "fish/vendor_completions.d/deploy-vfio.fish"),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_deploy-vfio-completions"));
        let printed = String::from_utf8(program.arg(shell).output().unwrap().stdout).unwrap();
        assert_eq!(read(&format!("usr/local/share/{file}")), printed, "{shell}");
    }
    let program = place.at("usr/local/bin/deploy-vfio");
    assert_eq!(program.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    if has("sha256sum") {
        let mut sums = Command::new("sha256sum");
        sums.args(["--check", "--strict"]).arg(place.at(LIST)).current_dir(place.at("usr/local"));
        let checked = sums.output().unwrap();
        let told = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(told.lines().count(), 6, "{told}");
    }
}

#[test]
fn the_journal_has_room_for_what_an_undo_needs_and_no_more() {
    let place = Place::new();
    let size = |part: &str| {
        let dir = place.at("var/lib/deploy-vfio/tx").join(part);
        let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        files.map(|meta| meta.len()).sum::<u64>()
    };
    done(&place.install(&[]));
    let kept = size("000001/post");
    assert!(kept < 1 << 16, "{kept} bytes of what is on the disk anyway");
    place.program("deploy-vfio-large", &large(b'b'));
    done(&place.install(&[]));
    let kept = size("000002/pre");
    assert!(kept > 1 << 20, "what was replaced is kept: {kept} bytes");
    done(&place.run(&["undo"]));
    assert_eq!(fs::read(place.at("usr/local/bin/deploy-vfio-large")).unwrap(), large(b'a'));
    let redo = place.run(&["redo"]);
    assert_eq!(redo.code, 6, "{}", redo.stderr);
    assert!(redo.stderr.contains("help: `deploy-vfio install --from "), "{}", redo.stderr);
    done(&place.run(&["undo"]));
    assert!(!place.at("usr/local/bin/deploy-vfio").exists());
}

#[test]
fn a_removal_takes_back_what_is_deployed_when_it_is_told_to() {
    let place = Place::new();
    done(&place.run(&["hugepages", "2M", "64"]));
    let deployed = place.tree();
    done(&place.run(&["undo"]));
    let before = place.tree();

    done(&place.install(&[]));
    done(&place.run(&["hugepages", "2M", "64"]));
    let keep = place.run(&["uninstall", "--keep"]);
    done(&keep);
    let left = |tree: &Tree, other: &Tree| {
        // Directories that came with the programs stay, and a time is not what was deployed.
        let beside = |line: &&str| line.contains("usr/local") || line.starts_with("touched: ");
        other.diff(tree).lines().filter(|line| !beside(line)).count()
    };
    assert_eq!(left(&place.tree(), &deployed), 0, "{}", deployed.diff(&place.tree()));

    done(&place.run(&["undo"]));
    let undo = place.run(&["uninstall", "--undo"]);
    done(&undo);
    assert!(undo.stderr.contains("Undoing operation 3: hugepages 2M 64\n"), "{}", undo.stderr);
    assert_eq!(left(&place.tree(), &before), 0, "{}", before.diff(&place.tree()));
    assert!(!place.at(LIST).exists() && !place.at("usr/local/bin/deploy-vfio").exists());
    assert_eq!(place.run(&["uninstall"]).stdout, "Nothing to do.\n");
}

/// The programs may be elsewhere, or gone: who says `--undo` wants it.
#[test]
fn a_removal_takes_back_what_is_deployed_wherever_the_programs_are() {
    let place = Place::new();
    let before = place.tree();
    done(&place.run(&["hugepages", "2M", "64"]));
    done(&place.run(&["uninstall", "--undo"]));
    assert_eq!(before.diff(&place.tree()), "");
    assert_eq!(place.run(&["uninstall", "--undo"]).stdout, "Nothing to do.\n");
}

/// The installation may stand anywhere among what is deployed: all of it goes, or nothing.
#[test]
fn a_removal_takes_everything_back_or_nothing() {
    for first in ["install", "hugepages"] {
        let place = Place::new();
        let before = place.tree();
        let deploy = || done(&place.run(&["hugepages", "2M", "64"]));
        if first == "hugepages" {
            deploy();
            done(&place.install(&[]));
        } else {
            done(&place.install(&[]));
            deploy();
        }
        done(&place.run(&["zram-swap", "1/4"]));
        let edited = place.at("etc/deploy-vfio/cmdline.d/20-hugepages.conf");
        let text = fs::read(&edited).unwrap();
        fs::write(&edited, "mine\n").unwrap();
        let deployed = place.tree();
        let stopped = place.run(&["uninstall", "--undo"]);
        let help = "help: nothing was changed; `deploy-vfio undo --all` with `--keep`";
        assert!(stopped.code == 4 && stopped.stderr.contains(help), "{}", stopped.stderr);
        assert_eq!(deployed.diff(&place.tree()), "", "{first}");

        fs::write(&edited, text).unwrap();
        let shown = place.run(&["uninstall", "--undo", "--dry-run"]);
        for operation in ["operation 3: zram-swap 1/4", ": hugepages 2M 64", ": install"] {
            assert!(shown.stderr.contains(operation), "{}", shown.stderr);
        }
        done(&place.run(&["uninstall", "--undo"]));
        let beside = |line: &&str| line.starts_with("touched: ");
        let left = before.diff(&place.tree());
        assert_eq!(left.lines().filter(|line| !beside(line)).count(), 0, "{left}");
    }
}

#[test]
fn no_link_leads_around_the_package_manager() {
    let place = Place::new();
    fs::create_dir_all(place.at("var/lib/dpkg/info")).unwrap();
    fs::write(place.at("var/lib/dpkg/info/mine.list"), "/usr/bin/deploy-vfio\n").unwrap();
    fs::create_dir_all(place.at("usr/bin")).unwrap();
    fs::create_dir_all(place.at("opt")).unwrap();
    std::os::unix::fs::symlink("../usr/bin", place.at("opt/bin")).unwrap();
    for prefix in ["/usr", "/opt", "/"] {
        let refused = place.install(&["--prefix", prefix]);
        let told = "bin/deploy-vfio belongs to the package mine\n";
        assert!(refused.code == 6 && refused.stderr.contains(told), "{prefix}: {}", refused.stderr);
    }
}

#[test]
fn b48_what_others_put_beside_the_programs_keeps_mode_owner_and_bytes() {
    let place = Place::new();
    let others = [("notes", 0o600), ("deploy-vfios", 0o644), ("tool", 0o4755)];
    fs::create_dir_all(place.at("usr/local/bin")).unwrap();
    for (name, mode) in others {
        let path = place.at(&format!("usr/local/bin/{name}"));
        fs::write(&path, name).unwrap();
        // Only root can give a file away; anybody can see that its owner stays.
        let _ = std::os::unix::fs::chown(&path, Some(1234), Some(5678));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let before = place.tree();
    done(&place.install(&[]));
    let changed = before.diff(&place.tree());
    assert!(changed.contains("usr/local/bin/deploy-vfio-large"), "{changed}");
    for (name, _) in others {
        assert!(!changed.contains(&format!("bin/{name}")), "{changed}");
    }
    done(&place.run(&["uninstall"]));
    for (name, mode) in others {
        let about = fs::metadata(place.at(&format!("usr/local/bin/{name}"))).unwrap();
        assert_eq!(about.permissions().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn what_was_changed_since_it_was_installed_stays() {
    let place = Place::new();
    done(&place.install(&[]));
    let (program, page) =
        (place.at("usr/local/bin/deploy-vfio"), place.at("usr/local/share/man/man1/deploy-vfio.1"));
    fs::write(&program, "mine\n").unwrap();
    fs::remove_file(&page).unwrap();
    fs::create_dir(&page).unwrap();
    let removed = place.run(&["uninstall"]);
    done(&removed);
    for path in ["bin/deploy-vfio", "share/man/man1/deploy-vfio.1"] {
        let note = format!("note: /usr/local/{path} was changed since it was installed, and stays");
        assert!(removed.stderr.contains(&note), "{}", removed.stderr);
    }
    assert_eq!(fs::read_to_string(&program).unwrap(), "mine\n");
    assert!(page.is_dir() && !place.at("usr/local/bin/deploy-vfio-large").exists());
}

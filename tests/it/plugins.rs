//! Plugins: programs of others that become commands, and the example that ships with the project.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use vfio_testkit::{Description, STATE, Tree};

const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn machine(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    let described = Description::read(&project().join("machines/two-gpus.json")).unwrap();
    described.lay_out(&root).unwrap();
    root
}

/// Runs deploy-vfio with `plugins` on PATH.
fn run(plugins: &Path, root: &Path, words: &[&str]) -> Output {
    let path = format!("{}:/usr/bin:/bin", plugins.display());
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("PATH", path).arg("--root").arg(root).args(words);
    command.output().unwrap()
}

/// A directory that only its owner may write to, with the example in it.
fn with_example(dir: &Path) -> PathBuf {
    let plugins = dir.join("plugins");
    fs::create_dir(&plugins).unwrap();
    let from = project().join("examples/deploy-vfio-quiet-boot");
    fs::copy(from, plugins.join("deploy-vfio-quiet-boot")).unwrap();
    plugins
}

#[test]
fn the_example_gets_diff_dry_run_journal_and_undo() {
    let dir = tempfile::tempdir().unwrap();
    let (root, plugins) = (machine(dir.path()), with_example(dir.path()));
    let tree = || Tree::read(&root).unwrap().without(&[STATE]).without_directory_times();
    let before = tree();

    // Options before the command reach the programs that the plugin calls.
    let dry = run(&plugins, &root, &["--dry-run", "quiet-boot"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("+quiet loglevel=3"), "{dry:?}");
    assert_eq!(before.diff(&tree()), "");

    let done = run(&plugins, &root, &["--yes", "--no-rebuild", "quiet-boot"]);
    assert!(done.status.success(), "{done:?}");
    let drop_in = fs::read_to_string(root.join("etc/default/grub.d/deploy-vfio.cfg")).unwrap();
    assert!(drop_in.contains("quiet loglevel=3"), "{drop_in}");

    fs::remove_file(plugins.join("deploy-vfio-quiet-boot")).unwrap();
    let undone = run(&plugins, &root, &["--yes", "--no-rebuild", "undo"]);
    assert!(undone.status.success(), "undo works when the plugin is gone: {undone:?}");
    assert_eq!(before.diff(&tree()), "");
}

#[test]
fn an_exit_status_passes_through_and_list_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (root, plugins) = (machine(dir.path()), with_example(dir.path()));
    let script = plugins.join("deploy-vfio-seven");
    fs::write(&script, "#!/bin/sh\ntouch \"$0.ran\"\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let listed = run(&plugins, &root, &["list"]);
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(names.contains("seven") && names.contains("multiboot"), "{listed:?}");
    assert!(!plugins.join("deploy-vfio-seven.ran").exists(), "list ran a plugin");
    assert_eq!(run(&plugins, &root, &["seven"]).status.code(), Some(7));
}

#[test]
fn as_root_a_program_that_others_may_write_to_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let (root, plugins) = (machine(dir.path()), with_example(dir.path()));
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = run(&plugins, &root, &["--dry-run", "quiet-boot"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let root_runs =
        fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if root_runs {
        assert_eq!(refused.status.code(), Some(6), "{said}");
        assert!(said.contains("others may write to"), "{said}");
    } else {
        assert!(refused.status.success(), "an ordinary user runs what is on PATH: {said}");
    }
}

#[test]
fn a_draft_may_not_leave_etc() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    for path in [
        "../x",
        "/etc/x",
        "etc/../x",
        "usr/bin/x",
        "etc/shadow",
        "etc//x",
        "etc/sudoers.d/x",
        "etc/a\\nb",
        "etc/\\u001b[31m",
    ] {
        let draft = dir.path().join("draft.json");
        fs::write(&draft, format!(r#"{{"format":1,"files":{{"{path}":"x"}}}}"#)).unwrap();
        let refused = run(dir.path(), &root, &["apply", "--dry-run", draft.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(6), "{path}: {refused:?}");
    }
    for (text, code) in [
        ("{", 2),
        (r#"{"format":2,"files":{}}"#, 2),
        (r#"{"format":1}"#, 2),
        (r#"{"format":1,"files":{}}"#, 0),
        (&" ".repeat((4 << 20) + 1), 6),
    ] {
        let draft = dir.path().join("draft.json");
        fs::write(&draft, text).unwrap();
        let said = run(dir.path(), &root, &["apply", "--dry-run", draft.to_str().unwrap()]);
        assert_eq!(said.status.code(), Some(code), "{text}: {said:?}");
    }
}

#[test]
fn an_entry_that_the_menu_would_never_show_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let draft = dir.path().join("draft.json");
    let apply = |name: &str| {
        let entry = format!("etc/deploy-vfio/entries.d/{name}.conf");
        let files = serde_json::json!({ entry: "title=X\narguments=quiet\n" });
        let text = serde_json::json!({ "format": 1, "files": files }).to_string();
        fs::write(&draft, text).unwrap();
        run(dir.path(), &root, &["apply", "--dry-run", draft.to_str().unwrap()])
    };
    let refused = apply("x");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(6), 0), "{refused:?}");
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "deploy-vfio apply: `x` cannot be the name of a boot entry\n\
         because: /etc/deploy-vfio/entries.d/x.conf: the menu generator takes deploy-vfio-NAME.conf \
         alone, NAME of letters, digits and `:._-`\n\
         help: call it `etc/deploy-vfio/entries.d/deploy-vfio-x.conf`\n"
    );
    let done = apply("deploy-vfio-x");
    assert!(done.status.success(), "{done:?}");
}

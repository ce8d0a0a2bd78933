//! What somebody who is not root, or a machine that lies, could try; SECURITY.md says what is
//! promised. A test is named after its section there, `sec_tN_…`.

mod drafts;
mod environment;
mod guests;
mod journal;
mod links;
mod names;
mod plugins;
mod secrets;
mod supply;
mod trees;
mod xml;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use vfio_testkit::{Description, Edits, Stage};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_deploy-vfio");

/// A described machine with two cards, laid out.
pub fn stage() -> Stage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/two-gpus.json");
    Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap()
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Writes a program.
pub fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    mode(path, 0o755);
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory that nobody else may write to, in one that nobody may either.
pub fn private() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    mode(dir.path(), 0o755);
    dir
}

/// The dispatcher on `root`, with this PATH and nothing else.
pub fn command(path: &str, root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["60", PROGRAM]).env_clear().env("PATH", path).stdin(Stdio::null());
    command.arg("--root").arg(root).args(words);
    command
}

pub fn run(root: &Path, words: &[&str]) -> Output {
    command("/usr/bin:/bin", root, words).output().unwrap()
}

/// What a run said, after it ended with `code`, without a panic.
pub fn said(output: &Output, code: i32) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A draft of one file, written down.
pub fn draft(dir: &Path, path: &str, text: &str) -> PathBuf {
    let files = serde_json::json!({ path: text });
    let draft = dir.join("draft.json");
    fs::write(&draft, serde_json::json!({ "format": 1, "files": files }).to_string()).unwrap();
    draft
}

/// `apply` of one file.
pub fn apply(root: &Path, path: &str, text: &str) -> Output {
    let dir = private();
    let draft = draft(dir.path(), path, text);
    run(root, &["apply", "--yes", "--no-rebuild", draft.to_str().unwrap()])
}

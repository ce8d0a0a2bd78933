//! How `deploy-vfio` finds the program of a command, and becomes it.
//!
//! Looked up beside the dispatcher, in `/usr/local/libexec/deploy-vfio` and
//! `/usr/libexec/deploy-vfio`, then on PATH. As root a program is run only if it and every
//! directory above it belong to root and nobody else may write to them ([`trusted`]), and it gets an
//! environment made anew.
#![expect(clippy::disallowed_methods, reason = "starting the program of a command is its job")]

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{IsTerminal, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Failure, Global, Usage,
    asked::Asked,
    environment, manual,
    trust::{is_executable, safe},
};

pub use crate::trust::trusted;

const DISPATCHER: &str = "deploy-vfio";
const PREFIX: &str = "deploy-vfio-";
const LIBEXEC: [&str; 2] = ["/usr/local/libexec/deploy-vfio", "/usr/libexec/deploy-vfio"];

/// A command and the program that carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The command's word.
    pub name: String,
    /// Its program.
    pub path: PathBuf,
}

/// Every command there is, by name; of several programs for one command the first found.
#[must_use]
pub fn all() -> Vec<Program> {
    let mut found = BTreeMap::new();
    for dir in directories() {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries {
            // The name first: a directory on PATH has thousands of other programs.
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = file.strip_prefix(PREFIX).filter(|name| is_name(name)) else {
                continue;
            };
            if is_executable(&entry.path()) {
                found.entry(name.to_owned()).or_insert(entry.path());
            }
        }
    }
    found.into_iter().map(|(name, path)| Program { name, path }).collect()
}

/// The programs of this project's kind in `dir`, or beside this one: the dispatcher, and one for
/// each command; sorted by their files' names.
///
/// # Errors
///
/// A directory that cannot be read.
pub fn in_directory(dir: Option<&Path>) -> Result<Vec<Program>, Failure> {
    let me = dispatcher().path;
    let dir = dir.or_else(|| me.parent()).unwrap_or(Path::new("."));
    let unreadable = |error| {
        Usage::refused(format!("cannot read the directory {}: {error}", dir.display()), &[])
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if file == DISPATCHER { Some(DISPATCHER) } else { file.strip_prefix(PREFIX) };
        if let Some(name) = name.filter(|name| is_name(name) && is_executable(&path)) {
            found.push(Program { name: name.to_owned(), path });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// A program of ours that is no command: in `dir`, or beside this one, or where that is installed.
///
/// # Errors
///
/// It is in neither place; as root, somebody else could have put it there.
pub fn helper(dir: Option<&Path>, file: &str) -> Result<Program, Failure> {
    let me = dispatcher().path;
    let dir = dir.or_else(|| me.parent()).unwrap_or(Path::new("."));
    let places = vec![dir.to_path_buf(), dir.join("../libexec/deploy-vfio")];
    let Some(path) = first(places, file) else {
        let what = format!("the program `{file}` is not installed");
        let help = ["`deploy-vfio install` puts it in place, with all the others"];
        return Err(Usage::refused(what, &help).into());
    };
    safe(&path)?;
    Ok(Program { name: file.to_owned(), path })
}

/// What the file of a program holds.
///
/// # Errors
///
/// A file that cannot be read.
pub fn content(program: &Program) -> Result<Vec<u8>, Failure> {
    let path = program.path.display();
    let unreadable = |error| Usage::refused(format!("cannot read {path}: {error}"), &[]);
    Ok(fs::read(&program.path).map_err(unreadable)?)
}

/// The program of the command `name`.
///
/// # Errors
///
/// A word that is no command, with the ones that look like it; as root, a program that somebody
/// else could have put there.
pub fn find(name: &str) -> Result<Program, Failure> {
    let file = format!("{PREFIX}{name}");
    let found = first(directories(), &file).filter(|_| is_name(name));
    let Some(path) = found else { return Err(unknown(name)) };
    safe(&path)?;
    Ok(Program { name: name.to_owned(), path })
}

/// Whether a program of the system, by its whole path, ends well; what it prints is not shown.
#[must_use]
pub fn succeeds(path: &str, words: &[&str]) -> bool {
    let mut command = Command::new(path);
    command
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Shows the manual page of `program`: through `man` on a terminal that has it, else as the text
/// that the program prints when it is asked for help.
///
/// # Errors
///
/// When the program cannot be started; on success of the plain text this does not return.
pub fn explain(program: &Program) -> Result<(), Failure> {
    if std::io::stdout().is_terminal()
        && let Some(man) = first(on_path(), "man").filter(|man| safe(man).is_ok())
        && let Some(page) = manual_page(program)
        && show(&man, &page)
    {
        return Ok(());
    }
    Err(exec(program, &harmless(), &["--help".into()]))
}

/// The manual page of a program that can print it; `None` of one that cannot.
#[must_use]
pub fn manual_page(program: &Program) -> Option<Vec<u8>> {
    if !answers(program) {
        return None;
    }
    let mut command = Command::new(&program.path);
    environment::renew(&mut command);
    command.arg("--help").env(Asked::VARIABLE, Asked::MAN).stdin(Stdio::null());
    let page = command.stderr(Stdio::null()).output().ok()?.stdout;
    manual::is_page(&page).then_some(page)
}

/// Whether `man` showed `page`.
fn show(man: &Path, page: &[u8]) -> bool {
    let mut command = Command::new(man);
    environment::renew(&mut command);
    let Ok(mut man) = command.args(["-l", "-"]).stdin(Stdio::piped()).spawn() else {
        return false;
    };
    // A pager that was left early is no failure; one that never began is told by its status.
    let _ = man.stdin.take().map(|mut input| input.write_all(page));
    man.wait().is_ok_and(|status| status.success())
}

/// Options under which a plugin that takes `--help` for something else does no harm.
fn harmless() -> Global {
    Global { dry_run: true, ..Global::default() }
}

/// Whether `program` answers what [`Asked`] asks: then the variable's name stands in its file. One
/// that knows nothing of it must not be started to find out, it would do its work.
pub(crate) fn answers(program: &Program) -> bool {
    let name = Asked::VARIABLE.as_bytes();
    fs::read(&program.path).is_ok_and(|file| memchr::memmem::find(&file, name).is_some())
}

/// Becomes `program`; returns only when that cannot be done.
pub fn exec(program: &Program, global: &Global, words: &[OsString]) -> Failure {
    let mut command = Command::new(&program.path);
    environment::renew(&mut command);
    command.args(words).env("DEPLOY_VFIO", dispatcher().path).envs(global.environment());
    let error = command.exec();
    Usage::refused(format!("cannot start {}: {error}", program.path.display()), &[]).into()
}

/// The dispatcher that this program belongs to: the one beside it.
#[must_use]
pub fn dispatcher() -> Program {
    let me = env::current_exe().unwrap_or_else(|_| "deploy-vfio".into());
    Program { name: DISPATCHER.into(), path: me.with_file_name(DISPATCHER) }
}

fn directories() -> Vec<PathBuf> {
    let beside = env::current_exe().ok().and_then(|me| Some(me.parent()?.to_path_buf()));
    beside.into_iter().chain(LIBEXEC.map(PathBuf::from)).chain(on_path()).collect()
}

/// An empty or relative word on PATH is the current directory: never searched.
fn on_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).filter(|dir| dir.is_absolute()).collect()
}

fn first(directories: Vec<PathBuf>, file: impl AsRef<OsStr>) -> Option<PathBuf> {
    let paths = directories.into_iter().map(|dir| dir.join(file.as_ref()));
    paths.into_iter().find(|path| is_executable(path))
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(plain)
}

fn unknown(name: &str) -> Failure {
    let shown: String = name.escape_debug().take(60).collect();
    let commands = all();
    let score = |other: &str| strsim::damerau_levenshtein(name, other);
    let near = commands.iter().map(|p| p.name.as_str()).min_by_key(|other| score(other));
    let near = near.filter(|other| score(other) <= 1 + name.len() / 3);
    let mut help: Vec<String> = Vec::new();
    help.extend(near.map(|near| format!("a command with a similar name is `{near}`")));
    help.push("`deploy-vfio list` names all commands".into());
    help.push(format!("no `{PREFIX}{shown}` beside this program or on PATH"));
    let help: Vec<&str> = help.iter().map(String::as_str).collect();
    Usage::new(format!("no command `{shown}`"), &help).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory() {
        for bad in ["", "../x", "a/b", "A", "-x", "a b", ".x", "ünï", &"a".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("zram-swap") && is_name("x2"));
    }
}

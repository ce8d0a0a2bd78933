//! What root's programs get of the environment: what is known to be harmless, and nothing else.
//!
//! Whoever has root may set what he likes, but `sudo -E`, doas and pkexec carry another user's
//! variables along, of which some make a program load or run something (`LD_PRELOAD`, `BASH_ENV`,
//! `PERL5OPT`, …). So the environment is made anew instead of being cleaned.
#![expect(clippy::disallowed_methods, reason = "this crate reads the environment")]

use std::{env, ffi::OsString, path::Path, process::Command};

use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

use crate::trust::trusted;

/// Where programs are found when nothing on PATH is to be trusted.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The terminal, the language, and who asked.
const KEPT: [&str; 17] = [
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "LINES",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "SUDO_USER",
    "SUDO_UID",
    "SUDO_GID",
    "DOAS_USER",
    "PKEXEC_UID",
    "USER",
];
/// What shows pages, and the programs for that: by their names alone, which PATH leads to.
const PAGER: [&str; 2] = ["PAGER", "MANPAGER"];
const PAGERS: [&str; 5] = ["cat", "less", "more", "most", "pager"];
/// Our own variables begin with this.
const OURS: &str = "DEPLOY_VFIO";
/// The longest value that counts, in bytes.
const LONGEST: usize = 4096;

/// As root, gives `command` an environment made anew; another user's stays.
pub(crate) fn renew(command: &mut Command) {
    if geteuid().is_root() {
        command.env_clear().envs(harmless()).env("PATH", path()).env("HOME", home());
    }
}

/// As root, leaves no copy of the memory on the disk, in which there may be secrets.
pub(crate) fn no_core_file() {
    if geteuid().is_root() {
        // Where that is not allowed, there is nothing to be done about it.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}

fn harmless() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, value)| {
        let name = name.to_string_lossy();
        if PAGER.contains(&&*name) {
            return PAGERS.iter().any(|pager| *value == **pager);
        }
        // A path in a language's name makes programs read catalogues from there.
        let plain = name.starts_with(OURS) || !value.to_string_lossy().contains('/');
        value.len() <= LONGEST && plain && (name.starts_with(OURS) || KEPT.contains(&&*name))
    })
}

/// Where root's own settings are: never in a directory of another user's.
fn home() -> OsString {
    let safe = |home: &OsString| Path::new(home).is_absolute() && trusted(Path::new(home)).is_ok();
    env::var_os("HOME").filter(safe).unwrap_or_else(|| "/root".into())
}

/// The directories on PATH that root may run programs from.
fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let safe = |dir: &std::path::PathBuf| dir.is_absolute() && trusted(Path::new(dir)).is_ok();
    let dirs: Vec<_> = env::split_paths(&path).filter(safe).collect();
    match env::join_paths(&dirs) {
        Ok(path) if !dirs.is_empty() => path,
        _ => PATH.into(),
    }
}

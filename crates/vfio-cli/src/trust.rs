//! Which programs root may run: those that nobody but root could have put there or could change.
#![expect(clippy::disallowed_methods, reason = "programs are files of this system, not of a root")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{Failure, Usage};

/// Whether `path` is a file that somebody may run.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// As root, refuses a program that is not [`trusted`].
pub(crate) fn safe(path: &Path) -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() { trusted(path) } else { Ok(()) }
}

/// Refuses a program, or a directory of programs, that anybody but root could have put there or
/// could change.
///
/// # Errors
///
/// Who else could.
pub fn trusted(path: &Path) -> Result<(), Failure> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    for part in real.ancestors().chain(path.ancestors()) {
        let Ok(meta) = fs::metadata(part) else { continue };
        let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        let why = if meta.uid() != 0 {
            format!("{} belongs to user {}", part.display(), meta.uid())
        } else if meta.mode() & 0o022 != 0 && !(sticky && part != real) {
            format!("others may write to {}", part.display())
        } else {
            continue;
        };
        let what = format!("{} is not run as root: {why}", path.display());
        let help = elsewhere(path);
        let help: Vec<&str> = help.iter().map(String::as_str).collect();
        return Err(Usage::refused(what, &help).into());
    }
    Ok(())
}

/// How a program gets to where root runs it.
fn elsewhere(path: &Path) -> Vec<String> {
    let mut help = vec!["install it into a directory that only root may write to".to_owned()];
    let install = path.with_file_name("deploy-vfio-install");
    if is_executable(&install) {
        help.push(format!("`sudo {}` does, with all beside it", install.display()));
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_write_to_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deploy-vfio-x");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(trusted(&file).is_err());
        assert_eq!(elsewhere(&file).len(), 1);
        let install = dir.path().join("deploy-vfio-install");
        fs::copy(&file, &install).unwrap();
        let help = format!("`sudo {}` does, with all beside it", install.display());
        assert_eq!(elsewhere(&file)[1], help);
    }
}

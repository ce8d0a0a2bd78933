//! Runs a deploy-vfio program on a laid-out machine, away from the machine that tests run on.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How a program ended and what it printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit status; 128 and the signal's number when one ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The programs under test: `deploy-vfio` and, beside it, `deploy-vfio-NAME`.
#[derive(Clone, Debug)]
pub struct Programs {
    deploy_vfio: PathBuf,
}

impl Programs {
    /// `deploy_vfio` is the dispatcher's path.
    #[must_use]
    pub fn new(deploy_vfio: &Path) -> Self {
        Self { deploy_vfio: deploy_vfio.to_owned() }
    }

    /// Runs the dispatcher on the tree `root`.
    pub fn run(&self, root: &Path, words: &[&str]) -> io::Result<Outcome> {
        self.run_program("deploy-vfio", root, words)
    }

    /// Runs one of the programs on the tree `root`.
    pub fn run_program(&self, name: &str, root: &Path, words: &[&str]) -> io::Result<Outcome> {
        let mut command = Command::new(self.deploy_vfio.with_file_name(name));
        command.arg("--root").arg(root).args(words);
        outcome(&mut command, root)
    }
}

/// Prints the boot menu that the tree's own `grub-mkconfig` makes of it.
pub fn boot_menu(root: &Path) -> io::Result<Outcome> {
    outcome(Command::new("sh").arg(root.join("usr/sbin/grub-mkconfig")), root)
}

/// Nothing of the environment or the terminal of the test reaches the program.
fn outcome(command: &mut Command, root: &Path) -> io::Result<Outcome> {
    command.env_clear().stdin(Stdio::null()).current_dir(root);
    // Where a coverage run collects what the programs did.
    const PROFILE: &str = "LLVM_PROFILE_FILE";
    command.envs(std::env::var_os(PROFILE).map(|file| (PROFILE, file)));
    let fixed = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")];
    let output = command.envs(fixed).env("HOME", "/nonexistent").env("NO_COLOR", "1").output()?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
    Ok(Outcome {
        code: output.status.code().unwrap_or(128 + signal),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

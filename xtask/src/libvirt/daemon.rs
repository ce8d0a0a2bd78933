//! A system's own libvirtd, and what it answers.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, bail, ensure};

use crate::vm::host;

/// Runs commands beside a daemon; it says how itself.
const SCRIPT: &str = include_str!("assets/beside-daemon");
/// Its exit code when the daemon did not answer.
const SILENT: i32 = 99;

/// The daemons that can read `qemu.conf`; the first that a system has is its own.
const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];

/// Every guest is of this name.
pub const GUEST: &str = "guest";

/// How a daemon took its configuration.
#[derive(Debug)]
pub struct Told {
    /// What the commands printed; `None` when the daemon did not answer at all.
    pub answer: Option<String>,
    /// The daemon's log.
    pub log: String,
}

impl Told {
    /// The log's lines about what is wrong in a configuration.
    pub fn complaints(&self) -> Vec<&str> {
        let about = |line: &&str| line.contains(" error : ") && line.contains("qemu.conf");
        self.log.lines().filter(about).collect()
    }
}

/// Starts the daemon of the system below `root` with the files as they are, and runs `commands`
/// beside it, which must succeed. Nothing below `root` changes.
pub fn ask(root: &Path, commands: &str) -> Result<Told> {
    let output = run(root, commands)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (answer, log) = (text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(Told { answer: Some(answer), log }),
        Some(SILENT) => Ok(Told { answer: None, log }),
        _ => bail!("beside the daemon, {}: {commands}\n{answer}{log}", output.status),
    }
}

/// The daemon must answer, and find nothing wrong in its configuration.
pub fn answers(root: &Path, commands: &str) -> Result<String> {
    let told = ask(root, commands)?;
    ensure!(told.complaints().is_empty(), "the daemon complains:\n{}", told.log);
    told.answer.with_context(|| format!("the daemon does not answer:\n{}", told.log))
}

fn run(root: &Path, commands: &str) -> Result<Output> {
    let has = |name: &&&str| root.join("usr/sbin").join(name).exists();
    let daemon = DAEMONS.iter().find(has).context("there is no libvirt daemon")?;
    let mut command = host::command("timeout");
    command.args(["--kill-after=10", "300", "unshare", "--mount", "--pid", "--net", "--ipc"]);
    command.args(["--uts", "--fork", "--kill-child", "sh", "-c", SCRIPT, "beside-daemon"]);
    command.arg(root).args([daemon, commands]);
    // Nothing of this host's environment: libvirt and its programs read some of it.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.output().context("cannot start unshare")
}

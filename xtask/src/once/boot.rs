//! One boot: a machine in QEMU that is switched on, watched on its console, and has its power cut.
//!
//! Invariants: a boot comes to an end that is known, or it is an error; every wait has a limit; the
//! machine is gone when its boot is over, and dies with this program: `setpriv --pdeathsig`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use super::cell::Entry;
use crate::vm::host;
use crate::vm::qemu::Crash;

/// Ten seconds are usual, and ten more where GRUB waits for a key.
const LIMIT: Duration = Duration::from_secs(300);
/// How long an end must last to be one.
const STAYS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// How a boot ends: all of them wait for somebody to cut the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Up,
    Hangs,
    Panics,
    /// The initramfs does not find the root.
    NoRoot,
    /// GRUB did not find the initramfs, and the kernel no root without it.
    NoInitrd,
}

/// What is seen of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Whether GRUB prints an error while it reads its menu.
    pub complains: bool,
    pub takes: Entry,
    pub end: End,
}

impl Boot {
    /// Switches a machine on with these disks, and cuts its power when it has come to an end.
    pub fn run(disk: &Path, root: &Path, console: &Path) -> Result<Self> {
        let mut machine = Machine::start(disk, root, console)?;
        let limit = Instant::now() + LIMIT;
        loop {
            machine.alive()?;
            if let Some(boot) = Self::seen(console)? {
                thread::sleep(STAYS);
                machine.alive()?;
                let later = Self::seen(console)?;
                ensure!(later == Some(boot), "it was {boot:?}, and then {later:?}");
                return Ok(boot);
            }
            ensure!(Instant::now() < limit, "it comes to no end in {} s", LIMIT.as_secs());
            thread::sleep(PAUSE);
        }
    }

    fn seen(console: &Path) -> Result<Option<Self>> {
        let text = fs::read(console).with_context(|| console.display().to_string())?;
        Self::read(&String::from_utf8_lossy(&text))
    }

    /// What a console tells, when that is all of it.
    fn read(console: &str) -> Result<Option<Self>> {
        let whole = console.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let Some((end, up)) = end(whole)? else { return Ok(None) };
        let takes: Vec<&str> = said(whole, "takes").collect();
        let [id] = takes[..] else { bail!("GRUB takes {takes:?}") };
        let entry = Entry::ALL.into_iter().find(|entry| entry.id() == id);
        let takes = entry.with_context(|| format!("GRUB takes `{id}`"))?;
        ensure!(up.is_none_or(|up| up == id), "GRUB takes `{id}`, and {up:?} is up");
        let menu = whole.split("once: takes ").next().unwrap_or_default();
        Ok(Some(Self { complains: menu.contains("error: "), takes, end }))
    }
}

/// What the console says of the end, and of the entry that is up.
fn end(console: &str) -> Result<Option<(End, Option<&str>)>> {
    const PANIC: &str = "Kernel panic - not syncing: ";
    // The last line of a panic: for an entry on trial, and for others.
    const LAST: [&str; 2] = ["Rebooting in 30 seconds..", "---[ end Kernel panic"];
    if let Some(up) = said(console, "up").next() {
        return Ok(Some((End::Up, Some(up))));
    }
    let end = if console.contains("once: hangs") {
        End::Hangs
    } else if console.contains("once: no root") {
        End::NoRoot
    } else if let Some((_, why)) =
        console.split_once(PANIC).filter(|(_, why)| LAST.iter().any(|last| why.contains(last)))
    {
        let no_initrd = console.contains("-gone' not found.");
        match () {
            () if why.starts_with("Attempted to kill init!") => End::Panics,
            () if why.starts_with("VFS: Unable to mount root fs") && no_initrd => End::NoInitrd,
            () => bail!("the kernel panics: {}", why.lines().next().unwrap_or_default()),
        }
    } else {
        return Ok(None);
    };
    Ok(Some((end, None)))
}

/// The word that follows each mark of this kind.
fn said<'a>(console: &'a str, mark: &str) -> impl Iterator<Item = &'a str> {
    let mark = format!("once: {mark} ");
    let word = move |line: &'a str| line.split_once(&mark)?.1.split_whitespace().next();
    console.lines().filter_map(word)
}

/// The last lines of a console, without what only a terminal understands.
pub fn tail(console: &Path) -> String {
    const LINES: usize = 25;
    let text = fs::read(console).unwrap_or_default();
    let text = ["\x1b[H", "\x1b[J", "\x1b[1;1H", "\r"]
        .iter()
        .fold(String::from_utf8_lossy(&text).into_owned(), |text, what| text.replace(what, ""));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A machine that is switched on.
#[derive(Debug)]
struct Machine(Child);

impl Machine {
    fn start(disk: &Path, root: &Path, console: &Path) -> Result<Self> {
        fs::write(console, "")?;
        let mut command = host::command("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-reboot"]);
        command.args(["-machine", "pc", "-cpu", "qemu64", "-m", "256", "-display", "none"]);
        command.args(["-accel", "tcg,thread=multi,tb-size=256"]);
        command.arg("-serial").arg(format!("file:{}", console.display()));
        drive(&mut command, disk, "boot", "virtio-blk-pci,bootindex=0", "off");
        drive(&mut command, root, "root", "nvme,serial=root", "on");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().context("cannot start QEMU")?))
    }

    /// An error when QEMU has ended, which it does when the machine would start anew.
    fn alive(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) if status.signal().is_some() => Err(Error::from(Crash::Died(status))),
            Some(status) => Err(anyhow!("the machine starts anew, or QEMU ended ({status})")),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn drive(command: &mut Command, file: &Path, id: &str, device: &str, readonly: &str) {
    let file = file.display();
    let drive = format!("if=none,id={id},format=raw,readonly={readonly},file={file}");
    command.arg("-drive").arg(drive).arg("-device").arg(format!("{device},drive={id}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: &str = "\x1b[H  Booting `Trial'\r\n\r\nonce: takes deploy-vfio-trial\r\n";

    fn read(rest: &str) -> Result<Option<Boot>> {
        Boot::read(&format!("{TAKES}{rest}"))
    }

    #[test]
    fn a_console_tells_what_was_taken_and_what_became_of_it() {
        const PANIC: &str = "[ 1.0] Kernel panic - not syncing: ";
        const RESTARTS: &str = "[ 2.0] Rebooting in 30 seconds..\r\n";
        for (rest, end) in [
            ("once: up deploy-vfio-trial\r\n", End::Up),
            ("once: hangs\r\n", End::Hangs),
            ("once: no root\r\n", End::NoRoot),
            (&format!("{PANIC}Attempted to kill init! exitcode=1\r\n{RESTARTS}"), End::Panics),
            (
                &format!(
                    "error: file `/initrd.img-6-gone' not found.\n{PANIC}VFS: Unable to mount root \
                     fs on unknown-block(0,0)\n{RESTARTS}"
                ),
                End::NoInitrd,
            ),
        ] {
            let boot = read(rest).unwrap();
            assert_eq!(boot, Some(Boot { complains: false, takes: Entry::Trial, end }), "{rest}");
        }
    }

    #[test]
    fn half_a_console_tells_nothing_and_a_strange_one_is_an_error() {
        for rest in ["", "once: up deploy-vfio-tr", "[ 1.0] Kernel panic - not syncing: x\n"] {
            assert_eq!(read(rest).unwrap(), None, "{rest}");
        }
        for rest in [
            "once: up deploy-vfio-old\n",
            "once: takes deploy-vfio-old\nonce: up deploy-vfio-old\n",
            "Kernel panic - not syncing: VFS: Unable to mount root fs\nRebooting in 30 seconds..\n",
        ] {
            assert!(read(rest).is_err(), "{rest}");
        }
        assert!(Boot::read("once: up deploy-vfio-old\n").is_err());
        let rest = "error: x.\nonce: takes gnulinux-simple\nerror: y.\nonce: hangs\n";
        let boot = Boot { complains: true, takes: Entry::Normal, end: End::Hangs };
        assert_eq!(Boot::read(rest).unwrap(), Some(boot));
        assert!(Boot::read("once: takes x\nonce: up x\n").is_err());
    }
}

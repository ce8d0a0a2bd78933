//! One running QEMU: its process, its socket, and the promise that it ends with us.
//!
//! The first serial port is the console and goes to a file (or to the terminal), the second carries the
//! agent's line. The process dies with this one, even when that is killed: `setpriv --pdeathsig`.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};

use super::disk::Disk;
use super::host;
use super::line::Line;
use super::topology::Machine;

/// Where the console goes.
#[derive(Debug, Clone)]
pub enum Console {
    /// To a file, appended.
    File(PathBuf),
    /// To this terminal, which also is its keyboard; Ctrl-A X ends the machine.
    Terminal,
}

/// A kernel started without the boot loader: kernel, initrd, command line.
#[derive(Debug)]
pub struct Direct<'a> {
    /// The kernel image.
    pub kernel: &'a Path,
    /// The initial RAM disk.
    pub initrd: &'a Path,
    /// The kernel's command line.
    pub cmdline: &'a str,
}

/// The emulator itself failed: that says nothing about the programs under test.
#[derive(Debug, thiserror::Error)]
pub enum Crash {
    /// QEMU died of a signal.
    #[error("QEMU crashed ({0})")]
    Died(ExitStatus),
    /// All CPUs of a machine that nothing of ours is on stood still.
    #[error("the machine stood still before anything was done on it")]
    StoodStill,
}

/// The guest's kernel says that a CPU does not come out of one task.
#[derive(Debug, thiserror::Error)]
#[error("the guest's kernel hangs: {0}")]
pub struct Lockup(String);

impl Lockup {
    /// The last report of a CPU that was stuck for longer than load explains.
    fn find(console: &str) -> Option<Self> {
        let stuck = |line: &&str| {
            let (_, rest) = line.split_once("soft lockup - CPU#")?;
            let (_, seconds) = rest.split_once("stuck for ")?;
            seconds.split_once('s')?.0.parse::<u32>().ok()
        };
        let line = console.lines().rfind(|line| stuck(line) > Some(100))?;
        Some(Self(line.trim().to_owned()))
    }

    /// What such an error says of a machine that was just made.
    pub fn on_a_new_machine(error: Error) -> Error {
        if error.downcast_ref::<Self>().is_some() {
            error.context(Crash::StoodStill)
        } else {
            error
        }
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    console: Console,
    sockets: PathBuf,
    /// How much of the console is no reason to give up any more.
    forgiven: u64,
}

impl Qemu {
    /// Starts a machine and returns it with the line to its agent, who may not be listening yet.
    pub fn start(
        machine: &Machine,
        disk: &Disk,
        console: Console,
        direct: Option<&Direct<'_>>,
    ) -> Result<(Self, Line)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let sockets = std::env::temp_dir().join(format!("dv-vm-{}-{count}", std::process::id()));
        fs::create_dir(&sockets).with_context(|| sockets.display().to_string())?;
        let line = listen(&sockets.join("line"))?;

        let mut command = command(machine, disk, &console, direct, &sockets);
        let mut child = command.spawn().context("cannot start QEMU")?;
        let line = match accept(&line, &mut child) {
            Ok(line) => line,
            Err(error) => {
                end(&mut child);
                let _ = fs::remove_dir_all(&sockets);
                return Err(error);
            }
        };
        let qemu = Self { child, console, sockets, forgiven: 0 };
        Ok((qemu, Line::new(line)?))
    }

    /// An error when the machine cannot come back: QEMU has ended, or the guest's kernel panicked.
    pub fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(ended(status));
        }
        if let Console::File(path) = &self.console {
            let text = fs::read(path).unwrap_or_default();
            let old = usize::try_from(self.forgiven).unwrap_or(usize::MAX).min(text.len());
            let text = String::from_utf8_lossy(&text[old.max(text.len().saturating_sub(4096))..]);
            if let Some(at) = text.find("Kernel panic") {
                bail!("the guest's kernel panicked: {}", text[at..].lines().next().unwrap_or(""));
            }
            if let Some(lockup) = Lockup::find(&text) {
                return Err(lockup.into());
            }
        }
        Ok(())
    }

    /// A panic that the console has shown so far is none to give up for.
    pub fn forgive(&mut self) {
        if let Console::File(path) = &self.console {
            self.forgiven = fs::metadata(path).map_or(0, |about| about.len());
        }
    }

    /// Waits for the machine to switch itself off.
    pub fn wait_off(&mut self, limit: Duration) -> Result<()> {
        match self.end_within(limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(ended(status)),
            None => bail!("the machine is still on after {} s", limit.as_secs()),
        }
    }

    /// Why the line broke: [`Crash`] where QEMU died of it, else the given error.
    pub fn blame(&mut self, error: Error) -> Error {
        match self.end_within(Duration::from_secs(5)) {
            Ok(Some(status)) if status.signal().is_some() => error.context(Crash::Died(status)),
            _ => error,
        }
    }

    fn end_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        end(&mut self.child);
        let _ = fs::remove_dir_all(&self.sockets);
    }
}

fn ended(status: ExitStatus) -> Error {
    match status.signal() {
        Some(_) => Crash::Died(status).into(),
        None => anyhow!("QEMU ended ({status})"),
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn command(
    machine: &Machine,
    disk: &Disk,
    console: &Console,
    direct: Option<&Direct<'_>>,
    sockets: &Path,
) -> Command {
    let mut command = host::command("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults"]);
    command.args(["-accel", "tcg,thread=multi,tb-size=512", "-display", "none"]);
    command.args(machine.arguments(&disk.path().display().to_string()));
    let console = match console {
        Console::File(path) => {
            command.stdin(Stdio::null());
            format!("file,path={},append=on", path.display())
        }
        Console::Terminal => "stdio,mux=on,signal=off".to_owned(),
    };
    let sockets = sockets.display();
    for (name, chardev) in [("console", console), ("line", format!("socket,path={sockets}/line"))] {
        let (backend, rest) = chardev.split_once(',').unwrap_or((&chardev, ""));
        command.arg("-chardev").arg(format!("{backend},id={name},{rest}"));
    }
    command.args(["-serial", "chardev:console", "-serial", "chardev:line"]);
    if let Some(direct) = direct {
        command.arg("-kernel").arg(direct.kernel).arg("-initrd").arg(direct.initrd);
        command.arg("-append").arg(direct.cmdline);
    }
    command
}

fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &UnixListener, child: &mut Child) -> Result<UnixStream> {
    for _ in 0..600 {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        if let Some(status) = child.try_wait()? {
            return Err(ended(status).context("QEMU did not get to its socket"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("QEMU did not open its socket");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(script: &str) -> Qemu {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        Qemu {
            child,
            console: Console::Terminal,
            sockets: PathBuf::from("/nonexistent"),
            forgiven: 0,
        }
    }

    #[test]
    fn a_machine_that_stands_still_by_itself_is_the_emulators_fault() {
        let console = |seconds: u32| {
            format!(
                "x\n[ 1.0] watchdog: BUG: soft lockup - CPU#3 stuck for {seconds}s! [udevd:2]\n"
            )
        };
        assert!(Lockup::find(&console(48)).is_none());
        let error = Error::from(Lockup::find(&console(130)).unwrap()).context("it is not up");
        let new = Lockup::on_a_new_machine(error);
        assert!(new.downcast_ref::<Crash>().is_some(), "{new:#}");
        let other = Lockup::on_a_new_machine(anyhow!("it is not up"));
        assert!(other.downcast_ref::<Crash>().is_none());
    }

    #[test]
    fn only_a_death_by_signal_is_a_crash() {
        let gone = || anyhow!("the machine is gone");
        let crash = machine("kill -SEGV $$").blame(gone());
        assert!(crash.downcast_ref::<Crash>().is_some(), "{crash:#}");
        assert!(format!("{crash:#}").ends_with(": the machine is gone"), "{crash:#}");
        assert!(machine("exit 1").blame(gone()).downcast_ref::<Crash>().is_none());
        assert!(machine("exit 0").wait_off(Duration::from_secs(60)).is_ok());
        assert!(machine("exit 1").wait_off(Duration::from_secs(60)).is_err());
    }
}

//! Runs a program and all it starts under ptrace, stopping before every call that changes a tree.
//!
//! One counter serves all processes, so "the 17th change" means the same in every run. A decision
//! at each stop: go on, let the call fail, or end everything at once as a power cut would. The
//! call at which a program dies is never carried out; dying *after* call N is dying before N+1.
//!
//! Written for x86-64; needs no privilege.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::Call;

/// A program that needs longer hangs, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// `PTRACE_SYSCALL_INFO_ENTRY`.
const ENTRY: u8 = 1;

/// What happens at a stop.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Go,
    /// The call fails with this error and changes nothing.
    Fail(Errno),
    /// Every traced process dies before the call.
    Kill,
    /// So many percent of what the call writes are written, then every traced process dies.
    Tear(u64),
    /// The first process dies; those it started go on to their end.
    Orphan,
    /// The first process is sent a signal.
    Signal(Signal),
}

/// Decides at every stop.
pub trait Watch {
    /// Before the change `number`, counted from 1.
    fn enter(&mut self, number: usize, call: &Call) -> Action;

    /// After a change that was carried out.
    fn leave(&mut self, _call: &Call, _result: i64) {}
}

impl<F: FnMut(usize, &Call) -> Action> Watch for F {
    fn enter(&mut self, number: usize, call: &Call) -> Action {
        self(number, call)
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(Signal),
    /// As the watch wanted.
    Killed,
    /// Killed because it took too long.
    Hung,
}

/// A program's end, and how many changes it began.
#[derive(Clone, Debug)]
pub struct Ran {
    pub exit: Exit,
    pub calls: usize,
    pub output: String,
}

/// Runs `command`, counting changes below `root`; both output streams go through `log`.
pub fn trace(command: &Command, root: &Path, log: &Path, watch: &mut dyn Watch) -> Result<Ran> {
    let first = start(command, log)?;
    let (done, over) = channel::<()>();
    let guard = thread::spawn(move || {
        let late = over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = kill(first, Signal::SIGKILL);
        }
        late
    });
    let mut tracer =
        Tracer { first, root, watch, calls: 0, open: HashMap::new(), end: None, orphans: false };
    let result = tracer.run();
    drop(done);
    let late = guard.join().unwrap_or(false);
    result?;
    let exit = match tracer.end {
        _ if late => Exit::Hung,
        Some(exit) => exit,
        None => bail!("the traced program vanished"),
    };
    let output = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    Ok(Ran { exit, calls: tracer.calls, output })
}

/// Starts a shell that waits to be traced and then becomes the program.
fn start(command: &Command, log: &Path) -> Result<Pid> {
    let file = File::create(log).with_context(|| log.display().to_string())?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.process_group(0).current_dir("/");
    shell.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let child = shell.spawn().context("cannot start /bin/sh")?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    match waitpid(pid, Some(WaitPidFlag::WUNTRACED | WaitPidFlag::__WALL))? {
        WaitStatus::Stopped(..) => {}
        other => bail!("the shell did not stop: {other:?}"),
    }
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(pid, options).context("cannot trace programs here")?;
    kill(pid, Signal::SIGCONT)?;
    Ok(pid)
}

/// What becomes of a call that was begun.
enum Fate {
    Done,
    Failed(Errno),
    /// Everything ends with it.
    Last,
}

struct Tracer<'a> {
    first: Pid,
    root: &'a Path,
    watch: &'a mut dyn Watch,
    calls: usize,
    /// Every live process, with the change it is carrying out and what is to come of it.
    open: HashMap<Pid, Option<(Call, Fate)>>,
    end: Option<Exit>,
    /// Whether the others outlive the first.
    orphans: bool,
}

impl Tracer<'_> {
    fn run(&mut self) -> Result<()> {
        self.open.insert(self.first, None);
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let resumed = match waitpid(None, Some(flags)) {
                Err(Errno::ECHILD) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("waitpid"),
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, Exit::Signal(signal)),
                Ok(WaitStatus::PtraceSyscall(pid)) => self.stop(pid),
                Ok(WaitStatus::Stopped(pid, signal)) => ptrace::syscall(pid, signal),
                Ok(WaitStatus::PtraceEvent(pid, ..)) => {
                    self.open.entry(pid).or_default();
                    ptrace::syscall(pid, None)
                }
                Ok(_) => Ok(()),
            };
            match resumed {
                // ESRCH: it died meanwhile, which the next wait reports.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).context("ptrace"),
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the answers to a wait")]
    fn ended(&mut self, pid: Pid, exit: Exit) -> nix::Result<()> {
        self.open.remove(&pid);
        if pid == self.first {
            self.end.get_or_insert(exit);
            // Whoever is left keeps nothing alive that the next step would meet.
            if !self.orphans {
                self.end_all();
            }
        }
        Ok(())
    }

    fn end_all(&self) {
        for &pid in self.open.keys() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    fn stop(&mut self, pid: Pid) -> nix::Result<()> {
        match ptrace::syscall_info(pid)?.op {
            ENTRY => self.entry(pid)?,
            _ => self.exit(pid)?,
        }
        ptrace::syscall(pid, None)
    }

    fn entry(&mut self, pid: Pid) -> nix::Result<()> {
        let mut regs = ptrace::getregs(pid)?;
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let Some(call) = Call::read(pid, regs.orig_rax, args, self.root) else { return Ok(()) };
        self.calls += 1;
        let fate = match self.watch.enter(self.calls, &call) {
            Action::Go => Fate::Done,
            Action::Fail(errno) => {
                regs.orig_rax = u64::MAX;
                ptrace::setregs(pid, regs)?;
                Fate::Failed(errno)
            }
            Action::Tear(percent) => {
                regs.rdx = regs.rdx * percent / 100;
                ptrace::setregs(pid, regs)?;
                Fate::Last
            }
            Action::Kill => {
                self.end = Some(Exit::Killed);
                self.end_all();
                return Ok(());
            }
            Action::Signal(signal) => {
                let _ = kill(self.first, signal);
                Fate::Done
            }
            Action::Orphan => {
                (self.end, self.orphans) = (Some(Exit::Killed), true);
                let _ = kill(self.first, Signal::SIGKILL);
                Fate::Done
            }
        };
        self.open.insert(pid, Some((call, fate)));
        Ok(())
    }

    fn exit(&mut self, pid: Pid) -> nix::Result<()> {
        let Some((call, fate)) = self.open.get_mut(&pid).and_then(Option::take) else {
            return Ok(());
        };
        let mut regs = ptrace::getregs(pid)?;
        match fate {
            Fate::Done => self.watch.leave(&call, regs.rax.cast_signed()),
            Fate::Failed(errno) => {
                regs.rax = (-i64::from(errno as i32)).cast_unsigned();
                return ptrace::setregs(pid, regs);
            }
            Fate::Last => {
                self.end = Some(Exit::Killed);
                self.end_all();
            }
        }
        Ok(())
    }
}

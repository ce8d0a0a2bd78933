//! Runs the distribution's programs: the only module of this crate that starts one.
//!
//! Invariants: a program is named by its absolute path, gets an environment of four constants,
//! no input, its own process group, and the lock, so that an orphan keeps it; exit status 0 is
//! no proof: the staged result is looked at. For a root that is not the running system the
//! program runs in a chroot whose mounts vanish with it.
#![expect(clippy::disallowed_methods, reason = "this is the module the lint points everyone to")]

use std::{
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FileType, Mode},
    process::Signal,
};

use crate::{
    Error, Result, Root,
    change::{
        Artefact, Interrupt, Job, Rebuild, Rebuilder,
        generators::{self, Call},
    },
    error::At,
};

/// How much of a program's output is kept, and how much of it an error shows.
const KEPT: usize = 1 << 20;
const SHOWN_LINES: usize = 15;
const TIMEOUT: Duration = Duration::from_secs(900);
/// How long a program that was asked to stop may take.
const GRACE: Duration = Duration::from_secs(10);

/// Enters the tree in a mount namespace of its own.
const ENTER: &str = r#"for dir in dev proc sys run; do
    [ -d "$1/$dir" ] || continue
    mount --rbind "/$dir" "$1/$dir" || exit 125
done
exec chroot "$@""#;

/// Rebuilds with the distribution's programs, in a chroot when the root is not the host.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    definer: Option<String>,
}

impl Programs {
    /// The same with the program of ours that has libvirt accept a guest: it takes the file's name,
    /// and its exit status is 0 when libvirt did.
    #[must_use]
    pub const fn with_definer(definer: Option<String>) -> Self {
        Self { definer }
    }

    /// The initial RAM file systems that are in place on the running system, each with the files
    /// inside where it can be listed; none of another root, where that takes root's rights.
    pub fn images(&self, root: &Root) -> Result<Vec<Artefact>> {
        if !root.is_host() {
            return Ok(Vec::new());
        }
        let interrupt = Interrupt::new();
        let job = Job {
            tag: "",
            progress: &|_| (),
            interrupt: &interrupt,
            lock: None,
            output: &|_| (),
            given: &[],
            looks_inside: true,
        };
        let calls = match generators::calls(root, Rebuild::Initramfs, job.tag) {
            Err(Error::Refused { .. }) => return Ok(Vec::new()),
            calls => calls?,
        };
        let mut images = Vec::new();
        for artefact in calls.into_iter().filter_map(|call| call.writes) {
            let in_place = in_place(&artefact);
            let listing = listing(root, &in_place, &job)?;
            images.push(Artefact { listing, ..in_place });
        }
        Ok(images)
    }
}

impl Rebuilder for Programs {
    fn by_hand(&self, root: &Root, what: Rebuild) -> Vec<String> {
        generators::by_hand(root, what)
    }

    fn outputs(&self, root: &Root, what: Rebuild, tag: &str) -> Result<Vec<Artefact>> {
        let calls = generators::calls(root, what, tag)?;
        Ok(calls.into_iter().filter_map(|call| call.writes).collect())
    }

    fn may_stage(&self, root: &Root, what: Rebuild) -> Result<()> {
        match generators::calls(root, what, "preflight")?.is_empty() {
            true => Ok(()),
            false => entrance(root).map(drop),
        }
    }

    fn stage(&self, root: &Root, what: Rebuild, job: &Job<'_>) -> Result<Vec<Artefact>> {
        let mut artefacts = Vec::new();
        let calls = match (what, job.given) {
            (Rebuild::Guests, [_, ..]) => {
                generators::define(root, self.definer.as_deref(), job.given)?
            }
            _ => generators::calls(root, what, job.tag)?,
        };
        for call in calls {
            (job.progress)(&call.doing);
            run(root, &call, job)?;
            if let Some(artefact) = &call.writes {
                check(root, &call, artefact, job)?;
                let replaces = listing(root, &in_place(artefact), job)?;
                let listing = listing(root, artefact, job)?;
                artefacts.push(Artefact { listing, replaces, ..artefact.clone() });
            }
        }
        Ok(artefacts)
    }
}

/// Looks at what a program wrote; its exit status proves nothing.
fn check(root: &Root, call: &Call, artefact: &Artefact, job: &Job<'_>) -> Result<()> {
    let wrong =
        |status: String| Error::Program { program: shown(call), status, output: Vec::new() };
    if root.exists(&format!("{}.new", artefact.staged))? {
        return Err(wrong("it left its result half made".to_owned()));
    }
    let stat = root.stat(&artefact.staged)?;
    if stat.is_some_and(|stat| !FileType::from_raw_mode(stat.st_mode).is_file()) {
        return Err(wrong("its result is not a regular file".to_owned()));
    }
    match stat.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)) {
        None => return Err(wrong("it reported success and wrote nothing".to_owned())),
        Some(0) => return Err(wrong("it reported success and wrote an empty file".to_owned())),
        Some(size) if size < call.at_least => {
            let status = format!("its result has {size} bytes, less than half of the old one");
            return Err(wrong(status));
        }
        Some(_) => {}
    }
    match generators::check(root, &artefact.staged).filter(|_| artefact.what == Rebuild::BootMenu) {
        Some(checker) => run(root, &checker, job).map(drop),
        None => Ok(()),
    }
}

/// What is where the artefact will be.
fn in_place(artefact: &Artefact) -> Artefact {
    Artefact { staged: artefact.path.clone(), ..artefact.clone() }
}

/// The files inside a staged initial RAM file system; `None` when nothing can list them.
fn listing(root: &Root, artefact: &Artefact, job: &Job<'_>) -> Result<Option<Vec<String>>> {
    let wanted = job.looks_inside && artefact.what == Rebuild::Initramfs;
    if !wanted || !root.exists(&artefact.staged)? {
        return Ok(None);
    }
    let Some(lister) = generators::list(root, &artefact.staged) else { return Ok(None) };
    match run(root, &lister, job) {
        Ok(output) => {
            Ok(Some(String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()))
        }
        Err(Error::Program { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn shown(call: &Call) -> String {
    let words = std::iter::once(&call.program).chain(&call.arguments);
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The program that enters a root which is not the host.
fn entrance(root: &Root) -> Result<Option<String>> {
    if root.is_host() {
        return Ok(None);
    }
    let refused = |because: &str| Error::Refused {
        what: format!("programs cannot be run in {}", root.path().display()),
        because: vec![because.to_owned()],
        help: vec!["`--no-rebuild` changes the files and leaves the rebuild to you".to_owned()],
    };
    if !rustix::process::geteuid().is_root() {
        return Err(refused("only root may enter another system's tree"));
    }
    let host = Root::open("/")?;
    let unshare = generators::program(&host, "unshare");
    unshare.map(Some).ok_or_else(|| refused("there is no `unshare` program"))
}

fn command(root: &Root, call: &Call) -> Result<Command> {
    let mut command = match entrance(root)? {
        None => Command::new(&call.program),
        Some(unshare) => {
            let mut command = Command::new(unshare);
            command.args([
                "--mount",
                "--propagation",
                "private",
                "--",
                "/bin/sh",
                "-c",
                ENTER,
                "sh",
            ]);
            command.arg(std::path::absolute(root.path()).at("find", "")?).arg(&call.program);
            command
        }
    };
    command
        .args(&call.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    Ok(command)
}

/// Runs a program to its end; what it printed.
fn run(root: &Root, call: &Call, job: &Job<'_>) -> Result<Vec<u8>> {
    let path = call.program.trim_start_matches('/');
    let (reader, writer) = io::pipe().at("start", path)?;
    let mut command = command(root, call)?;
    command.stdout(writer.try_clone().at("start", path)?).stderr(writer);
    let mut child = spawn(&mut command, job.lock).at("start", path)?;
    // The write ends are the program's alone now.
    drop(command);
    let tail = Arc::new(Mutex::new(Vec::new()));
    let drain = std::thread::Builder::new().spawn({
        let tail = Arc::clone(&tail);
        move || drain(reader, &tail)
    });
    let ended = match drain {
        Ok(drain) => wait(&mut child, job.interrupt).inspect(|_| {
            // A daemon that it left behind may hold the pipe for ever.
            let end = Instant::now() + Duration::from_secs(1);
            while !drain.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }),
        Err(error) => {
            stop(&mut child);
            Err(error).at("watch", path)
        }
    };
    let output = tail.lock().map(|tail| tail.clone()).unwrap_or_default();
    (job.output)(&[format!("$ {}\n", shown(call)).as_bytes(), &output].concat());
    job.interrupt.check()?;
    let failed = |status| Error::Program { program: shown(call), status, output: last(&output) };
    match ended? {
        None => Err(failed(format!("it did not end within {} s", TIMEOUT.as_secs()))),
        Some(status) if status.success() => Ok(output),
        Some(status) => Err(failed(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
        })),
    }
}

fn spawn(command: &mut Command, lock: Option<&OwnedFd>) -> io::Result<Child> {
    // A duplicate without close-on-exec: the program inherits it, and we close ours.
    let _inherited = lock.map(rustix::io::dup).transpose()?;
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let child = command.spawn();
    rustix::process::umask(umask);
    child
}

/// Keeps the last of what a program prints.
fn drain(mut reader: io::PipeReader, tail: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 8192];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                let Ok(mut tail) = tail.lock() else { return };
                tail.extend_from_slice(&buffer[..n]);
                if tail.len() > 2 * KEPT {
                    let excess = tail.len() - KEPT;
                    tail.drain(..excess);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Waits for the end; `None` when it took too long or we were asked to stop.
fn wait(child: &mut Child, interrupt: &Interrupt) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) => {}
            Err(error) => {
                stop(child);
                return Err(error).at("wait for", "a program");
            }
        }
        if interrupt.raised().is_some() || start.elapsed() > TIMEOUT {
            stop(child);
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends a program and what it started: politely, then not.
fn stop(child: &mut Child) {
    let Ok(id) = i32::try_from(child.id()) else { return };
    let Some(group) = rustix::process::Pid::from_raw(id) else { return };
    let _ = rustix::process::kill_process_group(group, Signal::TERM);
    let end = Instant::now() + GRACE;
    while Instant::now() < end {
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

fn last(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let visible = |line: &str| line.chars().filter(|c| *c == '\t' || !c.is_control()).collect();
    let lines: Vec<String> = text.lines().map(visible).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].to_vec()
}

//! What the hook does to the running machine: the only module of this crate that writes a file or
//! starts a program.
//!
//! A program and a write that may hang have a limit: the kernel waits without end when a driver
//! does not let go of a device, so such a write is a child's, and the hook goes on without it.
#![expect(clippy::disallowed_methods, reason = "this is the module the lint points everyone to")]

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::{
        fs::MetadataExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// What the hook's parts do with the machine; tests have a machine of their own.
pub trait Hands {
    /// Writes an attribute of the kernel's, at once.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn write(&self, path: &str, text: &str) -> Result<(), String>;

    /// The same where the kernel may take long.
    ///
    /// # Errors
    ///
    /// What the kernel says, or that it is not done within `limit`.
    fn write_within(&self, limit: Duration, path: &str, text: &str) -> Result<(), String>;

    /// Reads an attribute of the kernel's, where that may take long.
    ///
    /// # Errors
    ///
    /// What the kernel says, or that it is not done within `limit`.
    fn read_within(&self, limit: Duration, path: &str) -> Result<String, String>;

    /// Runs a program and gives what it prints.
    ///
    /// # Errors
    ///
    /// It is missing, fails, or is not done within `limit`.
    fn run(&self, limit: Duration, line: &[&str], input: &[u8]) -> Result<String, String>;

    /// Puts a file below `/run` in place, whole or not at all.
    ///
    /// # Errors
    ///
    /// What the file system says.
    fn keep(&self, path: &str, text: &str) -> Result<(), String>;

    /// Whether a file is a program that only root can have put there; `false` for one that cannot
    /// be run.
    ///
    /// # Errors
    ///
    /// Who else can change it, or a directory above it.
    fn is_program(&self, path: &str) -> Result<bool, String>;
}

/// The machine that this program runs on.
#[derive(Debug)]
pub struct ThisMachine;

/// How long a program is waited for between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// How long a program that ended may go on printing through what it started.
const LEFT_OVER: Duration = Duration::from_millis(500);
/// How much of what a program prints is read.
const MOST: usize = 64 << 10;

impl Hands for ThisMachine {
    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(absolute(path))
            .map_err(|error| format!("/{path}: {error}"))?;
        file.write_all(text.as_bytes()).map_err(|error| format!("/{path}: {error}"))
    }

    fn write_within(&self, limit: Duration, path: &str, text: &str) -> Result<(), String> {
        let line = ["/bin/sh", "-c", r#"printf '%s\n' "$2" >"$1""#, "sh", &absolute(path), text];
        self.run(limit, &line, b"").map(|_| ())
    }

    fn read_within(&self, limit: Duration, path: &str) -> Result<String, String> {
        self.run(limit, &["/bin/cat", &absolute(path)], b"")
    }

    fn run(&self, limit: Duration, line: &[&str], input: &[u8]) -> Result<String, String> {
        let [program, arguments @ ..] = line else { return Ok(String::new()) };
        let told = |what: String| format!("{program}: {what}");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| told(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            thread::spawn(move || stdin.write_all(&input));
        }
        let printed = [reader(child.stdout.take()), reader(child.stderr.take())];
        let Some(status) = ended(&mut child, limit) else {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            return Err(told(format!("not done within {} s", limit.as_secs())));
        };
        // What it left running may hold its output for ever.
        let end = Instant::now() + LEFT_OVER;
        while printed.iter().any(|(thread, _)| !thread.is_finished()) && Instant::now() < end {
            thread::sleep(LOOK);
        }
        let [stdout, stderr] = printed.map(|(_, text)| {
            let bytes = text.lock().map(|bytes| bytes.clone()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        match status.code() {
            Some(0) => Ok(stdout),
            code => {
                let how = code.map_or_else(
                    || format!("ended by signal {}", status.signal().unwrap_or_default()),
                    |code| format!("exit status {code}"),
                );
                Err(told([&how, stderr.trim()].join(" ").trim_end().to_owned()))
            }
        }
    }

    fn keep(&self, path: &str, text: &str) -> Result<(), String> {
        let path = absolute(path);
        let told = |error: std::io::Error| format!("{path}: {error}");
        if let Some(dir) = Path::new(&path).parent() {
            fs::create_dir_all(dir).map_err(told)?;
        }
        let beside = format!("{path}.new");
        fs::write(&beside, text).map_err(told)?;
        fs::rename(&beside, &path).map_err(told)
    }

    fn is_program(&self, path: &str) -> Result<bool, String> {
        let real = fs::canonicalize(absolute(path)).map_err(|error| error.to_string())?;
        let about = |path: &Path| fs::metadata(path).map_err(|error| error.to_string());
        let file = about(&real)?;
        if !file.is_file() || file.mode() & 0o111 == 0 {
            return Ok(false);
        }
        for part in real.ancestors() {
            let part_is = about(part)?;
            if part_is.uid() != 0 || part_is.mode() & 0o022 != 0 {
                return Err(format!("others than root can change {}", part.display()));
            }
        }
        Ok(true)
    }
}

/// Keeps other calls of the hook out until it is dropped.
///
/// # Errors
///
/// [`Error::Busy`] when another one has not ended within `limit`.
pub fn lock(path: &str, limit: Duration) -> Result<File, Error> {
    let told = |error: std::io::Error| Error::Record(format!("/{path}: {error}"));
    let path = absolute(path);
    if let Some(dir) = Path::new(&path).parent() {
        fs::create_dir_all(dir).map_err(told)?;
    }
    let file = File::create(&path).map_err(told)?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(told(error)),
            Err(TryLockError::WouldBlock) if begin.elapsed() > limit => return Err(Error::Busy),
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
        }
    }
}

/// Everything on standard input, up to a byte more than `most`.
#[must_use]
pub fn standard_input(most: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let _ = std::io::stdin().take(most).read_to_end(&mut text);
    text
}

fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// What somebody prints, as far as it came.
type Printed = (thread::JoinHandle<()>, Arc<Mutex<Vec<u8>>>);

/// Reads to the end, and keeps the beginning.
fn reader<R: Read + Send + 'static>(from: Option<R>) -> Printed {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let thread = thread::spawn(move || {
        let Some(mut from) = from else { return };
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let Ok(mut kept) = keep.lock() else { return };
            let room = MOST.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..n.min(room)]);
        }
    });
    (thread, kept)
}

/// How the child ended, or nothing when it has not within `limit`.
fn ended(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begin.elapsed() < limit => thread::sleep(LOOK),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b66_a_program_has_a_limit_and_its_failure_a_reason() {
        let run = |line: &[&str]| ThisMachine.run(Duration::from_millis(300), line, b"in");
        assert_eq!(run(&["/bin/cat"]).unwrap(), "in");
        let failed = run(&["/bin/sh", "-c", "echo why >&2; exit 3"]).unwrap_err();
        assert_eq!(failed, "/bin/sh: exit status 3 why");
        assert!(run(&["/nonexistent"]).unwrap_err().starts_with("/nonexistent: No such file"));
        let hung = run(&["/bin/sh", "-c", "sleep 60"]).unwrap_err();
        assert!(hung.starts_with("/bin/sh: not done within"), "{hung}");
    }

    #[test]
    fn a_lock_is_waited_for_and_then_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/lock").display().to_string();
        let path = path.trim_start_matches('/');
        let first = lock(path, Duration::ZERO).unwrap();
        assert!(matches!(lock(path, Duration::from_millis(10)), Err(Error::Busy)));
        drop(first);
        lock(path, Duration::ZERO).unwrap();
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let begin = Instant::now();
        let line = ["/bin/sh", "-c", "echo said; sleep 60 & exit 0"];
        let said = ThisMachine.run(Duration::from_secs(30), &line, b"").unwrap();
        assert_eq!(said, "said\n");
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }
}

//! Tests that run the programs.

#[path = "bad_input.rs"]
mod bad_input;
#[path = "cases.rs"]
mod cases;
#[path = "laws.rs"]
mod laws;
#[path = "machines.rs"]
mod machines;
#[path = "trial.rs"]
mod trial;

use std::path::{Path, PathBuf};

use vfio_testkit::Programs;

/// The programs under test.
fn programs() -> Programs {
    Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")))
}

/// The files with this extension in a directory, sorted.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

/// A directory of this project.
fn home(dir: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)
}

/// Does the work for all items, several at a time, and fails with all that went wrong.
fn all<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    if let Err(failure) = work(item) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

//! What happened on a machine, line by line, with the seconds since the scenario began.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};

/// The log of one scenario: `transcript.log` in the scenario's directory. Clones write the same log.
#[derive(Debug, Clone)]
pub struct Transcript {
    file: Arc<File>,
    directory: PathBuf,
    name: String,
    start: Instant,
    echo: bool,
}

impl Transcript {
    /// Starts an empty log in `directory`; with `echo` every line is shown too.
    pub fn create(directory: &Path, name: &str, echo: bool) -> Result<Self> {
        let path = directory.join("transcript.log");
        let file = Arc::new(File::create(&path).with_context(|| path.display().to_string())?);
        let directory = directory.to_owned();
        Ok(Self { file, directory, name: name.to_owned(), start: Instant::now(), echo })
    }

    /// Adds text; every line of it gets the time.
    pub fn add(&mut self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f32();
        for line in text.lines() {
            // A log that cannot be written must not fail the scenario.
            let _ = writeln!(&*self.file, "{seconds:8.1} {line}");
            if self.echo {
                eprintln!("{} {seconds:8.1} {line}", self.name);
            }
        }
    }

    /// Saves a file of its own beside the log.
    pub fn save(&mut self, name: &str, content: &str) {
        match fs::write(self.directory.join(name), content) {
            Ok(()) => self.add(&format!("# saved {name}")),
            Err(error) => self.add(&format!("# cannot save {name}: {error}")),
        }
    }

    /// The directory of the log and of what was saved.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

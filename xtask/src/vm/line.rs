//! The line to the agent inside the guest: scripts go in, exit codes and output come back.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code.
    pub code: i32,
    /// Standard output and standard error as they came.
    pub text: String,
}

/// The rig's end of the line.
#[derive(Debug)]
pub struct Line {
    stream: UnixStream,
    pending: Vec<u8>,
    count: u32,
}

impl Line {
    /// Speaks over a connected socket.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Self { stream, pending: Vec::new(), count: 0 })
    }

    /// Waits until the agent reports for duty and returns the boot's id; `alive` is asked now and then.
    pub fn ready(&mut self, limit: Duration, alive: impl FnMut() -> Result<()>) -> Result<String> {
        self.pending.clear();
        let before = self.until("\n@ready ", limit, alive);
        before.context("the machine did not come up")?;
        let boot = self.until("\n", Duration::from_secs(30), || Ok(()))?;
        Ok(boot.trim().to_owned())
    }

    /// Runs a script in the guest.
    pub fn run(
        &mut self,
        script: &str,
        limit: Duration,
        alive: impl FnMut() -> Result<()>,
    ) -> Result<Output> {
        self.count += 1;
        let id = self.count;
        self.stream.write_all(format!("{script}\n@run {id}\n").as_bytes())?;
        self.until(&format!("\n@begin {id}\n"), limit, alive)?;
        let text = self.until(&format!("\n@end {id} "), Duration::from_secs(300), || Ok(()))?;
        let code = self.until("\n", Duration::from_secs(30), || Ok(()))?;
        let code = code.trim().parse().with_context(|| format!("no exit code: {code:?}"))?;
        Ok(Output { code, text })
    }

    /// Everything up to a mark; what follows the mark stays for the next call.
    fn until(
        &mut self,
        mark: &str,
        limit: Duration,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<String> {
        let end = Instant::now() + limit;
        let mut seen = 0;
        loop {
            if let Some(at) = find(&self.pending[seen..], mark.as_bytes()) {
                let at = seen + at;
                let text = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                self.pending.drain(..at + mark.len());
                return Ok(text);
            }
            seen = self.pending.len().saturating_sub(mark.len());
            if Instant::now() > end {
                bail!("nothing for {} s while waiting for {mark:?}", limit.as_secs());
            }
            alive()?;
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the machine is gone"),
            Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_answers_with_code_and_output() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"noise\n@begin 1\nhello\nworld\n@end 1 3\nmore").unwrap();
        let mut line = Line::new(ours).unwrap();
        let output = line.run("anything", Duration::from_secs(5), || Ok(())).unwrap();
        assert_eq!(output, Output { code: 3, text: "hello\nworld".into() });
        let mut sent = [0; 64];
        let length = theirs.read(&mut sent).unwrap();
        assert_eq!(&sent[..length], b"anything\n@run 1\n");
    }

    #[test]
    fn silence_ends_with_the_limit() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = Line::new(ours).unwrap().ready(Duration::from_millis(300), || Ok(()));
        assert!(format!("{:#}", error.unwrap_err()).starts_with("the machine did not come up"));
    }
}

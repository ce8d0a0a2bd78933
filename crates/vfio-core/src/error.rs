//! What can go wrong in this crate, and how an error explains itself to a person.

use std::io;

use rustix::io::Errno;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a program's exit status says; the numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Failed; the system is as before.
    Failed = 1,
    /// Words that no machine could accept.
    Usage = 2,
    /// An interrupted operation waits for `deploy-vfio recover`.
    NeedsRecovery = 3,
    /// An undo conflicts with a later edit.
    Conflict = 4,
    /// Another run holds the lock, or something changed under us.
    Busy = 5,
    /// Refused: a safety check, a limit of this machine, a missing privilege.
    Refused = 6,
    /// Verification failed; rolled back.
    Unverified = 7,
    /// Interrupted by SIGINT; rolled back.
    Interrupted = 130,
    /// Ended by SIGTERM; rolled back.
    Terminated = 143,
}

/// What an error tells a person beyond its first line.
///
/// `Display` is the first line; [`Advice::because`] and [`Advice::help`] are the lines after it.
pub trait Advice: std::error::Error {
    /// The exit status that this error ends a program with.
    fn exit(&self) -> Exit {
        Exit::Failed
    }

    /// Reasons, one a line; causes found through `source` are printed as well.
    fn because(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the user can do about it, one a line.
    fn help(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What can go wrong while reading a machine or changing its files.
///
/// Paths are relative to the root in question and printed with a leading `/`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} /{path}")]
    Io {
        /// What was tried, a verb such as `read`.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what its format promises.
    #[error("/{path}: {what}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file is not as it was when the plan was made; nothing was lost.
    #[error("/{path} changed while deploy-vfio was working")]
    Changed {
        /// The file.
        path: String,
    },
    /// A safety check, or something this machine cannot do.
    #[error("{what}")]
    Refused {
        /// What is refused.
        what: String,
        /// Why.
        because: Vec<String>,
        /// The way out.
        help: Vec<String>,
    },
    /// Another run, or a package manager, is at work.
    #[error("{what}")]
    Busy {
        /// Who holds what.
        what: String,
    },
    /// An operation was interrupted and must be recovered first.
    #[error("operation {id} was interrupted")]
    NeedsRecovery {
        /// Its number.
        id: u32,
    },
    /// The record of an operation cannot be trusted; nothing was touched.
    #[error("the record of operation {id} is damaged: {what}")]
    Damaged {
        /// The operation's number.
        id: u32,
        /// What is wrong with it.
        what: String,
    },
    /// Files were edited since the operation that is to be undone.
    #[error("operation {id} cannot be taken back: {} since", edited(.paths))]
    Conflict {
        /// The operation's number.
        id: u32,
        /// The edited files.
        paths: Vec<String>,
    },
    /// Something stands where old files were to be restored that no file replaces.
    #[error("operation {id} cannot be taken back: {}", unrestorable(.because))]
    NotRestorable {
        /// The operation's number.
        id: u32,
        /// What stands there, one path each.
        because: Vec<String>,
    },
    /// Files were edited since the operation that is to be done again was taken back.
    #[error("operation {id} cannot be done again: {} since", edited(.paths))]
    RedoConflict {
        /// The operation's number.
        id: u32,
        /// The edited files.
        paths: Vec<String>,
    },
    /// A program that rebuilds something failed; everything was put back.
    #[error("{program} failed: {status}")]
    Program {
        /// The command line.
        program: String,
        /// How it ended.
        status: String,
        /// Its last lines.
        output: Vec<String>,
    },
    /// The result is not what was planned; everything was put back.
    #[error("{what}")]
    Unverified {
        /// What does not hold.
        what: String,
        /// Details.
        because: Vec<String>,
    },
    /// A signal ended the work; everything was put back.
    #[error("interrupted by signal {signal}; everything is as before")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
}

impl Error {
    /// Whether this is about a file that only root may read, and we are somebody else.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let access = Some(Errno::ACCESS.raw_os_error());
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == access)
    }
}

fn edited(paths: &[String]) -> String {
    match paths {
        [one] => format!("/{one} was edited"),
        many => format!("{} files were edited", many.len()),
    }
}

fn unrestorable(because: &[String]) -> String {
    match because {
        [one] => one.clone(),
        many => format!("{} files cannot be restored", many.len()),
    }
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } if self.is_denied() => Exit::Refused,
            Self::Io { .. } | Self::Malformed { .. } | Self::Program { .. } => Exit::Failed,
            Self::Changed { .. } | Self::Busy { .. } => Exit::Busy,
            Self::Refused { .. } => Exit::Refused,
            Self::NeedsRecovery { .. } | Self::Damaged { .. } => Exit::NeedsRecovery,
            Self::Conflict { .. } | Self::NotRestorable { .. } | Self::RedoConflict { .. } => {
                Exit::Conflict
            }
            Self::Unverified { .. } => Exit::Unverified,
            Self::Interrupted { signal: 15 } => Exit::Terminated,
            Self::Interrupted { .. } => Exit::Interrupted,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::Refused { because, .. } | Self::Unverified { because, .. } => because.clone(),
            Self::NotRestorable { because, .. } if because.len() > 1 => because.clone(),
            Self::Program { output, .. } => output.clone(),
            Self::Conflict { paths, .. } | Self::RedoConflict { paths, .. } if paths.len() > 1 => {
                paths.iter().map(|path| format!("/{path} was edited")).collect()
            }
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Refused { help, .. } => help.clone(),
            Self::Changed { .. } => one("run the command again to plan against the new content"),
            Self::NeedsRecovery { .. } => one("run `deploy-vfio recover`"),
            Self::Damaged { id, .. } => vec![
                format!(
                    "look at /var/lib/deploy-vfio/tx/{id:06}; the files it saved are below `pre`"
                ),
                format!(
                    "`deploy-vfio recover --set-aside {id}` keeps the record under another name and \
                     lets other operations go on"
                ),
            ],
            Self::Conflict { .. } => {
                one("`--keep` leaves the edited files as they are, `--restore` takes the old ones")
            }
            Self::NotRestorable { .. } => one(
                "nothing was changed; move it away and try again, or leave it there with `--keep`",
            ),
            Self::RedoConflict { .. } => one(
                "move the edited files away and redo, or run the operation's command anew over them",
            ),
            Self::Io { .. } if self.is_denied() => one("run it as root, with sudo"),
            Self::Program { .. } => one("everything is as before; mend the cause and run it again"),
            _ => Vec::new(),
        }
    }
}

/// Adds to an I/O error what was tried, and on which path.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &str) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &str) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source: source.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_is_told_who_may() {
        let denied = Errno::ACCESS.into();
        let error = Error::Io { action: "open", path: "x".to_owned(), source: denied };
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(error.help(), ["run it as root, with sudo"]);
        let source = Errno::IO.into();
        let error = Error::Io { action: "open", path: "x".to_owned(), source };
        assert_eq!(error.exit(), Exit::Failed);
        assert!(error.help().is_empty());
    }
}

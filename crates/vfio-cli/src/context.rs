//! One invocation: where, how, and under what title.

use std::{ffi::OsString, path::Path, time::Duration};

use vfio_core::{
    Advice, Root,
    change::{Draft, NoRebuild, Programs, Rebuilder, Settings, Verify},
    host::{Inputs, Machine, Network, Pci, Storage},
};

use crate::{Failure, Global, Usage, output, programs, signals};

/// How long to wait for another run, or for a package manager.
const WAIT: Duration = Duration::from_secs(30);
/// The program of ours that has libvirt accept a guest.
pub const DEFINER: &str = "vfio-define";

/// What a program is given: the tree it works on, the options, the way to the disk and out.
#[derive(Debug)]
pub struct Context {
    pub(crate) global: Global,
    pub(crate) title: String,
    root: Root,
    snapshot: Option<Machine>,
    programs: Programs,
}

impl Context {
    pub(crate) fn new(name: &str, global: Global, words: &[OsString]) -> Result<Self, Failure> {
        let title = title(name, words);
        let snapshot = global.machine.as_deref().map(read_snapshot).transpose()?;
        let root = match (&snapshot, &global.root) {
            (Some(_), _) => Root::empty(),
            (None, Some(dir)) => Root::open(dir).map_err(|error| not_a_tree(dir, &error))?,
            (None, None) => Root::open("/")?,
        };
        let definer = programs::helper(None, DEFINER).ok();
        let definer = definer.and_then(|definer| definer.path.to_str().map(str::to_owned));
        Ok(Self { global, title, root, snapshot, programs: Programs::with_definer(definer) })
    }

    /// The tree this program works on.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The global options.
    #[must_use]
    pub fn global(&self) -> &Global {
        &self.global
    }

    /// All facts about the machine: read from the tree, or replayed from `--machine`.
    pub fn machine(&self) -> Result<Machine, Failure> {
        match &self.snapshot {
            Some(machine) => Ok(machine.clone()),
            None => Ok(Machine::read(&self.root)?),
        }
    }

    /// The facts that decide which devices stay with the host; the others are empty. Much cheaper.
    pub fn devices(&self) -> Result<Machine, Failure> {
        if let Some(machine) = &self.snapshot {
            return Ok(machine.clone());
        }
        Ok(Machine {
            pci: Pci::read(&self.root)?,
            storage: Storage::read(&self.root)?,
            network: Network::read(&self.root)?,
            inputs: Inputs::read(&self.root)?,
            ..Machine::default()
        })
    }

    /// Only which devices there are: what completing a word has time for.
    pub(crate) fn pci(&self) -> Result<Machine, Failure> {
        match &self.snapshot {
            Some(machine) => Ok(machine.clone()),
            None => Ok(Machine { pci: Pci::read(&self.root)?, ..Machine::default() }),
        }
    }

    /// An empty overlay over the tree.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        Draft::new(&self.root)
    }

    /// A file that the user named, relative to the tree that this program works on. A name that is
    /// not absolute is one in the current directory, on the running system.
    ///
    /// # Errors
    ///
    /// A name that is not absolute, in another tree; one with `..` in it.
    pub fn path(&self, named: &str) -> Result<String, Failure> {
        let refused = |why: &str| {
            let what = format!("`{}` cannot be used: {why}", named.escape_debug());
            Err(Usage::new(what, &["write the path as it is in the tree: `/etc/x`"]).into())
        };
        if !self.root.is_host() && !named.starts_with('/') {
            return refused("it is not absolute, and this is another tree");
        }
        if named.chars().any(char::is_control) {
            return refused("it has a control character");
        }
        let path = std::path::absolute(named).unwrap_or_default();
        let mut parts = path.components().skip(1);
        if !parts.all(|part| matches!(part, std::path::Component::Normal(_))) {
            return refused("it has a `..`");
        }
        match path.to_str().and_then(|path| path.strip_prefix('/')) {
            Some(path) if !path.is_empty() && !named.ends_with('/') => Ok(path.to_owned()),
            _ => refused("it is not the name of a file"),
        }
    }

    /// Prints data, a line.
    pub fn print(&self, line: impl AsRef<str>) {
        output::data(line.as_ref());
    }

    /// Prints talk, a line, unless `--quiet`.
    pub fn say(&self, line: impl AsRef<str>) {
        if !self.global.quiet && !self.global.json {
            output::talk(line.as_ref());
        }
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.global.dry_run || self.snapshot.is_some()
    }

    /// Whether the machine is a description: there is no disk that a plan could meet.
    pub(crate) fn is_described(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Who rebuilds what derives from files.
    pub(crate) fn rebuilder(&self) -> &dyn Rebuilder {
        if self.global.no_rebuild { &NoRebuild } else { &self.programs }
    }

    /// Calls the engine with what the options say.
    pub fn engine<T>(
        &self,
        verify: Option<&Verify<'_>>,
        call: impl FnOnce(&Settings<'_>) -> vfio_core::Result<T>,
    ) -> Result<T, Failure> {
        self.privileged()?;
        let settings = Settings {
            rebuilder: self.rebuilder(),
            verify,
            interrupt: signals::interrupt(),
            wait: WAIT,
            progress: &|line| self.say(line),
        };
        Ok(call(&settings)?)
    }

    /// Whoever owns the tree may change it; on a running system that is root.
    pub(crate) fn privileged(&self) -> Result<(), Failure> {
        let me = rustix::process::geteuid().as_raw();
        let owner = rustix::fs::stat(self.root.path()).map(|stat| stat.st_uid);
        if me == 0 || (!self.root.is_host() && owner.is_ok_and(|owner| owner == me)) {
            return Ok(());
        }
        let mut words = vec!["sudo".to_owned(), "deploy-vfio".to_owned()];
        words.push(self.title.clone());
        let again = words.join(" ");
        Err(Usage::refused("only root may change this system", &[again.as_str()]).into())
    }
}

/// What the journal calls this invocation: the command's own words, without the options that say
/// only how it is run.
fn title(name: &str, words: &[OsString]) -> String {
    const ALONE: [&str; 12] = [
        "-n",
        "-y",
        "-q",
        "--dry-run",
        "--yes",
        "--json",
        "--quiet",
        "--verbose",
        "--no-rebuild",
        "--ignore-distro",
        "--exit-code",
        "-yq",
    ];
    const WITH_VALUE: [&str; 3] = ["--root", "--machine", "--color"];
    let mut title = name.to_owned();
    let mut words = words.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&&*word) {
            words.next();
        } else if !ALONE.contains(&&*word)
            && !WITH_VALUE.iter().any(|o| word.strip_prefix(o).is_some_and(|r| r.starts_with('=')))
        {
            title.push(' ');
            title.extend(word.chars().filter(|c| !c.is_control()));
        }
    }
    title
}

/// Names the directory as the user did, not as a path below itself.
fn not_a_tree(dir: &Path, error: &vfio_core::Error) -> Failure {
    let why = match error {
        vfio_core::Error::Io { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    let dir = dir.display().to_string();
    let what = format!("cannot work on the tree {}: {why}", dir.escape_debug());
    Usage::refused(what, &[]).exiting(error.exit()).into()
}

#[expect(clippy::disallowed_methods, reason = "--machine names a file of the user, not of a root")]
fn read_snapshot(path: &std::path::Path) -> Result<Machine, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage::refused(format!("cannot read {shown}: {error}"), &[]))?;
    Machine::from_snapshot(&text).map_err(|error| match error {
        vfio_core::Error::Refused { what, because, help } => {
            vfio_core::Error::Refused { what: format!("{shown}: {what}"), because, help }.into()
        }
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_on_the_running_system_may_be_one_in_the_current_directory() {
        let cx = Context::new("x", Global::default(), &[]).unwrap();
        let here = std::env::current_dir().unwrap();
        let inside = |name: &str| here.join(name).to_str().unwrap()[1..].to_owned();
        for (named, path) in [
            ("a.xml", inside("a.xml")),
            ("./a.xml", inside("a.xml")),
            ("/b//a.xml", "b/a.xml".to_owned()),
        ] {
            assert_eq!(cx.path(named).unwrap(), path, "{named}");
        }
        for named in ["", "/", "a/", "../a", "/b/../a", "/.."] {
            assert_eq!(cx.path(named).unwrap_err().exit(), 2, "{named}");
        }
    }

    #[test]
    fn in_another_tree_a_name_is_absolute() {
        let dir = tempfile::tempdir().unwrap();
        let global = Global { root: Some(dir.path().to_owned()), ..Global::default() };
        let cx = Context::new("x", global, &[]).unwrap();
        assert_eq!(cx.path("/etc/x").unwrap(), "etc/x");
        assert_eq!(cx.path("x").unwrap_err().exit(), 2);
    }
}

//! `deploy-vfio install`: puts the programs, their manual pages and completions below a prefix.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use deploy_vfio::{
    HELPERS,
    installation::{self, Content, Prefix},
};
use vfio_cli::{
    Context, Failure, Usage,
    completions::Shell,
    programs::{self, Program},
};
use vfio_core::change::Warning;

const MORE: &str = "\
All programs beside this one are installed, plugins among them, with the manual pages that they can
print, and what lets bash, zsh and fish complete them. It is an operation like others: shown first,
and taken back by `deploy-vfio undo`. An earlier version is replaced; what it had and this one has
not, goes. A directory or a file that belongs to a package of the distribution is left to it.

As root, `deploy-vfio` runs no program of a directory that somebody else may write to, such as the
one it was built in: there, start this program by its own name.

Examples:
  deploy-vfio install
      Into /usr/local, with a question.
  deploy-vfio install --prefix /opt/deploy-vfio --dry-run
      Show what would be put below /opt/deploy-vfio.
  deploy-vfio-install --yes --root /mnt
      From where it was built, on a system that is mounted below /mnt.

Files:
  PREFIX/bin/deploy-vfio*
      The programs.
  PREFIX/libexec/deploy-vfio/vfio-hook
      What libvirt is given to run, for `deploy-vfio libvirt-hooks`.
  PREFIX/libexec/deploy-vfio/vfio-define
      What asks libvirt to accept a guest, for `deploy-vfio guest`.
  PREFIX/share/deploy-vfio/installed.sha256
      What was installed, for a later version and for `deploy-vfio uninstall`.

See also:
  deploy-vfio completions
  deploy-vfio uninstall";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// The directory that has `bin` and `share`
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: Prefix,
    /// Install the programs of DIR instead of those beside this one
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

fn main() -> ExitCode {
    vfio_cli::main("install", "Install these programs", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let Args { prefix, from } = args;
    let programs = programs::in_directory(from.as_deref())?;
    if !programs.iter().any(|program| program.path.ends_with("deploy-vfio")) {
        let place =
            from.map_or("beside this program".into(), |dir| format!("in {}", dir.display()));
        let help = ["`deploy-vfio install --from DIR`, the directory where all of them are"];
        return Err(Usage::refused(format!("there is no `deploy-vfio` {place}"), &help).into());
    }
    let mut draft = cx.draft();
    let mut files = files(&programs)?;
    for name in HELPERS {
        if let Ok(helper) = programs::helper(from.as_deref(), name) {
            let at = format!("libexec/deploy-vfio/{name}");
            files.insert(at, Content::Program(programs::content(&helper)?));
        }
    }
    installation::install(&mut draft, &prefix, files)?;
    let bin = cx.root().path().join(prefix.join("bin"));
    if cx.root().is_host()
        && let Err(open) = programs::trusted(&bin)
    {
        let what = format!("as root, {open}");
        let help = vec![format!("chown root:root {0}; chmod 0755 {0}", bin.display())];
        draft.warn(Warning { what, help });
    }
    cx.commit(draft, None)
}

/// Everything that is installed, by its path below the prefix.
fn files(programs: &[Program]) -> Result<BTreeMap<String, Content>, Failure> {
    let mut files = BTreeMap::new();
    for program in programs {
        let name = program.path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(page) = programs::manual_page(program) {
            let page = String::from_utf8_lossy(&page).into_owned();
            files.insert(format!("share/man/man1/{name}.1"), Content::Text(page));
        }
        let bytes = programs::content(program)?;
        files.insert(format!("bin/{name}"), Content::Program(bytes));
    }
    for shell in Shell::value_variants() {
        files.insert(shell.file().into(), Content::Text(shell.script().into()));
    }
    Ok(files)
}

//! `deploy-vfio apply [FILE]`: makes the machine what a document says.
//!
//! Two kinds of document, told apart by their first character: a setup in TOML, with a table for
//! each feature and the words of its command as keys; or, in JSON, a draft that another program
//! wrote: `{"format":1,"files":{"etc/…":"text"|null}}`, where `null` removes a file and only certain
//! places may be named ([`deploy_vfio::Foreign`]).

use std::{io::Read, process::ExitCode};

use deploy_vfio::{Foreign, Setup};
use vfio_cli::{Context, Failure, Usage};

const LARGEST: u64 = 4 << 20;

const MORE: &str = "\
A draft is `{\"format\":1,\"files\":{\"etc/PATH\":\"text\"}}`; `null` instead of a text removes the file.
A file /etc/deploy-vfio/cmdline.d/NN-NAME.conf holds parameters of the kernel. The draft becomes one
operation: shown, confirmed, journalled, and taken back by `deploy-vfio undo`. It may write
/etc/default/grub and files below these directories of /etc, nothing else: deploy-vfio/cmdline.d,
deploy-vfio/entries.d, default/grub.d, modprobe.d, modules-load.d, initramfs-tools, dracut.conf.d,
udev/rules.d, sysctl.d, tmpfiles.d, systemd, X11/xorg.conf.d, libvirt, apparmor.d/local,
security/limits.d, pipewire, wireplumber, pulse.

Examples:
  deploy-vfio apply draft.json --dry-run
      Show what a draft would change.
  printf %s '{\"format\":1,\"files\":{\"etc/modules-load.d/kvm.conf\":\"kvm\\n\"}}' | deploy-vfio apply --yes
      Carry out a draft from a pipe, without a question: nobody could answer it.

See also:
  deploy-vfio redo";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// A setup (TOML) or another program's draft (JSON); `-` reads standard input
    #[arg(default_value = "-")]
    file: std::path::PathBuf,
}

fn main() -> ExitCode {
    vfio_cli::main("apply", "Make the machine what a setup or a plugin's draft says", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let text = read(&args.file)?;
    if !text.trim_start().starts_with('{') {
        return Setup::from_toml(&text, &args.file.display().to_string())?.carry_out(cx);
    }
    let foreign = Foreign::parse(&text)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    foreign.put(&mut draft)?;
    deploy_vfio::finish(cx, draft, &machine)
}

#[expect(clippy::disallowed_methods, reason = "it is a file of the user, not of a root")]
fn read(file: &std::path::Path) -> Result<String, Failure> {
    let mut text = String::new();
    let result = if file.as_os_str() == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    result
        .map_err(|error| Usage::refused(format!("cannot read {}: {error}", file.display()), &[]))?;
    if text.len() as u64 > LARGEST {
        return Err(Usage::refused("the document is larger than 4 MiB", &[]).into());
    }
    Ok(text)
}

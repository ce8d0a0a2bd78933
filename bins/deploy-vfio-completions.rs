//! `deploy-vfio completions bash|zsh|fish`: the script that teaches a shell deploy-vfio's words.

use std::process::ExitCode;

use vfio_cli::completions::Shell;

const MORE: &str = "\
The script asks the programs themselves, so it knows plugins, new commands and the IOMMU groups of
this machine without being made anew.

Examples:
  source <(deploy-vfio completions bash)
      In ~/.bashrc: for one user of bash. In ~/.zshrc the same with `zsh`, below compinit.
  deploy-vfio completions fish | source
      In ~/.config/fish/config.fish.

Files:
  /usr/share/bash-completion/completions/deploy-vfio
      Where packages put the script for bash.
  /usr/share/zsh/vendor-completions/_deploy-vfio
      For zsh.
  /usr/share/fish/vendor_completions.d/deploy-vfio.fish
      For fish.";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// The shell
    shell: Shell,
}

fn main() -> ExitCode {
    vfio_cli::main("completions", "Print what lets a shell complete commands", |cx, args: Args| {
        cx.print(args.shell.script().trim_end());
        Ok(())
    })
}

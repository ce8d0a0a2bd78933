//! The scripts that let shells complete deploy-vfio's words; the programs know the words.

use clap::ValueEnum;

/// A shell that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash, 4 or newer
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// The file in which the shell looks for it, below a prefix such as `/usr/local`.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Bash => "share/bash-completion/completions/deploy-vfio",
            Self::Zsh => "share/zsh/site-functions/_deploy-vfio",
            Self::Fish => "share/fish/vendor_completions.d/deploy-vfio.fish",
        }
    }

    /// What the shell reads, from a file or at once.
    #[must_use]
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../assets/deploy-vfio.bash"),
            Self::Zsh => include_str!("../assets/deploy-vfio.zsh"),
            Self::Fish => include_str!("../assets/deploy-vfio.fish"),
        }
    }
}

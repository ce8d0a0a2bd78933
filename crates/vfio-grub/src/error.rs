//! What keeps a boot menu from being made.

use vfio_core::{Advice, Exit, host::Loader};

use crate::ENTRIES;

/// Why GRUB cannot be given what was planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine boots some other way.
    #[error("this machine does not boot through a menu that grub-mkconfig makes")]
    Loader(Loader),
    /// A fragment holds something that is no kernel parameter.
    #[error("/{path} is no list of kernel parameters")]
    Fragment {
        /// The fragment.
        path: String,
        /// What is wrong.
        source: vfio_core::ParseParameterError,
    },
    /// A boot entry that the menu generator would pass over.
    #[error("`{}` cannot be the name of a boot entry", .id.escape_debug())]
    EntryName {
        /// The file's name without `.conf`.
        id: String,
    },
    /// The kernel would cut the line.
    #[error("the kernel parameters would be {length} bytes long: a kernel reads at most 2048")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Core(error) => error.exit(),
            Self::Fragment { .. } => Exit::Failed,
            Self::Loader(_) | Self::EntryName { .. } | Self::TooLong { .. } => Exit::Refused,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::Loader(loader) => vec![match loader {
                Loader::GrubBls => "its GRUB reads entries from /boot/loader/entries".into(),
                Loader::SystemdBoot => "it is started by systemd-boot".into(),
                Loader::Grub | Loader::Unknown => {
                    "there is no /etc/grub.d and no /boot/grub/grub.cfg".into()
                }
            }],
            Self::EntryName { id } => vec![format!(
                "/{ENTRIES}/{}.conf: the menu generator takes deploy-vfio-NAME.conf alone, \
                 NAME of letters, digits and `:._-`",
                id.escape_debug()
            )],
            Self::Core(error) => error.because(),
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::Loader(_) => {
                vec![
                    "deploy-vfio supports GRUB as Debian and Ubuntu set it up".into(),
                    "`deploy-vfio multiboot --by-hand` prints what to put in place yourself".into(),
                ]
            }
            Self::EntryName { id } => vec![format!("call it `{ENTRIES}/{}.conf`", better(id))],
            Self::TooLong { .. } => vec!["select fewer devices with --parse".into()],
            Self::Core(error) => error.help(),
            Self::Fragment { .. } => Vec::new(),
        }
    }
}

/// The nearest id that the menu generator serves.
fn better(id: &str) -> String {
    let name = id.strip_prefix("deploy-vfio-").unwrap_or(id);
    let odd = |c: char| !(c.is_ascii_alphanumeric() || ":._-".contains(c));
    let parts: Vec<&str> = name.split(odd).filter(|part| !part.is_empty()).collect();
    let name = if parts.is_empty() { "NAME".to_owned() } else { parts.join("-") };
    format!("deploy-vfio-{name}")
}

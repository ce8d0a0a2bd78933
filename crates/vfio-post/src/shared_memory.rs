//! Memory that a guest and a program of a user's share: a file below `/dev/shm`.
//!
//! systemd-tmpfiles makes it at every boot, empty, for the user and the group that QEMU is in; QEMU
//! gives it its size. libvirt itself tells AppArmor about it.

use vfio_core::{Advice, Exit, change::Draft};

use crate::user_unit::plain;

/// QEMU's group: Debian's libvirt-qemu is in it, and it is Ubuntu's own.
const GROUP: &str = "kvm";

/// Why memory cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is known who would use it.
    #[error("nobody is known who runs the program for it")]
    NoUser,
    /// A name that systemd would misread.
    #[error("the user's name `{}` cannot stand in a file of systemd's", .0.escape_debug())]
    OddUser(String),
    /// A screen's size that is none.
    #[error("`{}` is no screen's size", .0.escape_debug())]
    NotAScreen(String),
    /// An interface's name that is none.
    #[error("`{}` is no network interface's name", .0.escape_debug())]
    NotAnInterface(String),
    /// A name that no sound device has.
    #[error("`{}` is no sound device's name", .0.escape_debug())]
    NotADevice(String),
    /// A delay that is none, or unbearable.
    #[error("a delay of {0} ms is not possible: from 1 to 2000")]
    NotADelay(u32),
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAScreen(_)
            | Self::NotAnInterface(_)
            | Self::NotADevice(_)
            | Self::NotADelay(_) => Exit::Usage,
            Self::NoUser | Self::OddUser(_) => Exit::Refused,
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::Core(error) => error.because(),
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NoUser | Self::OddUser(_) => {
                vec!["`--user NAME` names who runs it; sudo and pkexec tell by themselves".into()]
            }
            Self::NotAScreen(_) => vec!["write `1920x1080`".into()],
            Self::NotADevice(_) => vec![
                "`pactl list short sources` lists where sound comes in, `… sinks` where it goes"
                    .into(),
            ],
            Self::NotADelay(_) => Vec::new(),
            Self::NotAnInterface(_) => vec!["`ip -brief link` lists them".into()],
            Self::Core(error) => error.help(),
        }
    }
}

/// A file of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Whose it is: `deploy-vfio FEATURE`.
    pub(crate) feature: &'static str,
    /// Its name below `/dev/shm`, and in the guest's definition.
    pub(crate) name: &'static str,
}

impl Memory {
    fn tmpfiles(self) -> String {
        format!("etc/tmpfiles.d/50-deploy-vfio-{}.conf", self.feature)
    }

    /// Has every boot make it for `user`.
    pub(crate) fn share(self, draft: &mut Draft<'_>, user: Option<&str>) -> Result<(), Error> {
        let user = plain(user)?;
        let Self { feature, name } = self;
        let text = format!(
            "# Written by `deploy-vfio {feature}`.\nf /dev/shm/{name} 0660 {user} {GROUP} -\n"
        );
        draft.write(&self.tmpfiles(), text)?;
        draft.note(format!(
            "every boot makes /dev/shm/{name}; `systemd-tmpfiles --create /{}` does it now",
            self.tmpfiles()
        ));
        Ok(())
    }

    /// No longer.
    pub(crate) fn unshare(self, draft: &mut Draft<'_>) {
        draft.remove(&self.tmpfiles());
    }

    /// What a guest needs inside `<devices>`.
    pub(crate) fn xml(self, mib: u64) -> String {
        format!(
            "<shmem name='{}'>\n  <model type='ivshmem-plain'/>\n  <size unit='M'>{mib}</size>\n\
             </shmem>\n",
            self.name
        )
    }
}

//! What can go wrong, and the way out.

use vfio_core::{Advice, CpuList, Exit};

use crate::{Request, Side};

/// Why the processors cannot be split as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Words that mean nothing here.
    #[error("`{}` does not say which CPUs are for guests", .0.escape_debug())]
    NotARequest(String),
    /// No core at all for the host.
    #[error("the host needs at least one core")]
    NoHostCore,
    /// A list of nothing.
    #[error("the list names no CPU")]
    EmptyList,
    /// The machine does not say what processors it has.
    #[error("the processors of this machine are not known")]
    Unknown,
    /// There is nothing to divide.
    #[error("this machine has one core, and that is the host's")]
    OneCore(CpuList),
    /// The host would have every core.
    #[error("{asked} cores for the host leave none for guests: this machine has {cores}")]
    TooManyForHost {
        /// Cores asked for.
        asked: u32,
        /// Cores there are.
        cores: u32,
    },
    /// A list that this machine cannot have.
    #[error("`{} {list}` cannot be had here", side.option())]
    List {
        /// Whose CPUs it names.
        side: Side,
        /// The list.
        list: CpuList,
        /// What is wrong with it, one a line.
        problems: Vec<String>,
        /// The nearest list that would do.
        nearest: Option<CpuList>,
    },
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotARequest(_) | Self::NoHostCore | Self::EmptyList => Exit::Usage,
            Self::Unknown | Self::OneCore(_) | Self::TooManyForHost { .. } | Self::List { .. } => {
                Exit::Refused
            }
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::Unknown => {
                vec!["neither /sys/devices/system/cpu nor /proc/cpuinfo names one".to_owned()]
            }
            Self::OneCore(threads) => vec![format!("its threads are {threads}")],
            Self::TooManyForHost { .. } => vec!["a guest needs at least one core".to_owned()],
            Self::List { problems, .. } => problems.clone(),
            Self::Core(error) => error.because(),
            Self::NotARequest(_) | Self::NoHostCore | Self::EmptyList => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        let command = |request: Request| vec![format!("deploy-vfio cpu {request}")];
        match self {
            Self::NotARequest(_) => vec![
                "deploy-vfio cpu".to_owned(),
                "deploy-vfio cpu --host-cores 2".to_owned(),
                "deploy-vfio cpu --guest 2-7".to_owned(),
            ],
            Self::NoHostCore => command(Request::HostCores(1)),
            Self::TooManyForHost { cores, .. } => {
                command(Request::HostCores(cores.saturating_sub(1)))
            }
            Self::List { side: Side::Guest, nearest: Some(list), .. } => {
                command(Request::Guest(list.clone()))
            }
            Self::List { side: Side::Host, nearest: Some(list), .. } => {
                command(Request::Host(list.clone()))
            }
            Self::EmptyList | Self::List { .. } => {
                vec!["`deploy-vfio cpu` alone chooses by itself".to_owned()]
            }
            Self::Core(error) => error.help(),
            Self::Unknown | Self::OneCore(_) => Vec::new(),
        }
    }
}

//! What can go wrong, and the way out.

use vfio_core::{Advice, Exit};

use crate::{Count, PageSize};

/// Why huge pages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a size that exists.
    #[error("`{0}` is not a huge page size; use `2M` or `1G`")]
    NotASize(String),
    /// Not a number of pages, nor one for each node.
    #[error("`{}` is not a number of pages; one looks like `8`, or `0=4,1=4` by node", .0.escape_debug())]
    NotACount(String),
    /// No pages at all.
    #[error("0 pages of {0} reserve nothing")]
    Zero(PageSize),
    /// The processor has no pages of this size.
    #[error("this processor has no pages of {0}: `{flag}` is not among its flags", flag = .0.flag())]
    Unsupported(PageSize),
    /// The machine, or one of its nodes, has too little memory.
    #[error("{count} pages of {size} do not fit{place}: at most {most}, leaving {share}4 GiB to the host",
        place = .node.map(|node| format!(" on node {node}")).unwrap_or_default(),
        share = if node.is_some() { "its share of " } else { "" })]
    TooMany {
        /// Pages asked for.
        count: u64,
        /// Their size.
        size: PageSize,
        /// The NUMA node they do not fit on; `None` for the whole machine.
        node: Option<u32>,
        /// Pages that fit.
        most: u64,
        /// `MemTotal` of the machine or the node.
        total_kib: u64,
        /// What huge pages reserved in the other way take of it.
        others_kib: u64,
    },
    /// A NUMA node that is not there, or has no memory.
    #[error("there is no memory on node {node}")]
    NoNode {
        /// The node.
        node: u32,
        /// Those that have memory.
        nodes: Vec<u32>,
    },
    /// A kernel that does not understand counts by node.
    #[error("counts by node need Linux 6.1 or newer, and every kernel here must read them")]
    OldKernels(Vec<String>),
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotASize(_) | Self::NotACount(_) | Self::Zero(_) => Exit::Usage,
            Self::Unsupported(_)
            | Self::TooMany { .. }
            | Self::NoNode { .. }
            | Self::OldKernels(_) => Exit::Refused,
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::TooMany { node, total_kib, others_kib, .. } => {
                let whose = node.map_or("the machine".to_owned(), |node| format!("node {node}"));
                let mut because = vec![format!("{whose} has {total_kib} KiB of memory")];
                if *others_kib > 0 {
                    because.push(format!("other huge pages of ours take {others_kib} KiB"));
                }
                because
            }
            Self::NoNode { nodes, .. } => vec![match nodes.as_slice() {
                [] => "this machine does not say which nodes it has".to_owned(),
                nodes => {
                    let nodes: Vec<String> = nodes.iter().map(u32::to_string).collect();
                    format!("nodes with memory: {}", nodes.join(", "))
                }
            }],
            Self::Unsupported(size) => vec![format!("/proc/cpuinfo has no `{}`", size.flag())],
            Self::OldKernels(releases) if releases.is_empty() => {
                vec!["/boot has no kernel whose version is known".to_owned()]
            }
            Self::OldKernels(releases) => vec![format!("installed: {}", releases.join(", "))],
            Self::Core(error) => error.because(),
            Self::NotASize(_) | Self::NotACount(_) | Self::Zero(_) => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::Zero(_) => vec!["`deploy-vfio hugepages off` takes the reservation back".into()],
            Self::Unsupported(PageSize::G1) => vec!["use pages of 2M".into()],
            Self::TooMany { most: 0, node: None, others_kib: 0, .. } => {
                vec!["a machine with at most 4 GiB has none to spare".into()]
            }
            Self::TooMany { most: 0, .. } => {
                vec!["`deploy-vfio hugepages off` takes the other pages back".into()]
            }
            Self::TooMany { most, size, node: None, .. } => {
                vec![format!("deploy-vfio hugepages {size} {most}")]
            }
            Self::TooMany { most, size, node: Some(node), .. } => {
                let count = Count::OnNodes([(*node, *most)].into());
                vec![format!("deploy-vfio hugepages {size} --node {count}")]
            }
            Self::OldKernels(_) => vec![
                "without `--node` the kernel puts as many on each node".into(),
                "with `--runtime`, pages of 2M go by node on every kernel".into(),
            ],
            Self::Core(error) => error.help(),
            _ => Vec::new(),
        }
    }
}

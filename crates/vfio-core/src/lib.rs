//! The part of deploy-vfio that other projects build on.
//!
//! * [`host`]: facts about a machine, read from sysfs and procfs below any [`Root`]: PCI devices
//!   and IOMMU groups, processors, memory, kernels, storage, network, displays, keyboards.
//! * [`change`]: an engine that edits a system's files all-or-nothing, journals what it did and
//!   takes it back byte for byte: [`change::Draft`], [`change::Plan`] and what carries them out.
//! * Values that both share: [`Address`], [`CpuList`], [`Cmdline`], [`Error`].
//!
//! Nothing here prints, prompts, or reads the environment, the clock or a terminal, but for the
//! journal's time stamps; nothing reads a path except through [`Root`].

mod address;
pub mod change;
mod cmdline;
mod cpulist;
mod error;
pub mod grubenv;
pub mod host;
mod initramfs;
pub mod layout;
pub mod markup;
mod octal;
mod root;

pub use address::{Address, ParseAddressError};
pub use cmdline::{Cmdline, MAX_LEN as CMDLINE_MAX_LEN, Parameter, ParseParameterError};
pub use cpulist::{CpuList, ParseCpuListError};
pub use error::{Advice, Error, Exit, Result};
pub use root::{Dir, Root};

/// The library example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

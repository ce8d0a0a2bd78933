//! Facts about a machine, each read in one pass from a [`Root`](crate::Root).
//!
//! Parsers are total: odd hardware is normal, and a file that is missing, malformed or vanishes
//! while it is read makes a fact absent, never a panic.

mod asked;
mod attr;
mod block;
mod boot;
mod by_id;
mod convert;

mod cpu;
mod display;
mod input;
mod kernels;
mod libvirt;
mod links;
mod machine;
mod memory;
mod modules;
mod names;
mod network;
mod packages;
mod pci;
mod platform;
mod private;
mod record;
mod running;
mod shared;
mod snapshot;
mod storage;
#[cfg(test)]
pub(crate) mod tree;
pub mod trial;
mod unfit;
mod user;
mod zram;

pub use crate::initramfs::Initramfs;
pub use asked::AskedPages;
pub use attr::visible;
pub use boot::{Boot, Iommu, Loader, loader_default};
pub use cpu::{CoreKind, Cpu, LogicalCpu, Vendor};
pub use display::{Card, Connector, Displays};
pub use input::{Input, InputKind, Inputs};
pub use kernels::{Availability, Kernel, Kernels, compare_releases};
pub use libvirt::{Daemon, Libvirt, Version, installed_package, installed_version};
pub use links::Link;
pub use machine::Machine;
pub use memory::{HugePages, Memory, Node};
pub use modules::Modules;
pub use names::Names;
pub use network::{Interface, Network};
pub use packages::owner as package_owner;
pub use pci::{Class, Detail, Device, Pci};
pub use platform::Platform;
pub use running::{Finding, Running};
pub use storage::{Storage, Usage};
pub use user::User;

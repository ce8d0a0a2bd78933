//! Where deploy-vfio keeps what it states about a system, relative to the root.
//!
//! Each file below these directories is written by exactly one feature; what boot loaders and the
//! kernel read is rendered from them.

/// Kernel parameters: `NN-<feature>.conf`, words over lines, `#` begins a comment line.
pub const CMDLINE_D: &str = "etc/deploy-vfio/cmdline.d";
/// Boot entries: `<id>.conf`, lines `key=value`.
pub const ENTRIES_D: &str = "etc/deploy-vfio/entries.d";
/// The id of the boot entry that starts by itself; absent when it is not one of ours.
pub const DEFAULT_ENTRY: &str = "etc/deploy-vfio/default-entry";
/// Keyboards and mice that guests are given: lines `key=value`, of which `keyboard` and `pointer`
/// have a path below `/dev/input`.
pub const EVDEV: &str = "etc/deploy-vfio/evdev.conf";
/// The name of the driver that waits for guests.
pub const VFIO_PCI: &str = "vfio-pci";

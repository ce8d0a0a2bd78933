//! Why a call of the hook is refused.

use vfio_core::Address;

/// What keeps a guest from starting, or a call from being understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not called as libvirt calls a hook.
    #[error("libvirt calls this program with: GUEST OPERATION SUB-OPERATION EXTRA")]
    NotACall,
    /// No guest of libvirt has such a name.
    #[error("`{}` is no guest's name", .0.escape_debug())]
    GuestName(String),
    /// What came on standard input is no domain.
    #[error("the guest's XML cannot be read: {0}")]
    Domain(String),
    /// A device that the guest names is not there.
    #[error("{0} is not on this machine")]
    NoDevice(Address),
    /// Somebody uses a device that the guest wants.
    #[error("{address} is in use: {}", .holders.join("; "))]
    InUse {
        /// The device.
        address: Address,
        /// Who uses it.
        holders: Vec<String>,
    },
    /// A device did not come to vfio-pci.
    #[error("{address} could not be bound to vfio-pci: {why}")]
    NotBound {
        /// The device.
        address: Address,
        /// What went wrong.
        why: String,
    },
    /// What is done could not be written down below `/run`.
    #[error("{0}")]
    Record(String),
    /// Another call takes too long.
    #[error("another guest's start or stop is not done yet")]
    Busy,
}

//! Which processors guests have to themselves, and the kernel parameters that keep the host off.
//!
//! # The rule
//!
//! Only whole cores change hands, every core is either the host's or the guests', and the core of
//! CPU 0 is always the host's: the kernel boots on it and keeps work there that cannot be moved.
//!
//! An explicit list is taken as it is, or refused with the nearest list of whole cores. Of
//! `--host-cores N` the number is taken as it is, and the rule only says which: CPU 0's, then
//! those of the economical kind, then those that share an L3 cache with CPU 0, then those of its
//! memory node, then the others, each in order.
//!
//! Without either, the host has two such cores (one where there are two or three) and keeps what
//! would slow a guest down that had it beside the rest:
//!
//! 1. **One kind of core.** A guest cannot tell fast cores from economical ones. It gets the fast
//!    ones where at least two are left beside CPU 0's, and the host the economical ones; else the
//!    guest gets the economical ones.
//! 2. **Whole L3 caches.** The cores that share an L3 cache (a CCX or CCD) with one of the host's
//!    stay with the host, so that it does not evict what the guests work on; and guests do not
//!    get a lone core across the interconnect.
//! 3. **Whole memory nodes**, and with them sockets: the same again for NUMA nodes.
//!
//! 2 and 3 hold where at least half of the cores of that kind are left to the guests; else they
//! get all but the host's two.
//!
//! # The parameters
//!
//! `isolcpus=` and, where the kernel was built for them, `nohz_full=` and `rcu_nocbs=` name the
//! guests' CPUs in identical lists: kernels before 6.1 drop the second of two lists that differ.
//! `irqaffinity=` names the host's. `isolcpus=managed_irq` is not needed: a queue's interrupt
//! comes to an isolated CPU only when something on that CPU asked for it.
//!
//! Invariant: the two lists have no CPU in common, and together they are the CPUs online.

mod error;
mod fragment;
mod guest;
mod listed;
mod request;
mod rule;
mod topology;

pub use error::Error;
pub use fragment::{FRAGMENT, plan};
pub use request::{Request, Side};
pub use rule::{Reason, Split, split};
pub use topology::Core;

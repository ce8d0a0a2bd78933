//! What must hold of every parser whatever it is given; `fuzz_targets` has a program for each.
//!
//! Nothing panics, hangs or grows without end; what is printed reads back the same; an edit changes
//! what it is for and nothing else; doing it twice changes nothing.

mod documents;
mod edits;
mod system;
mod words;

pub use documents::{database, domain, draft, hook_domain, merge, setup, snapshot};
pub use edits::{block, conf_value, groups, qemu_conf, shell_assignment};
pub use system::{grubenv, journal, pci_ids, proc_files, uevent};
pub use words::{address, cmdline, cpu_list, selection, sizes};

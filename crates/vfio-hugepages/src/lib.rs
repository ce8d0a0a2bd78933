//! Static huge pages: reserved by the kernel at boot, so that a guest's memory is never scattered.
//!
//! Invariant: at least [`RESERVE_KIB`] of memory stays with the host.

use std::{fmt, str::FromStr};

use vfio_core::{
    Advice, Exit,
    change::Draft,
    host::{Cpu, Memory},
};

/// The fragment that holds the kernel parameters of this feature.
pub const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/20-hugepages.conf";

/// What the host keeps, in KiB: 4 GiB.
pub const RESERVE_KIB: u64 = 4 << 20;

/// A huge page size of x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// 2 MiB.
    M2,
    /// 1 GiB; the processor must have `pdpe1gb`.
    G1,
}

impl PageSize {
    /// The size in KiB, as the kernel names it in sysfs.
    #[must_use]
    pub fn kib(self) -> u64 {
        match self {
            Self::M2 => 2 << 10,
            Self::G1 => 1 << 20,
        }
    }

    /// The flag of `/proc/cpuinfo` that says the processor has pages of this size.
    fn flag(self) -> &'static str {
        match self {
            Self::M2 => "pse",
            Self::G1 => "pdpe1gb",
        }
    }
}

impl FromStr for PageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "2M" | "2m" => Ok(Self::M2),
            "1G" | "1g" => Ok(Self::G1),
            _ => Err(Error::NotASize(text.escape_debug().take(40).collect())),
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::M2 => "2M",
            Self::G1 => "1G",
        })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// This many pages of this size.
    Reserve {
        /// Size of a page.
        size: PageSize,
        /// How many.
        count: u64,
    },
    /// None.
    Off,
}

/// Why huge pages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a size that exists.
    #[error("`{0}` is not a huge page size; use `2M` or `1G`")]
    NotASize(String),
    /// No pages at all.
    #[error("0 pages of {0} reserve nothing")]
    Zero(PageSize),
    /// The processor has no pages of this size.
    #[error("this processor has no pages of {0}: `{flag}` is not among its flags", flag = .0.flag())]
    Unsupported(PageSize),
    /// The machine has too little memory.
    #[error("{count} pages of {size} do not fit: at most {most}, leaving 4 GiB to the host")]
    TooMany {
        /// Pages asked for.
        count: u64,
        /// Their size.
        size: PageSize,
        /// Pages that fit.
        most: u64,
        /// `MemTotal`.
        total_kib: u64,
    },
    /// The draft could not be read or written.
    #[error(transparent)]
    Core(#[from] vfio_core::Error),
}

impl Advice for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::NotASize(_) | Self::Zero(_) => Exit::Usage,
            Self::Unsupported(_) | Self::TooMany { .. } => Exit::Refused,
            Self::Core(error) => error.exit(),
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::TooMany { total_kib, .. } => {
                vec![format!("the machine has {total_kib} KiB of memory")]
            }
            Self::Core(error) => error.because(),
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::Zero(_) => vec!["`deploy-vfio hugepages off` takes the reservation back".into()],
            Self::Unsupported(PageSize::G1) => vec!["use pages of 2M".into()],
            Self::TooMany { most: 0, .. } => {
                vec!["a machine with at most 4 GiB has none to spare".into()]
            }
            Self::TooMany { most, size, .. } => {
                vec![format!("deploy-vfio hugepages {size} {most}")]
            }
            Self::Core(error) => error.help(),
            _ => Vec::new(),
        }
    }
}

/// Writes or removes the kernel parameters for `request`.
///
/// # Errors
///
/// Pages that the processor does not have, or more than memory allows.
pub fn plan(
    draft: &mut Draft<'_>,
    cpu: &Cpu,
    memory: &Memory,
    request: Request,
) -> Result<(), Error> {
    let Request::Reserve { size, count } = request else {
        draft.remove(FRAGMENT);
        return Ok(());
    };
    if count == 0 {
        return Err(Error::Zero(size));
    }
    if !cpu.flags.contains(size.flag()) {
        return Err(Error::Unsupported(size));
    }
    let most = memory.total_kib.saturating_sub(RESERVE_KIB) / size.kib();
    if count > most {
        return Err(Error::TooMany { count, size, most, total_kib: memory.total_kib });
    }
    // `hugepages=` counts pages of the `hugepagesz=` before it (hugetlbpage.rst).
    let text = format!(
        "# Written by `deploy-vfio hugepages`.\n\
         default_hugepagesz={size} hugepagesz={size} hugepages={count}\n"
    );
    Ok(draft.write(FRAGMENT, text)?)
}

#[cfg(test)]
mod tests {
    use vfio_core::Root;

    use super::*;

    fn machine(gib: u64) -> (Cpu, Memory) {
        let flags = ["pse", "pdpe1gb"].map(str::to_owned).into();
        let memory = Memory { total_kib: gib << 20, ..Memory::default() };
        (Cpu { flags, ..Cpu::default() }, memory)
    }

    fn reserve(size: PageSize, count: u64, gib: u64) -> Result<String, Error> {
        let (cpu, memory) = machine(gib);
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, &cpu, &memory, Request::Reserve { size, count })?;
        Ok(draft.text(FRAGMENT)?.unwrap_or_default())
    }

    #[test]
    fn pages_leave_four_gib_to_the_host() {
        assert!(reserve(PageSize::G1, 28, 32).unwrap().contains("hugepagesz=1G hugepages=28\n"));
        let error = reserve(PageSize::G1, 29, 32).unwrap_err();
        assert_eq!(
            error.to_string(),
            "29 pages of 1G do not fit: at most 28, leaving 4 GiB to the host"
        );
        assert_eq!(error.help(), ["deploy-vfio hugepages 1G 28"]);
    }

    #[test]
    fn b31_a_machine_with_eight_gib_may_have_pages() {
        assert!(reserve(PageSize::M2, 2048, 8).is_ok());
        assert!(reserve(PageSize::M2, 2049, 8).is_err());
        assert!(reserve(PageSize::M2, 1, 3).is_err());
        assert!(reserve(PageSize::G1, u64::MAX, 8).is_err());
    }

    #[test]
    fn b32_gigantic_pages_need_the_processor_to_have_them() {
        let (mut cpu, memory) = machine(32);
        cpu.flags.remove("pdpe1gb");
        let root = Root::empty();
        let request = Request::Reserve { size: PageSize::G1, count: 1 };
        let error = plan(&mut Draft::new(&root), &cpu, &memory, request).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[test]
    fn off_leaves_no_fragment() {
        let (cpu, memory) = machine(32);
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, &cpu, &memory, Request::Off).unwrap();
        assert!(draft.finish("off").unwrap().is_empty());
    }
}

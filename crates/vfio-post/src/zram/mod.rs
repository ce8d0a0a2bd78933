//! Compressed swap in memory, from zram (`Documentation/admin-guide/blockdev/zram.rst`).
//!
//! A [`Fraction`] of the memory that huge pages leave to the host is what the device may take
//! (`mem_limit`); its size as swap is twice that, as compression is expected to halve what is
//! swapped. Data that does not compress so well meets the limit, never the host's last memory.
//!
//! One of two ways, never both:
//!
//! * systemd-zram-generator, where it is installed and new enough: a drop-in
//!   for its device `zram0`, in MiB of the memory that the plan sees;
//! * else a unit and a program of ours, which reckon with the memory that each boot really has, and
//!   touch no device but the one they made.

mod error;
mod fraction;
mod generator;

use vfio_core::{
    change::{Draft, Unit},
    host::{Kernels, Memory},
    layout::{ZRAM_GENERATOR, ZRAM_SWAP},
};

pub use error::Error;
pub use fraction::Fraction;

/// The unit that makes the swap where there is no generator for it.
const SERVICE: Unit = Unit {
    name: "deploy-vfio-zram-swap.service",
    text: include_str!("../../assets/deploy-vfio-zram-swap.service"),
};
const PROGRAM: &str = "usr/local/lib/deploy-vfio/zram-swap";
const PROGRAM_TEXT: &str = include_str!("../../assets/zram-swap");
const SYSCTL: &str = "etc/sysctl.d/90-deploy-vfio-zram-swap.conf";
const SYSCTL_TEXT: &str = include_str!("../../assets/zram-swap-sysctl.conf");

/// How much a device must be able to take to be worth it, in KiB: 64 MiB.
const LEAST_KIB: u64 = 64 << 10;
/// From so much memory on, in KiB, a quarter of it is the default: 16 GiB.
const MUCH_KIB: u64 = 16 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Swap in a part of the memory.
    Swap {
        /// The part; `None` for the usual one, see [`usual`].
        fraction: Option<Fraction>,
        /// Whether to do it where somebody else's zram swap is in use.
        force: bool,
    },
    /// None of ours.
    Off,
}

/// What a fraction comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The fraction.
    pub fraction: Fraction,
    /// The memory that huge pages leave, in KiB.
    pub left_kib: u64,
    /// The memory that the device may take, in KiB: the fraction of it.
    pub limit_kib: u64,
    /// The size of the swap, in KiB: twice that.
    pub swap_kib: u64,
}

impl Sizes {
    /// Reckons with `memory`, of which huge pages take `reserved_kib`.
    #[must_use]
    pub fn of(memory: &Memory, reserved_kib: u64, fraction: Option<Fraction>) -> Self {
        let left_kib = memory.total_kib.saturating_sub(reserved_kib);
        let fraction = fraction.unwrap_or_else(|| usual(left_kib));
        let limit_kib = fraction.of(left_kib);
        Self { fraction, left_kib, limit_kib, swap_kib: limit_kib.saturating_mul(2) }
    }
}

/// The fraction where none is asked for: half of little memory, a quarter from 16 GiB on.
#[must_use]
pub fn usual(left_kib: u64) -> Fraction {
    if left_kib >= MUCH_KIB { Fraction::QUARTER } else { Fraction::HALF }
}

/// Plans the swap, or takes it away. Huge pages will take `reserved_kib` of the memory.
///
/// # Errors
///
/// No kernel with zram, too little memory for it to matter, somebody else's zram swap in use.
pub fn plan(
    draft: &mut Draft<'_>,
    memory: &Memory,
    kernels: &Kernels,
    reserved_kib: u64,
    request: Request,
) -> Result<(), Error> {
    let (fraction, force) = match request {
        Request::Swap { fraction, force } => (fraction, force),
        Request::Off => {
            remove(draft)?;
            return Ok(());
        }
    };
    have_zram(kernels)?;
    let others = if is_ours(draft)? { Vec::new() } else { in_use(draft)? };
    if !force && !others.is_empty() {
        return Err(Error::InUse(others));
    }
    let sizes = Sizes::of(memory, reserved_kib, fraction);
    if sizes.limit_kib < LEAST_KIB {
        return Err(Error::TooLittle(sizes));
    }
    remove_files(draft);
    if generator::is_usable(draft)? {
        generator::write(draft, &sizes)?;
    } else {
        write(draft, &sizes)?;
        draft.note(format!(
            "every boot makes the swap; `systemctl restart {}` does it now",
            SERVICE.name
        ));
    }
    draft.write(SYSCTL, SYSCTL_TEXT)?;
    tell(draft, &sizes, &others)
}

/// The files where there is no generator.
fn write(draft: &mut Draft<'_>, sizes: &Sizes) -> Result<(), Error> {
    let text = format!(
        "# Written by `deploy-vfio zram-swap`: the part of the memory without huge pages.\n\
         fraction={}\n",
        sizes.fraction
    );
    draft.write(ZRAM_SWAP, text)?;
    draft.write_executable(PROGRAM, PROGRAM_TEXT)?;
    Ok(SERVICE.enable(draft)?)
}

/// Says what the fraction comes to, and what else uses memory in the same way.
fn tell(draft: &mut Draft<'_>, sizes: &Sizes, others: &[String]) -> Result<(), Error> {
    let Sizes { fraction, left_kib, limit_kib, swap_kib } = *sizes;
    draft.note(format!(
        "{fraction} of the {} that huge pages leave is {}: at most so much memory holds {} of swap",
        gib(left_kib),
        gib(limit_kib),
        gib(swap_kib)
    ));
    if !others.is_empty() {
        draft.note(format!("zram swap is in use already: {}", others.join(", ")));
    }
    let zswap = draft.root().text("sys/module/zswap/parameters/enabled")?.unwrap_or_default();
    if zswap.trim() == "Y" {
        draft.note(
            "zswap is on and compresses before zram does: `zswap.enabled=0` on the kernel's \
             command line turns it off",
        );
    }
    Ok(())
}

fn gib(kib: u64) -> String {
    let tenths = kib.saturating_mul(10) >> 20;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Takes ours away, and says how to have the memory back at once.
fn remove(draft: &mut Draft<'_>) -> Result<(), Error> {
    let unit = match (draft.bytes(ZRAM_SWAP)?, draft.bytes(ZRAM_GENERATOR)?) {
        (Some(_), _) => SERVICE.name,
        (None, Some(_)) => generator::UNIT,
        (None, None) => return Ok(()),
    };
    remove_files(draft);
    draft.note(format!(
        "`systemctl stop {unit}` beforehand takes the swap away at once; else the next boot does"
    ));
    Ok(())
}

fn remove_files(draft: &mut Draft<'_>) {
    for path in [ZRAM_SWAP, PROGRAM, SYSCTL] {
        draft.remove(path);
    }
    generator::remove(draft);
    SERVICE.disable(draft);
}

/// Whether the swap in use may be ours: it is deployed.
fn is_ours(draft: &Draft<'_>) -> Result<bool, Error> {
    let root = draft.root();
    Ok(root.exists(ZRAM_SWAP)? || root.exists(ZRAM_GENERATOR)?)
}

/// The zram devices that are swapped to now.
fn in_use(draft: &Draft<'_>) -> Result<Vec<String>, Error> {
    let text = draft.root().text("proc/swaps")?.unwrap_or_default();
    let devices = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(devices.filter(|device| device.starts_with("/dev/zram")).map(str::to_owned).collect())
}

/// Refuses where every kernel is known not to have zram.
fn have_zram(kernels: &Kernels) -> Result<(), Error> {
    let without = |config: &std::collections::BTreeMap<String, String>| {
        !config.is_empty() && !config.contains_key("ZRAM")
    };
    let kernels = &kernels.installed;
    if !kernels.is_empty() && kernels.iter().all(|kernel| without(&kernel.config)) {
        return Err(Error::NoZram(kernels.iter().map(|kernel| kernel.release.clone()).collect()));
    }
    Ok(())
}

//! The words of `deploy-vfio hugepages`.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::Failure;
use vfio_core::{change::Draft, host::Machine};
use vfio_hugepages::{PageSize, Request};

use crate::{Wanted, words::one};

/// Huge pages that the kernel reserves at boot.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hugepages {
    /// Page size, `2M` or `1G`
    #[serde(with = "one")]
    pub size: PageSize,
    /// Number of pages
    #[arg(value_parser = count)]
    pub count: u64,
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{}` is not a number of pages", text.escape_debug()))
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Hugepages>,
) -> Result<(), Failure> {
    let request = match wanted {
        Wanted::On(Hugepages { size, count }) => Request::Reserve { size: *size, count: *count },
        Wanted::Off => Request::Off,
    };
    Ok(vfio_hugepages::plan(draft, &machine.cpu, &machine.memory, request)?)
}

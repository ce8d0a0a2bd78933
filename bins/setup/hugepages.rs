//! The words of `deploy-vfio hugepages`.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::Failure;
use vfio_core::{change::Draft, host::Machine};
use vfio_hugepages::{PageSize, Request};

use crate::{Wanted, words::one};

const MORE: &str = "\
Pages are reserved on the kernel's command line, because memory is whole only at boot. At least
4 GiB stay with the host. With a menu of `deploy-vfio multiboot` they are reserved in its entries
only: a normal boot loses no memory.

Examples:
  deploy-vfio hugepages 1G 16
      Reserve 16 GiB in pages of 1 GiB.
  deploy-vfio hugepages 2M 4096 --dry-run
      Show what 8 GiB in pages of 2 MiB would change.
  deploy-vfio hugepages off
      Reserve none.

Files:
  /etc/deploy-vfio/cmdline.d/20-hugepages.conf
      The kernel's parameters.

See also:
  deploy-vfio multiboot";

/// Huge pages that the kernel reserves at boot.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hugepages {
    /// The size of a page
    #[arg(value_name = "2M|1G")]
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

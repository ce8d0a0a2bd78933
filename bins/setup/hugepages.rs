//! The words of `deploy-vfio hugepages`.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::{Failure, Usage};
use vfio_core::{change::Draft, host::Machine};
use vfio_hugepages::{Count, PageSize, Request};

use crate::{
    Wanted,
    words::{maybe, one},
};

const MORE: &str = "\
Pages are reserved on the kernel's command line, because memory is whole only at boot. At least
4 GiB stay with the host. With a menu of `deploy-vfio multiboot` they are reserved in its entries
only: a normal boot loses no memory.

Examples:
  deploy-vfio hugepages 1G 16
      Reserve 16 GiB in pages of 1 GiB.
  deploy-vfio hugepages 2M 4096 --dry-run
      Show what 8 GiB in pages of 2 MiB would change.
  deploy-vfio hugepages 2M 512 --runtime
      Reserve 1 GiB while the system runs, without a reboot.
  deploy-vfio hugepages off
      Reserve none.

Files:
  /etc/deploy-vfio/cmdline.d/20-hugepages.conf
      The kernel's parameters.
  /etc/systemd/system/deploy-vfio-hugepages.service
      The unit that reserves pages without a reboot.

See also:
  deploy-vfio multiboot";

/// Huge pages: how many of which size, and when they are reserved.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hugepages {
    /// The size of a page
    #[arg(value_name = "2M|1G")]
    #[serde(with = "one")]
    pub size: PageSize,
    /// Number of pages
    #[arg(value_parser = number, required_unless_present = "node")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many of them on each NUMA node: `0=4,1=4`
    #[arg(long, value_name = "NODE=COUNT,…")]
    #[serde(default, with = "maybe", skip_serializing_if = "Option::is_none")]
    pub node: Option<Count>,
    /// Reserve pages of 2M while the system runs, without a reboot
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runtime: bool,
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{}` is not a number of pages", text.escape_debug()))
}

impl Hugepages {
    /// So many pages of this size, from two words.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub fn from_words(size: &str, count: &str) -> Result<Self, String> {
        let size = size.parse().map_err(|error: vfio_hugepages::Error| error.to_string())?;
        Ok(Self { size, count: Some(number(count)?), node: None, runtime: false })
    }

    /// What is asked of the feature.
    ///
    /// # Errors
    ///
    /// Words that contradict each other.
    pub(crate) fn request(&self) -> Result<Request, Failure> {
        const HELP: &[&str] = &["deploy-vfio hugepages 1G 16", "deploy-vfio hugepages off"];
        let count = match (&self.node, self.count) {
            (None, None) => return Err(Usage::new("how many pages?", HELP).into()),
            (None, Some(count)) => Count::from(count),
            (Some(count @ Count::Anywhere(_)), _) => {
                let what = format!("`{count}` is not a number of pages for each node, `0=4,1=4`");
                return Err(Usage::new(what, HELP).into());
            }
            (Some(count), total) if total.is_some_and(|total| total != count.total()) => {
                let what = format!("the nodes' pages are {} in all", count.total());
                return Err(Usage::new(what, HELP).into());
            }
            (Some(count), _) => count.clone(),
        };
        match (self.runtime, self.size) {
            (false, size) => Ok(Request::Reserve { size, count }),
            (true, PageSize::M2) => Ok(Request::AtRuntime { count }),
            (true, PageSize::G1) => {
                let help = ["deploy-vfio hugepages 2M 512 --runtime", HELP[0]];
                Err(Usage::new("pages of 1G can only be reserved at boot", &help).into())
            }
        }
    }
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Hugepages>,
) -> Result<(), Failure> {
    let request = wanted.words().map_or(Ok(Request::Off), Hugepages::request)?;
    let (cpu, memory, kernels) = (&machine.cpu, &machine.memory, &machine.kernels);
    Ok(vfio_hugepages::plan(draft, cpu, memory, kernels, &request)?)
}

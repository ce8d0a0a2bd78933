//! The words of `deploy-vfio cpu`: which cores the kernel keeps for guests.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::Failure;
use vfio_core::{CpuList, change::Draft, host::Machine};
use vfio_isolcpus::Request;

use crate::{Wanted, words::maybe};

const MORE: &str = "\
Whole cores go to one side, CPU 0's core always stays with the host. Without options the topology
decides: the host keeps two cores, or one of two or three, and guests get cores that share memory
and cache where there are some. The plan shows the lists, and the XML that pins a guest's virtual
CPUs to them.

Examples:
  deploy-vfio cpu --dry-run
      Show who would get what.
  deploy-vfio cpu --host-cores 4
      Keep four cores for the host.
  deploy-vfio cpu --guest 4-7
      Name the guests' CPUs.
  deploy-vfio cpu off
      Give all CPUs to all again.

Files:
  /etc/deploy-vfio/cmdline.d/30-cpu.conf
      The kernel's parameters.

See also:
  deploy-vfio hugepages
  deploy-vfio multiboot";

/// CPUs kept for guests; at most one of the three says how.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cpu {
    /// How many cores the host keeps, CPU 0's among them
    #[arg(long, value_name = "N", conflicts_with_all = ["guest", "host"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_cores: Option<u32>,
    /// CPUs for guests: `2-7,10-15`; the host has the others
    #[arg(long, value_name = "LIST", conflicts_with = "host")]
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub guest: Option<CpuList>,
    /// CPUs for the host; guests have the others
    #[arg(long, value_name = "LIST")]
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub host: Option<CpuList>,
}

impl Cpu {
    pub(crate) fn request(&self) -> Request {
        match self {
            Self { host_cores: Some(count), .. } => Request::HostCores(*count),
            Self { guest: Some(list), .. } => Request::Guest(list.clone()),
            Self { host: Some(list), .. } => Request::Host(list.clone()),
            _ => Request::Auto,
        }
    }
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Cpu>,
) -> Result<(), Failure> {
    let request = wanted.words().map_or(Request::Off, Cpu::request);
    Ok(vfio_isolcpus::plan(draft, &machine.cpu, &machine.kernels, &request)?)
}

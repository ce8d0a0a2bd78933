//! The words of `deploy-vfio libvirt-hooks` and `deploy-vfio dynamic`: what happens when guests start
//! and stop.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::{Failure, programs};
use vfio_core::change::Draft;
use vfio_post::hook;

use crate::Wanted;

/// The program that libvirt runs, among ours.
pub const HOOK: &str = "vfio-hook";
/// Programs of ours that are no commands: what libvirt runs, and what the engine does.
pub const HELPERS: [&str; 2] = [HOOK, vfio_cli::DEFINER];

const ABOUT_HOOKS: &str = "\
While a guest runs, the host's programs leave the CPUs that it is pinned to, these CPUs run at full
speed, QEMU comes first, and the machine does not sleep; before it starts, memory is put together.
Afterwards everything is as before. Each part can be switched off in the settings, for all guests or
for one, and displays can be told there to show the guest. Programs of your own in a guest's directory
are run.

libvirt waits for all this; nothing of it keeps a guest from starting.

Examples:
  deploy-vfio libvirt-hooks
      All of it; the settings are yours from then on.
  deploy-vfio libvirt-hooks off
      None of it, and no settings.

Files:
  /etc/deploy-vfio/hooks.toml
      The settings; read at every start of a guest.
  /etc/libvirt/hooks/qemu.d/50-deploy-vfio
      What libvirt runs; your own hooks beside it stay.
  /etc/libvirt/hooks/qemu.d/GUEST/OPERATION/SUB-OPERATION/
      Your own programs for one guest, such as win10/prepare/begin/.
  /run/deploy-vfio/guests.json
      What was done for the guests that run now.

See also:
  deploy-vfio dynamic
  deploy-vfio cpu";

const ABOUT_DYNAMIC: &str = "\
The PCI devices that a guest's definition names are taken from their drivers when it starts, and given
back when it stops. Who uses one (a process with the card open, a mounted disk, the default route, the
console) is found first: then the guest does not start, and libvirt says why. Devices that the boot
bound to vfio-pci stay there.

Examples:
  deploy-vfio dynamic
      Devices come and go with guests.
  deploy-vfio dynamic off
      libvirt does as it did.

Files:
  /etc/libvirt/hooks/qemu.d/50-deploy-vfio
      What libvirt runs; your own hooks beside it stay.
  /run/deploy-vfio/guests.json
      What was taken for the guests that run now.

See also:
  deploy-vfio multiboot
  deploy-vfio libvirt-hooks";

/// What is done while guests run.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = ABOUT_HOOKS)]
#[serde(deny_unknown_fields)]
pub struct LibvirtHooks {}

/// Devices that come and go with guests.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = ABOUT_DYNAMIC)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {}

pub(crate) fn plan_hooks(
    draft: &mut Draft<'_>,
    wanted: &Wanted<LibvirtHooks>,
) -> Result<(), Failure> {
    Ok(hook::plan_comforts(draft, program(wanted)?)?)
}

pub(crate) fn plan_dynamic(draft: &mut Draft<'_>, wanted: &Wanted<Dynamic>) -> Result<(), Failure> {
    Ok(hook::plan_devices(draft, program(wanted)?)?)
}

/// What the hook's program holds, where it is wanted.
fn program<T>(wanted: &Wanted<T>) -> Result<Option<Vec<u8>>, Failure> {
    wanted.words().map(|_| programs::content(&programs::helper(None, HOOK)?)).transpose()
}

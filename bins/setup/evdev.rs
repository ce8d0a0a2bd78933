//! The words of `deploy-vfio evdev`: keyboard and mouse for host and guest.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{change::Draft, host::Machine};
use vfio_evdev::{Device, FRAGMENT, Form, Request, Setup, Toggle, Wish};

use crate::{Wanted, declared::DECLARED, for_guest::ForGuest, words::maybe};

const MORE: &str = "\
A guest gets the host's own keyboard and mouse, and a key hands them over and back: a KVM switch
without the box. Devices are told by what they can do and named as udev names them, by model or by
port; what has no such name is left out, and the plan says why. The XML for the guest is printed at
the end. libvirt 7.4 and later need nothing else.

Examples:
  deploy-vfio evdev --dry-run
      Show which devices would be shared, and the guest's XML.
  deploy-vfio evdev
      Share all keyboards and mice; both control keys switch.
  deploy-vfio evdev --toggle scrolllock
      Switch by the scroll lock key.
  deploy-vfio evdev off
      Share nothing.

Files:
  /etc/deploy-vfio/evdev.conf
      The devices and the keys.
  /etc/libvirt/qemu.conf
      For libvirt before 7.4 or with --qemu-conf: which devices QEMU may open.

See also:
  deploy-vfio status";

/// Keyboard and mouse for guests.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Evdev {
    /// Hand over these devices instead of all keyboards and mice; the first keyboard switches
    #[arg(long, value_name = "PATH", num_args = 1..)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<String>,
    /// Keys that switch: `ctrl-ctrl`, `alt-alt`, `shift-shift`, `meta-meta`, `scrolllock`,
    /// `ctrl-scrolllock`
    #[arg(long, value_name = "KEYS")]
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub toggle: Option<Toggle>,
    /// Use QEMU's command line, as libvirt before 7.4 needs: changes qemu.conf, AppArmor's rules
    /// and groups
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub qemu_conf: bool,
    /// Who runs the guests; without it, who called sudo or pkexec
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Evdev {
    fn request(&self, cx: &Context) -> Result<Request, Failure> {
        let Self { device, toggle, qemu_conf, user } = self.clone();
        let user = cx.user(user.as_deref())?;
        let toggle = toggle.unwrap_or_default();
        Ok(Request::Share(Wish { devices: device, toggle, qemu_conf, user }))
    }
}

pub(crate) fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<Evdev>,
) -> Result<Option<ForGuest>, Failure> {
    let declared = draft.bytes(&format!("{DECLARED}/evdev.toml"))?.is_some();
    if declared && draft.bytes(FRAGMENT)?.is_none() {
        let gone = format!("/{FRAGMENT}, which says what of the system's files is ours, is gone");
        let help =
            ["`deploy-vfio undo` takes back what was deployed, and `deploy-vfio log` lists it"];
        return Err(Usage::refused(gone, &help).into());
    }
    let request = match wanted {
        Wanted::On(words) => words.request(cx)?,
        Wanted::Off => Request::Off,
    };
    let setup = vfio_evdev::plan(draft, &machine.inputs, &machine.libvirt, &request)?;
    Ok(setup.map(|setup| for_guest(&setup, machine)))
}

fn for_guest(setup: &Setup, machine: &Machine) -> ForGuest {
    let device = |device: &Device| json!({ "path": device.path, "keyboard": device.keyboard });
    let devices: Vec<Value> = setup.devices.iter().map(device).collect();
    ForGuest {
        feature: "evdev",
        data: json!({ "devices": devices, "toggle": setup.toggle.to_string() }),
        inside: match setup.form {
            Form::Native => "devices",
            Form::CommandLine => "domain",
        },
        xml: vfio_evdev::xml(setup, machine.libvirt.version),
    }
}

//! `deploy-vfio evdev [--device PATH…] [--toggle KEYS] [--qemu-conf] [--user NAME]`, or `off`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use vfio_cli::{Context, Failure, Usage};
use vfio_evdev::{Form, Request, Setup, Toggle, Wish};

#[derive(clap::Args)]
struct Args {
    /// `off` takes everything back
    #[arg(value_name = "off")]
    off: Option<String>,
    /// Hand over these devices instead of all keyboards and mice; the first keyboard switches
    #[arg(long, value_name = "PATH", num_args = 1..)]
    device: Vec<String>,
    /// Keys that switch: `ctrl-ctrl`, `alt-alt`, `shift-shift`, `meta-meta`, `scrolllock`,
    /// `ctrl-scrolllock`
    #[arg(long, value_name = "KEYS")]
    toggle: Option<Toggle>,
    /// Use QEMU's command line, as libvirt before 7.4 needs: changes qemu.conf, AppArmor's rules
    /// and groups
    #[arg(long)]
    qemu_conf: bool,
    /// Who runs the guests; without it, who called sudo or pkexec
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

fn main() -> ExitCode {
    vfio_cli::main("evdev", "Share keyboard and mouse with guests, switched by a key", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let request = request(cx, args)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    let setup = vfio_evdev::plan(&mut draft, &machine.inputs, &machine.libvirt, &request)?;
    let Some(setup) = setup else { return cx.commit(draft, None) };
    let xml = vfio_evdev::xml(&setup, machine.libvirt.version);
    cx.commit_with(draft, None, &data(&setup, &xml))?;
    if !cx.global().json {
        cx.say(match setup.form {
            Form::Native => "For the guest's XML (`virsh edit`), inside <devices>:",
            Form::CommandLine => "For the guest's XML (`virsh edit`), inside <domain>:",
        });
        cx.print(xml.trim_end());
    }
    Ok(())
}

fn request(cx: &Context, args: Args) -> Result<Request, Failure> {
    let Args { off, device, toggle, qemu_conf, user } = args;
    match off.as_deref() {
        None => Ok(Request::Share(Wish {
            devices: device,
            toggle: toggle.unwrap_or_default(),
            qemu_conf,
            user: cx.user(user.as_deref())?,
        })),
        Some("off") if device.is_empty() && toggle.is_none() && !qemu_conf && user.is_none() => {
            Ok(Request::Off)
        }
        Some("off") => {
            Err(Usage::new("`off` takes no other options", &["deploy-vfio evdev off"]).into())
        }
        Some(other) => {
            let what = format!("`{}` means nothing here", other.escape_debug());
            let help =
                ["deploy-vfio evdev", "deploy-vfio evdev --device PATH", "deploy-vfio evdev off"];
            Err(Usage::new(what, &help).into())
        }
    }
}

fn data(setup: &Setup, xml: &str) -> Map<String, Value> {
    let device =
        |device: &vfio_evdev::Device| json!({ "path": device.path, "keyboard": device.keyboard });
    let devices: Vec<Value> = setup.devices.iter().map(device).collect();
    let place = match setup.form {
        Form::Native => "devices",
        Form::CommandLine => "domain",
    };
    let all = [
        ("devices", json!(devices)),
        ("toggle", json!(setup.toggle.to_string())),
        ("xml", json!({ "inside": place, "text": xml })),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

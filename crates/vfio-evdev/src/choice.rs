//! Which devices are handed over, and by which name.

use std::fmt;

use vfio_core::host::{Input, InputKind, Inputs};

use crate::Error;

const DEV: &str = "/dev/input/";

/// A device that guests are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name below `/dev/input` that stays the same over boots.
    pub path: String,
    /// Whether it is a keyboard; everything else is a pointer of some kind.
    pub keyboard: bool,
}

/// A device that stays with the host alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it calls itself.
    pub name: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

/// The devices that `names` names, or all that can be handed over when it is empty; the keyboard
/// whose keys switch is the first. What else is there is listed with the reason.
///
/// # Errors
///
/// A name that will not do; no keyboard to switch by.
pub fn devices(inputs: &Inputs, names: &[String]) -> Result<(Vec<Device>, Vec<LeftOut>), Error> {
    let (mut chosen, left_out) = match names {
        [] => all(inputs),
        names => (named(inputs, names)?, Vec::new()),
    };
    if !chosen.iter().any(|(input, _)| input.kind == InputKind::Keyboard) {
        let mut because: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        if because.is_empty() {
            because.push(match names {
                [] => "no device that is known here has the keys of one".to_owned(),
                _ => "none of the devices that were named is one".to_owned(),
            });
        }
        return Err(Error::NoKeyboard { because });
    }
    // As named, else by the order of the event nodes; a sort that keeps the order of equals.
    chosen.sort_by_key(|(input, _)| {
        let other = input.kind != InputKind::Keyboard;
        (other, !other && names.is_empty() && has_pointer(inputs, input))
    });
    let device = |(input, path): (&Input, String)| Device {
        path,
        keyboard: input.kind == InputKind::Keyboard,
    };
    Ok((chosen.into_iter().map(device).collect(), left_out))
}

/// Leaves out the devices whose paths no list of `qemu.conf` can hold: one that was `named` is an
/// error, and so is to be left without a keyboard.
pub(crate) fn writable(
    inputs: &Inputs,
    devices: &mut Vec<Device>,
    left_out: &mut Vec<LeftOut>,
    named: bool,
) -> Result<(), Error> {
    let why = "libvirt's configuration has no way to write a quotation mark, as in its name";
    let (good, bad): (Vec<_>, Vec<_>) =
        devices.drain(..).partition(|device| !device.path.contains('"'));
    *devices = good;
    for Device { path, .. } in bad {
        if named {
            let instead = devices.iter().map(|device| device.path.clone()).collect();
            return Err(Error::Device { path, why: why.to_owned(), instead });
        }
        let short = path.strip_prefix(DEV).unwrap_or(&path);
        let has = |input: &&Input| input.links.iter().any(|link| link.path == short);
        let name = inputs.devices.iter().find(has).map_or(path.clone(), |input| input.name.clone());
        left_out.push(LeftOut { name, why: why.to_owned() });
    }
    if devices.iter().any(|device| device.keyboard) {
        return Ok(());
    }
    Err(Error::NoKeyboard { because: left_out.iter().map(ToString::to_string).collect() })
}

/// Whether the same piece of hardware is a pointer as well: a keyboard in a gaming mouse has keys
/// that nobody types on.
fn has_pointer(inputs: &Inputs, keyboard: &Input) -> bool {
    keyboard.port.is_some()
        && inputs.devices.iter().any(|other| {
            other.port == keyboard.port
                && other.pci == keyboard.pci
                && other.kind != InputKind::Keyboard
        })
}

fn all(inputs: &Inputs) -> (Vec<(&Input, String)>, Vec<LeftOut>) {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for input in &inputs.devices {
        let touch = "QEMU would make a tablet of what feels fingers; `--device` hands it over";
        let path = match input.kind {
            InputKind::Touch => Err(touch.to_owned()),
            _ => stable(input),
        };
        match path {
            Ok(path) => chosen.push((input, path)),
            Err(why) => left_out.push(LeftOut { name: input.name.clone(), why }),
        }
    }
    (chosen, left_out)
}

/// The name of a device that leads to no other: by model, else by port.
fn stable(input: &Input) -> Result<String, String> {
    let below = |dir: &str| {
        let mut links = input.links.iter().filter(|link| link.path.starts_with(dir));
        links.find(|link| !link.shared)
    };
    if let Some(link) = below("by-id/").or_else(|| below("by-path/")) {
        return Ok(format!("{DEV}{}", link.path));
    }
    Err(match input.links.iter().find(|link| link.shared) {
        Some(link) => format!("another device of the same kind is {DEV}{} as well", link.path),
        None => format!(
            "it has no name below {DEV}by-id or {DEV}by-path; a udev rule with SYMLINK+=\"input/…\" \
             gives it one for `--device`"
        ),
    })
}

fn named<'i>(inputs: &'i Inputs, names: &[String]) -> Result<Vec<(&'i Input, String)>, Error> {
    let mut chosen: Vec<(&Input, String)> = Vec::new();
    for name in names {
        let input = find(inputs, name)?;
        if !chosen.iter().any(|(other, _)| other.event == input.event) {
            chosen.push((input, name.clone()));
        }
    }
    Ok(chosen)
}

fn find<'i>(inputs: &'i Inputs, name: &str) -> Result<&'i Input, Error> {
    let refused = |why: &str, instead: Vec<String>| Error::Device {
        path: name.to_owned(),
        why: why.to_owned(),
        instead,
    };
    let short = name.strip_prefix(DEV).unwrap_or_default();
    if let Some(input) = inputs.devices.iter().find(|input| input.event == short) {
        let why = "the numbers of event nodes change from boot to boot";
        return Err(refused(why, stable(input).ok().into_iter().collect()));
    }
    let numbered = |prefix: &str| {
        let number = short.strip_prefix(prefix);
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if numbered("event") {
        return Err(refused("it is neither keyboard nor mouse", there(inputs)));
    }
    let link = |input: &'i Input| {
        let mut links = input.links.iter().filter(|link| link.path == short);
        links.next().map(|link| (input, link))
    };
    match inputs.devices.iter().find_map(link) {
        Some((input, link)) if link.shared => {
            let why = "another device of the same kind has as much right to that name";
            Err(refused(why, stable(input).ok().into_iter().collect()))
        }
        Some((input, _)) => Ok(input),
        None if numbered("mouse") || numbered("js") || short == "mice" || is_legacy(short) => {
            Err(refused("it is a legacy node, which QEMU cannot read", there(inputs)))
        }
        None => Err(refused("no keyboard or mouse has that name", there(inputs))),
    }
}

/// udev's names of `mouse0` and its like lack the word that those of event nodes have.
fn is_legacy(name: &str) -> bool {
    name.starts_with("by-") && !name.contains("-event")
}

fn there(inputs: &Inputs) -> Vec<String> {
    inputs.devices.iter().filter_map(|input| stable(input).ok()).collect()
}

#[cfg(test)]
mod tests {
    use vfio_core::host::Link;

    use super::*;

    /// A device on a USB port, with its links; a `!` before one says that it is shared.
    fn input(event: u32, kind: InputKind, port: &str, links: &[&str]) -> Input {
        let link = |path: &&str| match path.strip_prefix('!') {
            Some(path) => Link { path: path.to_owned(), shared: true },
            None => Link { path: (*path).to_owned(), shared: false },
        };
        Input {
            name: format!("device {event}"),
            kind,
            pci: None,
            event: format!("event{event}"),
            port: (!port.is_empty()).then(|| port.to_owned()),
            serial: None,
            links: links.iter().map(link).collect(),
        }
    }

    use InputKind::{Keyboard, Pointer, Tablet, Touch};

    fn chosen(inputs: &[Input], names: &[&str]) -> Result<Vec<String>, Error> {
        let inputs = Inputs { devices: inputs.to_vec() };
        let names: Vec<String> = names.iter().map(|name| format!("/dev/input/{name}")).collect();
        let (devices, _) = devices(&inputs, &names)?;
        Ok(devices.into_iter().map(|d| d.path.replace("/dev/input/", "")).collect())
    }

    #[test]
    fn b40_each_device_is_there_once_and_by_no_number() {
        let inputs = [
            input(3, Pointer, "1-2", &["by-id/m-event-mouse", "by-path/m", "my-mouse"]),
            input(4, Keyboard, "1-1", &["by-id/k-event-kbd", "by-path/k-event-kbd"]),
            input(5, Tablet, "", &["by-path/t"]),
        ];
        let wanted = ["by-id/k-event-kbd", "by-id/m-event-mouse", "by-path/t"];
        assert_eq!(chosen(&inputs, &[]).unwrap(), wanted);
        let named = ["my-mouse", "by-id/m-event-mouse", "by-path/k-event-kbd"];
        assert_eq!(chosen(&inputs, &named).unwrap(), ["by-path/k-event-kbd", "my-mouse"]);
    }

    #[test]
    fn b40_no_event_numbers() {
        let inputs = [input(4, Keyboard, "1-1", &["by-id/k-event-kbd"])];
        let error = chosen(&inputs, &["event4"]).unwrap_err();
        let Error::Device { why, instead, .. } = &error else { panic!("{error:?}") };
        assert!(why.contains("boot to boot"));
        assert_eq!(*instead, ["/dev/input/by-id/k-event-kbd"]);
        assert!(chosen(&inputs, &["event40"]).is_err());
    }

    #[test]
    fn b41_no_legacy_nodes() {
        let inputs = [input(4, Keyboard, "1-1", &["by-id/k-event-kbd"])];
        for name in ["mouse0", "mice", "js0", "by-id/usb-A-mouse", "by-path/pci-kbd"] {
            let error = chosen(&inputs, &[name]).unwrap_err();
            let Error::Device { why, .. } = &error else { panic!("{error:?}") };
            assert!(why.contains("legacy"), "{name}: {why}");
        }
    }

    #[test]
    fn b41a_twins_go_by_their_port_and_without_any_name_not_at_all() {
        let inputs = [
            input(1, Keyboard, "1-1", &["!by-id/k-event-kbd", "by-path/1-event-kbd"]),
            input(2, Keyboard, "1-2", &["by-path/2-event-kbd"]),
            input(3, Pointer, "", &[]),
            input(4, Pointer, "1-3", &["!by-path/3-event-mouse"]),
        ];
        let wanted = ["by-path/1-event-kbd", "by-path/2-event-kbd"];
        assert_eq!(chosen(&inputs, &[]).unwrap(), wanted);
        let all = Inputs { devices: inputs.to_vec() };
        let left: Vec<String> =
            devices(&all, &[]).unwrap().1.iter().map(|l| l.to_string()).collect();
        assert!(left[0].starts_with("device 3: it has no name below"), "{left:?}");
        assert!(left[1].starts_with("device 4: another device of the same kind"), "{left:?}");
        let error = chosen(&inputs, &["by-id/k-event-kbd"]).unwrap_err();
        let Error::Device { instead, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*instead, ["/dev/input/by-path/1-event-kbd"]);
    }

    #[test]
    fn b46_the_keyboard_that_people_type_on_switches() {
        let inputs = [
            input(1, Keyboard, "1-3", &["by-id/gaming-mouse-if01-event-kbd"]),
            input(2, Pointer, "1-3", &["by-id/gaming-mouse-event-mouse"]),
            input(3, Keyboard, "1-1", &["by-id/k-event-kbd"]),
        ];
        assert_eq!(chosen(&inputs, &[]).unwrap()[0], "by-id/k-event-kbd");
        let named = ["by-id/gaming-mouse-if01-event-kbd", "by-id/k-event-kbd"];
        assert_eq!(chosen(&inputs, &named).unwrap(), named, "who names them decides");
    }

    #[test]
    fn without_a_keyboard_nothing_is_shared() {
        let touch = input(1, Touch, "", &["by-path/t"]);
        let error = chosen(std::slice::from_ref(&touch), &[]).unwrap_err();
        assert!(matches!(&error, Error::NoKeyboard { because } if because.len() == 1));
        assert!(matches!(chosen(&[touch], &["by-path/t"]), Err(Error::NoKeyboard { .. })));
        assert!(matches!(chosen(&[], &[]), Err(Error::NoKeyboard { .. })));
    }
}

//! What a guest's definition needs.

use std::fmt::Write;

use vfio_core::host::Version;

use crate::{Device, Form, Setup};

/// The first libvirt that can be told by which keys to switch.
pub(crate) const GRAB_TOGGLE: Version = Version { major: 7, minor: 6, patch: 0 };

const NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// The elements of libvirt's XML that give a guest the devices of `setup`: for the inside of
/// `<devices>`, or for [`Form::CommandLine`] for the inside of `<domain>`.
///
/// `libvirt` is the version that will read them, if that is known.
#[must_use]
pub fn xml(setup: &Setup, libvirt: Option<Version>) -> String {
    match setup.form {
        Form::Native => native(setup, libvirt.is_none_or(|version| version >= GRAB_TOGGLE)),
        Form::CommandLine => command_line(setup),
    }
}

/// Each device, and whether it is the keyboard whose keys switch.
fn marked(setup: &Setup) -> impl Iterator<Item = (&Device, bool)> {
    let master = setup.devices.iter().position(|device| device.keyboard);
    setup.devices.iter().enumerate().map(move |(at, device)| (device, Some(at) == master))
}

fn native(setup: &Setup, with_toggle: bool) -> String {
    let mut xml = String::new();
    for (device, is_master) in marked(setup) {
        let path = escaped(&device.path);
        let mut grab = String::new();
        if is_master {
            grab += " grab='all' repeat='on'";
            if with_toggle {
                let _ = write!(grab, " grabToggle='{}'", setup.toggle);
            }
        }
        let _ = write!(xml, "<input type='evdev'>\n  <source dev='{path}'{grab}/>\n</input>\n");
    }
    xml
}

fn command_line(setup: &Setup) -> String {
    let mut xml = format!("<qemu:commandline xmlns:qemu='{NAMESPACE}'>\n");
    for (number, (device, is_master)) in (1..).zip(marked(setup)) {
        // QEMU reads a doubled comma as one that separates nothing.
        let path = device.path.replace(',', ",,");
        let mut object = format!("input-linux,id=evdev{number},evdev={path}");
        if is_master {
            let _ = write!(object, ",grab_all=on,repeat=on,grab-toggle={}", setup.toggle);
        }
        for argument in ["-object", &object] {
            let _ = writeln!(xml, "  <qemu:arg value='{}'/>", escaped(argument));
        }
    }
    xml + "</qemu:commandline>\n"
}

/// Text as an attribute holds it. Characters that XML has none for are not in names that
/// [`crate::devices`] returns.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&apos;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Toggle;

    fn setup(form: Form, paths: &[(&str, bool)]) -> Setup {
        let device = |(path, keyboard): &(&str, bool)| Device {
            path: format!("/dev/input/by-id/{path}"),
            keyboard: *keyboard,
        };
        let devices = paths.iter().map(device).collect();
        Setup { form, toggle: Toggle::ScrollLock, devices, ..Setup::default() }
    }

    const PATHS: &[(&str, bool)] = &[("k", true), ("k2", true), ("m", false)];

    #[test]
    fn b46_only_one_keyboard_grabs_and_says_by_which_keys() {
        assert_eq!(
            xml(&setup(Form::Native, PATHS), None),
            "<input type='evdev'>\n  <source dev='/dev/input/by-id/k' grab='all' repeat='on' \
             grabToggle='scrolllock'/>\n</input>\n\
             <input type='evdev'>\n  <source dev='/dev/input/by-id/k2'/>\n</input>\n\
             <input type='evdev'>\n  <source dev='/dev/input/by-id/m'/>\n</input>\n"
        );
        let old = "7.5.0".parse().ok();
        assert!(!xml(&setup(Form::Native, PATHS), old).contains("grabToggle"));
    }

    #[test]
    fn b40_for_old_libvirt_each_device_is_one_object_with_its_own_id() {
        assert_eq!(
            xml(&setup(Form::CommandLine, &[("k", true), ("m,1", false)]), None),
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  \
             <qemu:arg value='-object'/>\n  \
             <qemu:arg value='input-linux,id=evdev1,evdev=/dev/input/by-id/k,grab_all=on,\
             repeat=on,grab-toggle=scrolllock'/>\n  \
             <qemu:arg value='-object'/>\n  \
             <qemu:arg value='input-linux,id=evdev2,evdev=/dev/input/by-id/m,,1'/>\n\
             </qemu:commandline>\n"
        );
    }

    #[test]
    fn a_hostile_name_stays_inside_its_attribute() {
        let hostile = setup(Form::Native, &[("'/><x a=\"&", true)]);
        assert!(xml(&hostile, None).contains("/by-id/&apos;/&gt;&lt;x a=&quot;&amp;' grab="));
    }
}

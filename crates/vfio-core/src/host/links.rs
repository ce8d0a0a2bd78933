//! The names below `/dev/input` that lead to event nodes, and which of them are one device's alone.
//!
//! udev makes them (`60-persistent-input.rules`): below `by-id` from the model, the serial number
//! and the interface, below `by-path` from the port. Two devices with the same of these want the
//! same name, and whichever came last at this boot has it: such a name is shared.

use crate::{
    Root,
    host::{
        attr::{names, real, text, visible},
        input::{Input, InputKind},
    },
};

const INPUT: &str = "dev/input";

/// A symbolic link below `/dev/input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Relative to `/dev/input`: `by-id/usb-…-event-kbd`.
    pub path: String,
    /// Whether another device has as much right to the name, so that it may lead there next time.
    pub shared: bool,
}

/// Where a device sits: what udev makes its names from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// The USB interface, or the device above the input device elsewhere; a path in sysfs.
    place: String,
    usb: Option<Usb>,
}

/// The USB hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usb {
    port: String,
    interface: String,
    vendor: Option<String>,
    product: Option<String>,
    serial: Option<String>,
}

impl Seat {
    /// `real` is where the input device is below `sys/devices`.
    pub(super) fn read(root: &Root, real: &str) -> Self {
        let parts: Vec<&str> = real.split('/').collect();
        let interface = parts.iter().rposition(|part| is_interface(part));
        let Some((at, (port, interface))) =
            interface.and_then(|at| Some((at, parts[at].split_once(':')?)))
        else {
            let place = real.rsplit_once("/input/").map_or(real, |(place, _)| place);
            return Self { place: place.to_owned(), usb: None };
        };
        let hardware = parts[..at].join("/");
        let attribute = |name: &str| text(root, &format!("{hardware}/{name}"));
        let usb = Usb {
            port: port.to_owned(),
            interface: interface.to_owned(),
            vendor: attribute("idVendor"),
            product: attribute("idProduct"),
            serial: attribute("serial").map(|s| encoded(&s)).filter(|s| !s.is_empty()),
        };
        Self { place: parts[..=at].join("/"), usb: Some(usb) }
    }

    pub(super) fn port(&self) -> Option<String> {
        self.usb.as_ref().map(|usb| usb.port.clone())
    }

    pub(super) fn serial(&self) -> Option<String> {
        self.usb.as_ref()?.serial.clone()
    }

    /// Whether udev makes the same name below `by-id` of both.
    fn has_id_of(&self, other: &Self) -> bool {
        let id = |usb: &Usb| Usb { port: String::new(), ..usb.clone() };
        let (Some(one), Some(two)) = (&self.usb, &other.usb) else { return false };
        id(one) == id(two)
    }
}

/// `1-4.2:1.0`: port, configuration and interface.
fn is_interface(part: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = |text: &str, at: char| text.split(at).all(number);
    let Some((port, interface)) = part.split_once(':') else { return false };
    let Some((bus, ports)) = port.split_once('-') else { return false };
    number(bus) && numbers(ports, '.') && numbers(interface, '.')
}

/// A serial number as udev puts it into names.
fn encoded(serial: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c);
    let words: Vec<&str> = serial.split_whitespace().collect();
    words.join("_").chars().map(|c| if kept(c) { c } else { '_' }).collect()
}

/// Gives each device its links.
pub(super) fn assign(root: &Root, devices: &mut [Input], seats: &[(Input, Seat)]) {
    for (path, event) in all(root) {
        let Some(at) = devices.iter().position(|device| device.event == event) else { continue };
        let (kind, seat) = (class(devices[at].kind), &seats[at].1);
        let others = seats.iter().enumerate().filter(|(other, _)| *other != at);
        let mut rivals = others.filter(|(_, (other, _))| class(other.kind) == kind);
        let shared = rivals.any(|(_, (_, other))| match path.split('/').next() {
            Some("by-id") => seat.has_id_of(other),
            Some("by-path") => seat.place == other.place,
            _ => false,
        });
        devices[at].links.push(Link { path, shared });
    }
}

/// What the name of a device of this kind ends in.
fn class(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Keyboard => "kbd",
        InputKind::Pointer | InputKind::Tablet | InputKind::Touch => "mouse",
    }
}

/// Every link below `/dev/input` to an event node, sorted, and the node's name.
fn all(root: &Root) -> Vec<(String, String)> {
    let is_plain = |name: &String| visible(name) == *name && !name.contains('\u{fffd}');
    let mut paths = Vec::new();
    for name in names(root, INPUT).into_iter().filter(is_plain) {
        let below = names(root, &format!("{INPUT}/{name}")).into_iter().filter(is_plain);
        paths.extend(below.map(|below| format!("{name}/{below}")));
        paths.push(name);
    }
    paths.sort();
    let event = |path: &String| {
        let at = format!("{INPUT}/{path}");
        root.link(&at).ok().flatten()?;
        real(root, &at)?.strip_prefix("dev/input/").map(str::to_owned)
    };
    paths.into_iter().filter_map(|path| Some((path.clone(), event(&path)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_usb_interface() {
        for part in ["1-1:1.0", "3-4.2.1:1.12"] {
            assert!(is_interface(part), "{part}");
        }
        for part in ["", ":", "1-1", "0003:046D:C31C.0001", "0000:00:14.0", "1-:1.0", "a-1:1.0"] {
            assert!(!is_interface(part), "{part}");
        }
    }

    #[test]
    fn a_serial_number_is_written_as_udev_does() {
        assert_eq!(encoded(" AB  12/\u{e9}\n"), "AB_12__");
    }
}

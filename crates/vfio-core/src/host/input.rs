//! Keyboards and mice, told by what they can do, the controllers that they hang on, and the names
//! below `/dev/input` that stay theirs over boots.

use crate::{
    Address, Result, Root,
    host::{
        attr::{addresses, clean, numbered, real, text},
        links::{self, Link},
    },
};

const INPUT: &str = "sys/class/input";

/// What an input device is, by its event capabilities, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputKind {
    /// Has the letter keys.
    Keyboard,
    /// Has relative axes and a left button: a mouse, a trackball.
    Pointer,
    /// Has absolute axes and a pen or mouse buttons: a pen tablet, a virtual machine's pointer.
    Tablet,
    /// Feels fingers: a touchpad or touch screen.
    Touch,
}

/// One keyboard or mouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What it calls itself.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
    /// The PCI device of its controller (USB, I²C, …); `None` for PS/2 and virtual devices, and
    /// for Bluetooth where a daemon speaks for the keyboard (`uhid`).
    pub pci: Option<Address>,
    /// Its event node (`event3`): not stable over boots.
    pub event: String,
    /// The USB port (`1-4.2`) of the piece of hardware that it is part of.
    pub port: Option<String>,
    /// The serial number of that hardware as udev writes it; no snapshot has it.
    pub serial: Option<String>,
    /// The symbolic links below `/dev/input` that lead to it, sorted.
    pub links: Vec<Link>,
}

/// All keyboards and mice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The devices, by event node.
    pub devices: Vec<Input>,
}

impl Inputs {
    /// Reads `/sys/class/input` and the links below `/dev/input`; none when no input device is
    /// known.
    pub fn read(root: &Root) -> Result<Self> {
        let events = numbered(root, INPUT, "event").into_iter();
        let found: Vec<_> = events.filter_map(|(_, event)| device(root, event)).collect();
        let mut devices: Vec<Input> = found.iter().map(|(input, _)| input.clone()).collect();
        links::assign(root, &mut devices, &found);
        Ok(Self { devices })
    }

    /// The keyboards that hang on the controller at `address`.
    pub fn keyboards_on(&self, address: Address) -> impl Iterator<Item = &Input> {
        self.keyboards().filter(move |input| input.pci == Some(address))
    }

    /// All keyboards.
    pub fn keyboards(&self) -> impl Iterator<Item = &Input> {
        self.devices.iter().filter(|input| input.kind == InputKind::Keyboard)
    }
}

/// A keyboard or mouse without its links, and where it sits.
fn device(root: &Root, event: String) -> Option<(Input, links::Seat)> {
    let dir = format!("{INPUT}/{event}/device");
    let bits = |name| Bits::parse(&text(root, &format!("{dir}/capabilities/{name}"))?);
    let bits = |name| bits(name).unwrap_or_default();
    let kind = kind(&bits("ev"), &bits("key"), &bits("rel"), &bits("abs"))?;
    let name = clean(&text(root, &format!("{dir}/name")).unwrap_or_default());
    let real = real(root, &dir).unwrap_or_default();
    let seat = links::Seat::read(root, &real);
    let (pci, links) = (addresses(&real).pop(), Vec::new());
    let (port, serial) = (seat.port(), seat.serial());
    Some((Input { name, kind, pci, event, port, serial, links }, seat))
}

// Event types, axes and keys of `include/uapi/linux/input-event-codes.h`.
const EV_KEY: usize = 0x01;
const EV_REL: usize = 0x02;
const EV_ABS: usize = 0x03;
const REL_X: usize = 0x00;
const ABS_X: usize = 0x00;
const BTN_LEFT: usize = 0x110;
const BTN_TOOL_PEN: usize = 0x140;
const BTN_TOOL_FINGER: usize = 0x145;
const BTN_TOUCH: usize = 0x14a;
const BTN_STYLUS: usize = 0x14b;
/// `KEY_Q`–`KEY_P`, `KEY_A`–`KEY_L`, `KEY_Z`–`KEY_M`.
const LETTERS: [std::ops::RangeInclusive<usize>; 3] = [16..=25, 30..=38, 44..=50];

/// In the order in which udev asks (`udev-builtin-input_id.c`).
fn kind(ev: &Bits, key: &Bits, rel: &Bits, abs: &Bits) -> Option<InputKind> {
    if !ev.has(EV_KEY) {
        return None;
    }
    let moves = ev.has(EV_REL) && rel.has(REL_X) && key.has(BTN_LEFT);
    let points = ev.has(EV_ABS) && abs.has(ABS_X);
    if LETTERS.into_iter().flatten().all(|letter| key.has(letter)) {
        Some(InputKind::Keyboard)
    } else if moves {
        Some(InputKind::Pointer)
    } else if points && (key.has(BTN_TOOL_PEN) || key.has(BTN_STYLUS)) {
        Some(InputKind::Tablet)
    } else if points && key.has(BTN_TOOL_FINGER) {
        Some(InputKind::Touch)
    } else if points && key.has(BTN_LEFT) {
        Some(InputKind::Tablet)
    } else {
        (points && key.has(BTN_TOUCH)).then_some(InputKind::Touch)
    }
}

/// A bitmap as the input layer prints it: hexadecimal words of 64 bits, the highest first.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn parse(text: &str) -> Option<Self> {
        let words = text.split_whitespace().rev();
        words.map(|word| u64::from_str_radix(word, 16).ok()).collect::<Option<_>>().map(Self)
    }

    fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    const LETTER_KEYS: &str = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe";

    /// An input device that is part of the device at `under`.
    fn device(tree: Tree, number: u32, under: &str, capabilities: [&str; 4]) -> Tree {
        let real = format!("sys/devices/{under}/input/input{number}");
        let event = format!("event{number}");
        let tree =
            ["ev", "key", "rel", "abs"].iter().zip(capabilities).fold(tree, |tree, (n, c)| {
                tree.file(&format!("{real}/capabilities/{n}"), format!("{c}\n"))
            });
        tree.file(&format!("{real}/name"), b"A \xff\x1b[1m name\n")
            .link(&format!("{real}/{event}/device"), "..")
            .link(&format!("sys/class/input/{event}"), &format!("../../../{real}/{event}"))
    }

    #[test]
    fn b41_devices_are_told_by_what_they_can_do() {
        use InputKind::{Keyboard, Pointer, Tablet, Touch};
        let abs = ["b", "1f0000 0 0 0 0", "0", "3"];
        for (what, capabilities, kind) in [
            ("keyboard", ["120013", LETTER_KEYS, "0", "0"], Some(Keyboard)),
            // The media keys of a keyboard, in a node of their own.
            ("consumer control", ["1f", "3f000301ff 0 0 0 0 0 0 0", "1040", "0"], None),
            ("mouse", ["17", "1f0000 0 0 0 0", "903", "0"], Some(Pointer)),
            // The second node of a gaming mouse: its keys can be any.
            ("keyboard of a gaming mouse", ["100013", LETTER_KEYS, "0", "0"], Some(Keyboard)),
            ("keyboard with a trackball", ["17", LETTER_KEYS, "3", "0"], Some(Keyboard)),
            ("touchpad", ["b", "e520 10000 0 0 0 0", "0", "2608000 3"], Some(Touch)),
            ("touch screen", ["b", "400 0 0 0 0 0", "0", "260800000000003"], Some(Touch)),
            ("pen tablet", ["b", "1c03 0 0 0 0 0", "0", "1000003"], Some(Tablet)),
            ("virtual machine's tablet", abs, Some(Tablet)),
            ("power button", ["3", "10000000000000 0", "0", "0"], None),
            ("lid", ["21", "0", "0", "0"], None),
            ("gamepad", ["20000b", "7cdb000000000000 0 0 0 0", "0", "3003f"], None),
            ("loudspeaker", ["40001", "0", "0", "0"], None),
            ("nonsense", ["junk", "", "-1", "\u{fffd}"], None),
        ] {
            let [ev, key, rel, abs] = capabilities.map(|c| Bits::parse(c).unwrap_or_default());
            assert_eq!(super::kind(&ev, &key, &rel, &abs), kind, "{what}");
        }
    }

    #[test]
    fn reads_all_event_nodes_and_their_controllers() {
        let usb = "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/0003:046D:C31C.0001";
        let i2c = "pci0000:00/0000:00:15.1/i2c_designware.1/i2c-1/i2c-ELAN:00";
        let tree = device(Tree::new(), 10, usb, ["120013", LETTER_KEYS, "0", "0"]);
        let tree = device(tree, 2, "platform/i8042/serio0", ["120013", LETTER_KEYS, "0", "0"]);
        let tree = device(tree, 3, usb, ["17", "1f0000 0 0 0 0", "903", "0"]);
        let tree = device(tree, 4, i2c, ["b", "e520 10000 0 0 0 0", "0", "2608000 3"]);
        let tree = device(tree, 5, "LNXSYSTM:00/LNXPWRBN:00", ["3", "10000000000000 0", "0", "0"]);
        let tree = device(tree, 6, usb, ["junk", "", "0", "0"]);
        let tree = tree.link("sys/class/input/event7", "gone").dir("sys/class/input/mouse0");
        let inputs = Inputs::read(&tree.root()).unwrap();
        let found: Vec<_> = inputs
            .devices
            .iter()
            .map(|i| (i.event.as_str(), i.kind, i.pci.map(|a| a.to_string()).unwrap_or_default()))
            .collect();
        let key = InputKind::Keyboard;
        assert_eq!(
            found,
            [
                ("event2", key, String::new()),
                ("event3", InputKind::Pointer, "0000:00:14.0".into()),
                ("event4", InputKind::Touch, "0000:00:15.1".into()),
                ("event10", key, "0000:00:14.0".into()),
            ]
        );
        assert_eq!(inputs.devices[0].name, "A \u{fffd}[1m name");
        assert_eq!(inputs.devices[3].port.as_deref(), Some("1-1"));
        assert_eq!(inputs.keyboards_on("0000:00:14.0".parse().unwrap()).count(), 1);
    }

    fn links(tree: &Tree, event: &str) -> Vec<(String, bool)> {
        let inputs = Inputs::read(&tree.root()).unwrap();
        let input = inputs.devices.into_iter().find(|input| input.event == event).unwrap();
        input.links.into_iter().map(|link| (link.path, link.shared)).collect()
    }

    fn node(tree: Tree, event: &str, names: &[&str]) -> Tree {
        let tree = tree.file(&format!("dev/input/{event}"), "");
        names.iter().fold(tree, |tree, name| {
            let target = if name.contains('/') { format!("../{event}") } else { event.to_owned() };
            tree.link(&format!("dev/input/{name}"), &target)
        })
    }

    const KEYBOARD: [&str; 4] = ["120013", LETTER_KEYS, "0", "0"];
    const MOUSE: [&str; 4] = ["17", "1f0000 0 0 0 0", "903", "0"];

    #[test]
    fn b41_legacy_nodes_lead_to_no_device() {
        let usb = "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/0003:1:2.1";
        let tree = device(Tree::new(), 3, usb, MOUSE);
        let tree = node(tree, "event3", &["by-id/usb-A_B-event-mouse", "mine", "by-path/p\u{7}"]);
        let tree = node(tree, "mouse0", &["by-id/usb-A_B-mouse"]).link("dev/input/x", "event9");
        let own = [("by-id/usb-A_B-event-mouse".to_owned(), false), ("mine".to_owned(), false)];
        assert_eq!(links(&tree, "event3"), own);
    }

    #[test]
    fn twins_share_a_name_and_only_one_has_it() {
        let at = |port: &str| format!("pci0000:00/0000:00:14.0/usb1/{port}/{port}:1.0/0003:1:2.1");
        let twin = |tree: Tree, port: &str, serial: &str| {
            let dir = format!("sys/devices/pci0000:00/0000:00:14.0/usb1/{port}");
            let tree = tree.file(&format!("{dir}/idVendor"), "1\n");
            tree.file(&format!("{dir}/idProduct"), "2\n").file(&format!("{dir}/serial"), serial)
        };
        let tree = |first: &str, second: &str| {
            let tree = twin(twin(Tree::new(), "1-1", first), "1-2", second);
            let tree = device(device(tree, 3, &at("1-1"), KEYBOARD), 4, &at("1-2"), KEYBOARD);
            let names = ["by-id/usb-A_B-event-kbd", "by-path/pci-usb-0:2:1.0-event-kbd"];
            let tree = node(tree, "event4", &names);
            node(tree, "event3", &["by-path/pci-usb-0:1:1.0-event-kbd"])
        };
        let shared = |tree: &Tree, event| {
            let all = links(tree, event);
            all.into_iter().filter(|link| link.1).map(|link| link.0).collect::<Vec<_>>()
        };
        for serial in ["", "000\n"] {
            let twins = tree(serial, serial);
            assert_eq!(shared(&twins, "event4"), ["by-id/usb-A_B-event-kbd"], "{serial:?}");
            assert_eq!(shared(&twins, "event3"), Vec::<String>::new());
        }
        assert_eq!(shared(&tree("one", "two"), "event4"), Vec::<String>::new());
    }

    #[test]
    fn two_mice_on_one_receiver_share_their_port_as_well() {
        let at = |n| format!("pci0/0000:00:14.0/usb1/1-1/1-1:1.2/0003:1:2.1/0003:1:3.{n}");
        let tree = device(device(Tree::new(), 3, &at(1), MOUSE), 4, &at(2), MOUSE);
        let tree = device(tree, 5, &at(3), KEYBOARD);
        let tree = node(tree, "event3", &["by-path/pci-usb-0:1:1.2-event-mouse"]);
        let tree = node(tree, "event5", &["by-path/pci-usb-0:1:1.2-event-kbd"]);
        assert!(links(&tree, "event3")[0].1 && !links(&tree, "event5")[0].1);
        assert!(links(&tree, "event4").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-fA-F x+-]*", bit: usize) {
            if let Some(bits) = Bits::parse(&text) {
                bits.has(bit);
            }
        }
    }
}

//! Keyboards and mice, told by what they can do, and the controllers that they hang on.

use crate::{
    Address, Result, Root,
    host::attr::{addresses, clean, numbered, real, text},
};

const INPUT: &str = "sys/class/input";

/// What an input device is, by its event capabilities, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputKind {
    /// Has the letter keys.
    Keyboard,
    /// Has relative axes and a left button, or is a touchpad or tablet.
    Pointer,
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
}

/// All keyboards and mice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The devices, by event node.
    pub devices: Vec<Input>,
}

impl Inputs {
    /// Reads `/sys/class/input`; none when no input device is known.
    pub fn read(root: &Root) -> Result<Self> {
        let input = |(_, event): (u32, String)| {
            let dir = format!("{INPUT}/{event}/device");
            let bits = |name| Bits::parse(&text(root, &format!("{dir}/capabilities/{name}"))?);
            let bits = |name| bits(name).unwrap_or_default();
            let kind = kind(&bits("ev"), &bits("key"), &bits("rel"), &bits("abs"))?;
            let name = clean(&text(root, &format!("{dir}/name")).unwrap_or_default());
            let pci = addresses(&real(root, &dir).unwrap_or_default()).pop();
            Some(Input { name, kind, pci, event })
        };
        Ok(Self { devices: numbered(root, INPUT, "event").into_iter().filter_map(input).collect() })
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

// Event types, axes and keys of `include/uapi/linux/input-event-codes.h`.
const EV_KEY: usize = 0x01;
const EV_REL: usize = 0x02;
const EV_ABS: usize = 0x03;
const REL_X: usize = 0x00;
const ABS_X: usize = 0x00;
const BTN_LEFT: usize = 0x110;
const BTN_TOUCH: usize = 0x14a;
/// `KEY_Q`–`KEY_P`, `KEY_A`–`KEY_L`, `KEY_Z`–`KEY_M`.
const LETTERS: [std::ops::RangeInclusive<usize>; 3] = [16..=25, 30..=38, 44..=50];

fn kind(ev: &Bits, key: &Bits, rel: &Bits, abs: &Bits) -> Option<InputKind> {
    if !ev.has(EV_KEY) {
        return None;
    }
    let moves = ev.has(EV_REL) && rel.has(REL_X) && key.has(BTN_LEFT);
    let points = ev.has(EV_ABS) && abs.has(ABS_X) && (key.has(BTN_TOUCH) || key.has(BTN_LEFT));
    if LETTERS.into_iter().flatten().all(|letter| key.has(letter)) {
        Some(InputKind::Keyboard)
    } else {
        (moves || points).then_some(InputKind::Pointer)
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
    fn tells_devices_by_what_they_can_do() {
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
        let (key, point) = (InputKind::Keyboard, InputKind::Pointer);
        assert_eq!(
            found,
            [
                ("event2", key, String::new()),
                ("event3", point, "0000:00:14.0".into()),
                ("event4", point, "0000:00:15.1".into()),
                ("event10", key, "0000:00:14.0".into()),
            ]
        );
        assert_eq!(inputs.devices[0].name, "A \u{fffd}[1m name");
        assert_eq!(inputs.keyboards_on("0000:00:14.0".parse().unwrap()).count(), 1);
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

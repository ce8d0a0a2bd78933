//! Keyboards and mice, told by what they can do, and the controllers that they hang on.

use crate::Address;

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
    /// The PCI device of its controller (USB, I²C, …); `None` for PS/2, Bluetooth and virtual
    /// devices.
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
    /// The keyboards that hang on the controller at `address`.
    pub fn keyboards_on(&self, address: Address) -> impl Iterator<Item = &Input> {
        self.keyboards().filter(move |input| input.pci == Some(address))
    }

    /// All keyboards.
    pub fn keyboards(&self) -> impl Iterator<Item = &Input> {
        self.devices.iter().filter(|input| input.kind == InputKind::Keyboard)
    }
}

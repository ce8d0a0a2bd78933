//! Which cards stick in which slots: a value that becomes QEMU's arguments.
//!
//! Every slot is a PCI Express root port, so what sits in it has an IOMMU group of its own. Ports exist
//! whether a card is plugged in or not; slot N is always bus N.

use std::path::Path;

/// A computer: its board and its cards.
#[derive(Debug, Clone)]
pub struct Machine {
    /// QEMU's IOMMU device; none when the firmware has it switched off.
    pub iommu: Option<&'static str>,
    /// Firmware instead of the BIOS.
    pub firmware: Option<&'static str>,
    /// QEMU's processor model.
    pub cpu: &'static str,
    /// Number of CPUs, all in one socket.
    pub cpus: u32,
    /// CPUs of a core.
    pub threads: u32,
    /// Whether there is a PS/2 controller, with a keyboard and a mouse.
    pub ps2: bool,
    /// Memory in MiB.
    pub memory: u32,
    /// Slot 1 is the first.
    slots: Vec<Option<Card>>,
    /// Disks besides the one it boots from, as QEMU is told of them.
    more: Vec<String>,
}

/// A card, or what the board itself brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// Graphics the firmware draws on, ids 1234:1111, class 0300.
    BootVga,
    /// Graphics without VGA registers: the same ids 1234:1111, class 0380.
    SecondVga,
    /// Intel 82574L; the number tells several apart. The machine's network hangs on number 0.
    Nic(u8),
    /// A small empty NVMe disk; the number tells several apart.
    Nvme(u8),
    /// A USB controller with a keyboard, the machine's only one where there is no PS/2.
    UsbKeyboard,
    /// A USB controller with a tablet and a mouse.
    UsbPointers,
    /// Intel HD audio with one codec; the number tells several apart.
    Audio(u8),
    /// The virtio disk that the machine boots from.
    BootDisk,
    /// Another virtio disk; its number is in its serial number, `more0`.
    OtherDisk(u8),
}

impl Machine {
    /// Machine A: two graphics cards with identical ids, two NICs with identical ids of which the
    /// first has the default route, an NVMe disk, the keyboard's USB controller, audio, and the
    /// boot disk, in slots 1 to 8 in this order; slot 9 is empty.
    pub fn a() -> Self {
        let cards = [
            Card::BootVga,
            Card::SecondVga,
            Card::Nic(0),
            Card::Nic(1),
            Card::Nvme(0),
            Card::UsbKeyboard,
            Card::Audio(0),
            Card::BootDisk,
        ];
        let mut slots = cards.map(Some).to_vec();
        slots.push(None);
        Self {
            iommu: Some("intel-iommu,intremap=on,caching-mode=on"),
            firmware: None,
            cpu: "Nehalem,+pdpe1gb,+rdtscp",
            cpus: 4,
            threads: 1,
            ps2: false,
            memory: 6144,
            slots,
            more: Vec::new(),
        }
    }

    /// Plugs another disk into a slot after all others.
    pub fn with_disk(self, image: &Path) -> Self {
        self.with(format!("format=raw,cache=unsafe,file={}", image.display()))
    }

    /// The same, with every write kept in `log`.
    pub fn with_recorded_disk(self, image: &Path, log: &Path) -> Self {
        let part = |name: &str, file: &Path| {
            format!("{name}.driver=file,{name}.filename={}", file.display())
        };
        let (image, log) = (part("file", image), part("log", log));
        self.with(format!("driver=blklogwrites,{image},{log},log-sector-size=512"))
    }

    fn with(mut self, disk: String) -> Self {
        let number = u8::try_from(self.more.len()).unwrap_or(u8::MAX);
        self.more.push(disk);
        self.slots.push(Some(Card::OtherDisk(number)));
        self
    }

    /// Moves the card in one slot to another; what was there takes its place.
    pub fn swap(mut self, slot: usize, other: usize) -> Self {
        self.slots.swap(slot - 1, other - 1);
        self
    }

    /// Plugs a card in; what was in that slot goes.
    pub fn plug(mut self, slot: usize, card: Card) -> Self {
        self.slots[slot - 1] = Some(card);
        self
    }

    /// The slot a card is in.
    pub fn slot_of(&self, card: Card) -> Option<usize> {
        self.slots.iter().position(|&other| other == Some(card)).map(|index| index + 1)
    }

    /// A card's PCI address; `None` when it is not plugged in.
    pub fn address_of(&self, card: Card) -> Option<String> {
        Some(format!("0000:{:02x}:00.0", self.slot_of(card)?))
    }

    /// The machine as QEMU's arguments; `disk` is the boot disk's raw image.
    pub fn arguments(&self, disk: &str) -> Vec<String> {
        let mut out = Vec::new();
        let mut add = |option: &str, value: String| out.extend([option.to_owned(), value]);
        add("-machine", format!("q35,i8042={}", if self.ps2 { "on" } else { "off" }));
        add("-cpu", self.cpu.into());
        let (cpus, threads) = (self.cpus, self.threads);
        add("-smp", format!("{cpus},sockets=1,cores={},threads={threads}", cpus / threads));
        add("-m", self.memory.to_string());
        if let Some(firmware) = self.firmware {
            add("-bios", firmware.into());
        }
        // Where none is wanted, AMD's takes the next device number of bus 0 that is free.
        let (first, last) = match self.iommu {
            Some(amd) if amd.starts_with("amd-iommu") => (None, Some(amd)),
            other => (other, None),
        };
        if let Some(iommu) = first {
            add("-device", iommu.into());
        }
        add("-drive", format!("if=none,id=boot,format=raw,cache=unsafe,file={disk}"));
        for (number, disk) in self.more.iter().enumerate() {
            add("-drive", format!("if=none,id=more{number},{disk}"));
        }
        for (slot, card) in (1..).zip(&self.slots) {
            // Devices 1 to 0x1e of bus 0; the firmware numbers buses in this order.
            let port =
                format!("id=port{slot},bus=pcie.0,addr={slot:#x},chassis={slot},slot={slot}");
            add("-device", format!("pcie-root-port,{port}"));
            let place = format!("bus=port{slot},addr=0x0.0");
            for (option, value) in card.iter().flat_map(|card| card.arguments(&place)) {
                add(option, value);
            }
        }
        if let Some(iommu) = last {
            add("-device", iommu.into());
        }
        out
    }
}

impl Card {
    fn arguments(self, place: &str) -> Vec<(&'static str, String)> {
        let device = |text: String| ("-device", text);
        match self {
            Self::BootVga => vec![device(format!("VGA,{place}"))],
            Self::SecondVga => vec![device(format!("secondary-vga,{place}"))],
            Self::Nic(n) => {
                let backend = match n {
                    0 => "user,id=net0".to_owned(),
                    _ => format!("user,id=net{n},restrict=on"),
                };
                let mac = format!("52:54:00:00:00:{n:02x}");
                let card = format!("e1000e,netdev=net{n},mac={mac},romfile=,{place}");
                vec![("-netdev", backend), device(card)]
            }
            Self::Nvme(n) => vec![
                ("-drive", format!("if=none,id=nvme{n},driver=null-co,size=64M,read-zeroes=on")),
                device(format!("nvme,drive=nvme{n},serial=nvme{n},{place}")),
            ],
            Self::UsbKeyboard => vec![
                device(format!("qemu-xhci,id=keyboard,{place}")),
                device("usb-kbd,bus=keyboard.0".into()),
            ],
            Self::UsbPointers => vec![
                device(format!("qemu-xhci,id=pointers,{place}")),
                device("usb-tablet,bus=pointers.0".into()),
                device("usb-mouse,bus=pointers.0".into()),
            ],
            Self::Audio(n) => vec![
                ("-audiodev", format!("none,id=audio{n}")),
                device(format!("intel-hda,id=hda{n},{place}")),
                device(format!("hda-duplex,bus=hda{n}.0,audiodev=audio{n}")),
            ],
            // 1 is first: QEMU gives 0 to a kernel that it boots itself.
            Self::BootDisk => {
                vec![device(format!("virtio-blk-pci,drive=boot,bootindex=1,{place}"))]
            }
            Self::OtherDisk(n) => {
                vec![device(format!("virtio-blk-pci,drive=more{n},serial=more{n},{place}"))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_address_of_its_slot() {
        let nic = |machine: &Machine| machine.address_of(Card::Nic(0));
        assert_eq!(nic(&Machine::a()).as_deref(), Some("0000:03:00.0"));
        assert_eq!(nic(&Machine::a().swap(3, 9)).as_deref(), Some("0000:09:00.0"));
        assert_eq!(Machine::a().address_of(Card::Audio(1)), None);
        let arguments = Machine::a().arguments("disk").join(" ");
        assert!(arguments.contains("VGA,bus=port1,addr=0x0.0"), "{arguments}");
    }
}

//! Machines as tables: one device a line, then what the host does with them.
//!
//! `01:00.0 0300 10de:2484 g14 boot` is address, class, ids, group, and any of `boot` (the
//! firmware's display), `vf=07:00.0` (its physical function), or a driver.

use vfio_core::{
    Address, Cmdline,
    host::{
        Availability, Card, Class, Connector, Device, Initramfs, Input, InputKind, Interface,
        Kernel, Machine, Pci, Usage, Vendor,
    },
};
use vfio_iommu::{Allow, Chosen, Entry, Error, Selection};

/// An address with its domain left out when it is zero.
pub fn at(text: &str) -> Address {
    let full = if text.len() < 10 { format!("0000:{text}") } else { text.to_owned() };
    full.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap()
}

fn device(line: &str) -> Device {
    let mut words = line.split_whitespace();
    let address = at(words.next().unwrap());
    let class = Class(hex(words.next().unwrap()) << 8);
    let (vendor, id) = words.next().unwrap().split_once(':').unwrap();
    let mut device = Device {
        address,
        class,
        vendor: u16::try_from(hex(vendor)).unwrap(),
        device: u16::try_from(hex(id)).unwrap(),
        subsystem: (0, 0),
        driver: None,
        modalias: None,
        group: None,
        boot_vga: (class.kind() == 0x0300).then_some(false),
        parent: None,
        physical: None,
    };
    for word in words {
        match (word, word.strip_prefix("vf="), word.strip_prefix('g')) {
            ("boot", ..) => device.boot_vga = Some(true),
            (_, Some(physical), _) => device.physical = Some(at(physical)),
            (_, _, Some(group)) if group.parse::<u32>().is_ok() => {
                device.group = group.parse().ok()
            }
            (driver, ..) => device.driver = Some(driver.to_owned()),
        }
    }
    device
}

/// A machine with these devices, an Intel processor, initramfs-tools, and no use for any.
pub fn machine(table: &str) -> Machine {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut machine =
        Machine { pci: Pci::from_devices(lines.map(device).collect()), ..Machine::default() };
    machine.cpu.vendor = Vendor::Intel;
    machine.boot.initramfs = Initramfs::InitramfsTools;
    machine
}

/// What the host does with its devices.
pub trait Uses: Sized {
    fn disk(self, on: &str, mounts: &[&str]) -> Self;
    fn route(self, on: &str) -> Self;
    fn keyboard(self, on: Option<&str>, name: &str) -> Self;
    fn screen(self, on: &str, connected: bool) -> Self;
    fn kernel(self, config: &[&str]) -> Self;
    fn cmdline(self, line: &str) -> Self;
    /// A kernel of this release that has vfio-pci and vfio_iommu_type1 like this.
    fn release(self, release: &str, vfio_pci: Availability, vfio_iommu: Availability) -> Self;
    /// Modules for a device, and drivers for it in a kernel's image.
    fn drivers(self, of: &str, modules: &[&str], built_in: &[&str]) -> Self;
}

impl Uses for Machine {
    fn disk(mut self, on: &str, mounts: &[&str]) -> Self {
        self.storage.usages.extend(mounts.iter().map(|mount| Usage {
            mount: (*mount).to_owned(),
            device: "nvme0n1".to_owned(),
            pci: vec![at(on)],
            ..Usage::default()
        }));
        self
    }

    fn route(mut self, on: &str) -> Self {
        let interface =
            Interface { name: "enp5s0".to_owned(), pci: vec![at(on)], default_route: true };
        self.network.interfaces.push(interface);
        self
    }

    fn keyboard(mut self, on: Option<&str>, name: &str) -> Self {
        let event = format!("event{}", self.inputs.devices.len());
        let kind = InputKind::Keyboard;
        self.inputs.devices.push(Input {
            name: name.to_owned(),
            kind,
            pci: on.map(at),
            event,
            port: None,
            serial: None,
            links: Vec::new(),
        });
        self
    }

    fn screen(mut self, on: &str, connected: bool) -> Self {
        let connector = Connector { name: "DP-1".to_owned(), connected, enabled: connected };
        let name = format!("card{}", self.displays.cards.len());
        self.displays.cards.push(Card { name, pci: at(on), connectors: vec![connector] });
        self
    }

    fn kernel(mut self, config: &[&str]) -> Self {
        let config = config.iter().map(|option| ((*option).to_owned(), "y".to_owned())).collect();
        self.kernels.installed.push(Kernel { config, ..Kernel::default() });
        self
    }

    fn cmdline(mut self, line: &str) -> Self {
        self.boot.cmdline = Cmdline::from(line);
        self
    }

    fn release(mut self, release: &str, vfio_pci: Availability, vfio_iommu: Availability) -> Self {
        let release = release.to_owned();
        let kernel = Kernel { release, vfio_pci, vfio_iommu, ..Kernel::default() };
        self.kernels.installed.push(kernel);
        self
    }

    fn drivers(mut self, of: &str, modules: &[&str], built_in: &[&str]) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let detail = self.details.entry(at(of)).or_default();
        (detail.modules, detail.built_in) = (own(modules), own(built_in));
        self
    }
}

/// A desktop: integrated graphics, two cards of one model, two disks, network, USB.
pub fn desktop() -> Machine {
    machine(
        "00:00.0 0600 8086:4660 g0
         00:02.0 0300 8086:4680 g1 i915 boot
         00:01.0 0604 8086:460d g2 pcieport
         01:00.0 0300 10de:2484 g2 nvidia
         01:00.1 0403 10de:228b g2 snd_hda_intel
         00:14.0 0c03 8086:7ae0 g3 xhci_hcd
         00:14.2 0500 8086:7aa7 g3
         00:15.0 0c80 8086:7acc g4 intel-lpss
         00:1f.0 0601 8086:7a84 g5
         00:1f.3 0403 8086:7ad0 g5 snd_hda_intel
         00:1f.4 0c05 8086:7aa3 g5 i801_smbus
         03:00.0 0300 10de:2484 g21 nvidia
         03:00.1 0403 10de:228b g22 snd_hda_intel
         05:00.0 0108 144d:a808 g24 nvme
         06:00.0 0108 144d:a80a g25 nvme
         08:00.0 0200 8086:15f3 g26 igc
         09:00.0 0c03 1912:0014 g27 xhci_hcd",
    )
    .disk("05:00.0", &["/", "swap"])
    .route("08:00.0")
    .keyboard(Some("00:14.0"), "USB Keyboard")
}

pub fn select(machine: &Machine, words: &str, allow: &[Allow]) -> Result<Chosen, Error> {
    vfio_iommu::select(machine, &words.parse::<Selection>().unwrap(), allow)
}

/// The groups that go, or the error in full, as a person reads it.
pub fn groups(machine: &Machine, words: &str, allow: &[Allow]) -> Result<Vec<u32>, String> {
    select(machine, words, allow).map(|chosen| chosen.groups).map_err(|error| explain(&error))
}

/// The entries of a selection that is fine.
pub fn entries(machine: &Machine, words: &str, allow: &[Allow]) -> Vec<Entry> {
    let chosen = select(machine, words, allow).unwrap_or_else(|e| panic!("{}", explain(&e)));
    vfio_iommu::entries(machine, &|device: &Device| device.ids(), &chosen).unwrap()
}

/// One line an entry: the host's display, then what is bound, without domain and ids.
pub fn shown(entries: &[Entry]) -> Vec<String> {
    let short = |address: Address| address.to_string().trim_start_matches("0000:").to_owned();
    let line = |entry: &Entry| {
        let host = entry.host.map_or_else(|| "none".to_owned(), short);
        let bound: Vec<_> = entry.bind.iter().map(|(address, ..)| short(*address)).collect();
        format!("{host}: {}", bound.join(" "))
    };
    entries.iter().map(line).collect()
}

/// An error with its reasons and its help.
pub fn explain(error: &Error) -> String {
    use vfio_core::Advice;
    let because = error.because().into_iter().map(|line| format!("\nbecause: {line}"));
    let help = error.help().into_iter().map(|line| format!("\nhelp: {line}"));
    format!("{error}{}", because.chain(help).collect::<String>())
}

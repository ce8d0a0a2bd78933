//! The way from a machine to the record of its snapshot, and back.

use crate::{
    Address,
    host::{
        Boot, Card, Class, Connector, CoreKind, Cpu, Detail, Device, Displays, HugePages, Input,
        Inputs, Interface, Iommu, Kernel, Kernels, Libvirt, Link, LogicalCpu, Machine, Memory,
        Network, Node, Pci, Storage, Usage,
        attr::visible,
        private,
        record::{self, Hex, Text},
        snapshot::FORMAT,
    },
};

fn word(text: &str) -> Text<String> {
    Text(text.to_owned())
}

fn words<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Text<String>> {
    texts.into_iter().map(|text| word(text)).collect()
}

fn maybe(text: Option<&String>) -> Option<Text<String>> {
    text.map(|text| word(text))
}

fn plain<T, C: FromIterator<T>>(texts: impl IntoIterator<Item = Text<T>>) -> C {
    texts.into_iter().map(|text| text.0).collect()
}

fn texts(addresses: &[Address]) -> Vec<Text<Address>> {
    addresses.iter().copied().map(Text).collect()
}

impl Machine {
    pub(super) fn record(&self) -> record::Snapshot {
        let none = Detail::default();
        let detail = |device: &Device| self.details.get(&device.address).unwrap_or(&none);
        record::Snapshot {
            format: FORMAT,
            pci: self.pci.devices().iter().map(|d| device_record(d, detail(d))).collect(),
            cpu: cpu_record(&self.cpu),
            memory: memory_record(&self.memory),
            kernels: record::Kernels {
                running: maybe(self.kernels.running.as_ref()),
                installed: self.kernels.installed.iter().map(kernel_record).collect(),
            },
            boot: boot_record(&self.boot),
            storage: private::storage(&self.storage).usages.iter().map(usage_record).collect(),
            network: private::network(&self.network).interfaces.iter().map(net_record).collect(),
            displays: self.displays.cards.iter().map(card_record).collect(),
            inputs: self.inputs.devices.iter().map(input_record).collect(),
            libvirt: record::Libvirt {
                version: self.libvirt.version.map(Text),
                qemu: self.libvirt.qemu.map(Text),
                daemon: self.libvirt.daemon.into(),
            },
        }
    }

    pub(super) fn from_record(record: record::Snapshot) -> Self {
        let mut details = std::collections::BTreeMap::new();
        let mut devices = Vec::new();
        for (device, detail) in record.pci.into_iter().map(device) {
            details.insert(device.address, detail);
            devices.push(device);
        }
        Self {
            pci: Pci::from_devices(devices),
            details,
            cpu: cpu(record.cpu),
            memory: memory(record.memory),
            kernels: Kernels {
                running: record.kernels.running.map(|text| text.0),
                installed: record.kernels.installed.into_iter().map(kernel).collect(),
            },
            boot: boot(record.boot),
            storage: Storage { usages: record.storage.into_iter().map(usage).collect() },
            network: Network { interfaces: record.network.into_iter().map(interface).collect() },
            displays: Displays { cards: record.displays.into_iter().map(card).collect() },
            inputs: Inputs { devices: record.inputs.into_iter().map(input).collect() },
            libvirt: Libvirt {
                version: record.libvirt.version.map(|text| text.0),
                qemu: record.libvirt.qemu.map(|text| text.0),
                daemon: record.libvirt.daemon.into(),
            },
        }
    }
}

fn device_record(device: &Device, detail: &Detail) -> record::Device {
    record::Device {
        address: Text(device.address),
        class: Text(Hex(device.class.0)),
        vendor: Text(Hex(device.vendor.into())),
        device: Text(Hex(device.device.into())),
        subsystem_vendor: Text(Hex(device.subsystem.0.into())),
        subsystem_device: Text(Hex(device.subsystem.1.into())),
        name: word(&detail.name),
        driver: maybe(device.driver.as_ref()),
        driver_override: maybe(detail.driver_override.as_ref()),
        modules: words(&detail.modules),
        built_in: words(&detail.built_in),
        modalias: maybe(device.modalias.as_ref()),
        group: device.group,
        boot_vga: device.boot_vga,
        parent: device.parent.map(Text),
        physical: device.physical.map(Text),
        revision: detail.revision,
        numa_node: detail.numa_node,
        reset_methods: words(&detail.reset_methods),
    }
}

fn device(record: record::Device) -> (Device, Detail) {
    // Four hexadecimal digits always fit.
    let id = |text: Text<Hex<4>>| u16::try_from(text.0.0).unwrap_or_default();
    let device = Device {
        address: record.address.0,
        class: Class(record.class.0.0),
        vendor: id(record.vendor),
        device: id(record.device),
        subsystem: (id(record.subsystem_vendor), id(record.subsystem_device)),
        driver: record.driver.map(|text| text.0),
        modalias: record.modalias.map(|text| text.0),
        group: record.group,
        boot_vga: record.boot_vga,
        parent: record.parent.map(|text| text.0),
        physical: record.physical.map(|text| text.0),
    };
    let detail = Detail {
        revision: record.revision,
        driver_override: record.driver_override.map(|text| text.0),
        numa_node: record.numa_node,
        reset_methods: plain(record.reset_methods),
        modules: plain(record.modules),
        built_in: plain(record.built_in),
        name: record.name.0,
    };
    (device, detail)
}

fn cpu_record(cpu: &Cpu) -> record::Cpu {
    let logical = |cpu: &LogicalCpu| record::LogicalCpu {
        number: cpu.number,
        package: cpu.package,
        siblings: Text(cpu.siblings.clone()),
        l3: Text(cpu.l3.clone()),
        node: cpu.node,
        efficiency: cpu.kind == CoreKind::Efficiency,
    };
    record::Cpu {
        vendor: cpu.vendor.into(),
        model: word(&cpu.model),
        flags: Text(cpu.flags.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
        isolated: Text(cpu.isolated.clone()),
        nohz_full: Text(cpu.nohz_full.clone()),
        online: cpu.online.iter().map(logical).collect(),
    }
}

fn cpu(record: record::Cpu) -> Cpu {
    let kind = |efficiency| if efficiency { CoreKind::Efficiency } else { CoreKind::Performance };
    let logical = |cpu: record::LogicalCpu| LogicalCpu {
        number: cpu.number,
        package: cpu.package,
        siblings: cpu.siblings.0,
        l3: cpu.l3.0,
        node: cpu.node,
        kind: kind(cpu.efficiency),
    };
    Cpu {
        vendor: record.vendor.into(),
        model: record.model.0,
        flags: record.flags.0.split_whitespace().map(str::to_owned).collect(),
        isolated: record.isolated.0,
        nohz_full: record.nohz_full.0,
        online: record.online.into_iter().map(logical).collect(),
    }
}

fn memory_record(memory: &Memory) -> record::Memory {
    let page =
        |p: &HugePages| record::HugePages { size_kib: p.size_kib, total: p.total, free: p.free };
    let pages = |pages: &[HugePages]| pages.iter().map(page).collect();
    let node = |node: &Node| record::Node {
        number: node.number,
        total_kib: node.total_kib,
        huge_pages: pages(&node.huge_pages),
    };
    record::Memory {
        total_kib: memory.total_kib,
        available_kib: memory.available_kib,
        hugetlb_kib: memory.hugetlb_kib,
        huge_pages: pages(&memory.huge_pages),
        nodes: memory.nodes.iter().map(node).collect(),
    }
}

fn memory(record: record::Memory) -> Memory {
    let page =
        |p: record::HugePages| HugePages { size_kib: p.size_kib, total: p.total, free: p.free };
    let pages = |pages: Vec<record::HugePages>| pages.into_iter().map(page).collect();
    let node = |node: record::Node| Node {
        number: node.number,
        total_kib: node.total_kib,
        huge_pages: pages(node.huge_pages),
    };
    Memory {
        total_kib: record.total_kib,
        available_kib: record.available_kib,
        hugetlb_kib: record.hugetlb_kib,
        huge_pages: pages(record.huge_pages),
        nodes: record.nodes.into_iter().map(node).collect(),
    }
}

fn kernel_record(kernel: &Kernel) -> record::Kernel {
    record::Kernel {
        release: word(&kernel.release),
        image: word(&kernel.image),
        initrd: maybe(kernel.initrd.as_ref()),
        vfio_pci: kernel.vfio_pci.into(),
        vfio_iommu: kernel.vfio_iommu.into(),
        config: kernel.config.iter().map(|(key, value)| (key.clone(), word(value))).collect(),
    }
}

fn kernel(record: record::Kernel) -> Kernel {
    Kernel {
        release: record.release.0,
        image: record.image.0,
        initrd: record.initrd.map(|text| text.0),
        vfio_pci: record.vfio_pci.into(),
        vfio_iommu: record.vfio_iommu.into(),
        config: record.config.into_iter().map(|(key, value)| (visible(&key), value.0)).collect(),
    }
}

fn boot_record(boot: &Boot) -> record::Boot {
    record::Boot {
        loader: boot.loader.into(),
        grub_drop_ins: boot.grub_drop_ins,
        initramfs: boot.initramfs.into(),
        efi: boot.efi,
        secure_boot: boot.secure_boot,
        cmdline: Text(private::cmdline(&boot.cmdline)),
        iommu_table: maybe(boot.iommu.table.as_ref()),
        iommu_units: words(&boot.iommu.units),
        distribution: words(&boot.distribution),
        system: word(&boot.system),
    }
}

fn boot(record: record::Boot) -> Boot {
    Boot {
        loader: record.loader.into(),
        grub_drop_ins: record.grub_drop_ins,
        initramfs: record.initramfs.into(),
        efi: record.efi,
        secure_boot: record.secure_boot,
        cmdline: record.cmdline.0.as_str().into(),
        iommu: Iommu {
            table: record.iommu_table.map(|text| text.0),
            units: plain(record.iommu_units),
        },
        distribution: plain(record.distribution),
        system: record.system.0,
    }
}

fn usage_record(usage: &Usage) -> record::Usage {
    record::Usage {
        mount: word(&usage.mount),
        device: word(&usage.device),
        pci: texts(&usage.pci),
        passphrase: usage.passphrase,
    }
}

fn usage(record: record::Usage) -> Usage {
    Usage {
        mount: record.mount.0,
        device: record.device.0,
        pci: plain(record.pci),
        passphrase: record.passphrase,
    }
}

fn net_record(interface: &Interface) -> record::Interface {
    record::Interface {
        name: word(&interface.name),
        pci: texts(&interface.pci),
        default_route: interface.default_route,
    }
}

fn interface(record: record::Interface) -> Interface {
    let default_route = record.default_route;
    Interface { name: record.name.0, pci: plain(record.pci), default_route }
}

fn card_record(card: &Card) -> record::Card {
    let connector = |connector: &Connector| record::Connector {
        name: word(&connector.name),
        connected: connector.connected,
        enabled: connector.enabled,
    };
    record::Card {
        name: word(&card.name),
        pci: Text(card.pci),
        connectors: card.connectors.iter().map(connector).collect(),
    }
}

fn card(record: record::Card) -> Card {
    let connector = |connector: record::Connector| Connector {
        name: connector.name.0,
        connected: connector.connected,
        enabled: connector.enabled,
    };
    let connectors = record.connectors.into_iter().map(connector).collect();
    Card { name: record.name.0, pci: record.pci.0, connectors }
}

fn input_record(input: &Input) -> record::Input {
    let links = input.links.iter().filter_map(|link| {
        let path = private::link(&link.path, input.serial.as_deref())?;
        Some(record::Link { path: Text(path), shared: link.shared })
    });
    record::Input {
        name: Text(private::text(&input.name)),
        kind: input.kind.into(),
        pci: input.pci.map(Text),
        event: word(&input.event),
        port: maybe(input.port.as_ref()),
        links: links.collect(),
    }
}

fn input(record: record::Input) -> Input {
    let link = |link: record::Link| Link { path: link.path.0, shared: link.shared };
    Input {
        name: record.name.0,
        kind: record.kind.into(),
        pci: record.pci.map(|text| text.0),
        event: record.event.0,
        port: record.port.map(|text| text.0),
        serial: None,
        links: record.links.into_iter().map(link).collect(),
    }
}

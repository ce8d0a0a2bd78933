//! What a machine snapshot holds, as it stands in JSON: format 2. Format 1 is the same without the
//! fields that have a default.
//!
//! These types are the format. They change only together with the format's number, and never
//! because a fact's own type changed.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    Address, CpuList,
    host::{Version, attr::visible},
};

/// A value that stands in JSON as its text, without what a terminal would obey.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&visible(&self.0.to_string()))
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = visible(&String::deserialize(from)?);
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A number in hexadecimal digits, as many as `WIDTH`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex<const WIDTH: usize>(pub u32);

impl<const WIDTH: usize> fmt::Display for Hex<WIDTH> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0WIDTH$x}", self.0)
    }
}

impl<const WIDTH: usize> FromStr for Hex<WIDTH> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == WIDTH && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| format!("not {WIDTH} hexadecimal digits"))
    }
}

/// Declares a record: every field is written, and none that is not listed is read.
///
/// A field that came later is left out where it says nothing, and may be missing: older snapshots
/// stay as they are.
macro_rules! record {
    ($($(#[$doc:meta])* $name:ident { $($(#[$how:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $($(#[$how])* pub $field: $type,)* }
    )*};
}

type Word = Text<String>;

record! {
    /// The whole snapshot.
    Snapshot {
        format: u32,
        pci: Vec<Device>,
        cpu: Cpu,
        memory: Memory,
        kernels: Kernels,
        boot: Boot,
        storage: Vec<Usage>,
        network: Vec<Interface>,
        displays: Vec<Card>,
        inputs: Vec<Input>,
        #[serde(default)]
        libvirt: Libvirt,
    }
    /// One PCI function with its details.
    Device {
        address: Text<Address>,
        class: Text<Hex<6>>,
        vendor: Text<Hex<4>>,
        device: Text<Hex<4>>,
        subsystem_vendor: Text<Hex<4>>,
        subsystem_device: Text<Hex<4>>,
        name: Word,
        driver: Option<Word>,
        driver_override: Option<Word>,
        modules: Vec<Word>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        built_in: Vec<Word>,
        modalias: Option<Word>,
        group: Option<u32>,
        boot_vga: Option<bool>,
        parent: Option<Text<Address>>,
        physical: Option<Text<Address>>,
        revision: Option<u8>,
        numa_node: Option<u32>,
        reset_methods: Vec<Word>,
    }
    /// The processors.
    Cpu {
        vendor: Vendor,
        model: Word,
        flags: Word,
        isolated: Text<CpuList>,
        nohz_full: Text<CpuList>,
        online: Vec<LogicalCpu>,
    }
    /// One logical processor.
    LogicalCpu {
        number: u32,
        package: u32,
        siblings: Text<CpuList>,
        l3: Text<CpuList>,
        node: Option<u32>,
        efficiency: bool,
    }
    /// The memory, in KiB.
    Memory {
        total_kib: u64,
        available_kib: u64,
        hugetlb_kib: u64,
        huge_pages: Vec<HugePages>,
        nodes: Vec<Node>,
    }
    /// Pages of one size.
    HugePages { size_kib: u64, total: u64, free: u64, }
    /// One NUMA node.
    Node { number: u32, total_kib: u64, huge_pages: Vec<HugePages>, }
    /// The kernels.
    Kernels { running: Option<Word>, installed: Vec<Kernel>, }
    /// One kernel.
    Kernel {
        release: Word,
        image: Word,
        initrd: Option<Word>,
        vfio_pci: Availability,
        vfio_iommu: Availability,
        config: BTreeMap<String, Word>,
    }
    /// How the machine boots.
    Boot {
        loader: Loader,
        grub_drop_ins: bool,
        initramfs: Initramfs,
        efi: bool,
        secure_boot: Option<bool>,
        cmdline: Word,
        iommu_table: Option<Word>,
        iommu_units: Vec<Word>,
        distribution: Vec<Word>,
        system: Word,
    }
    /// A mounted file system or a swap area.
    Usage {
        mount: Word,
        device: Word,
        pci: Vec<Text<Address>>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        passphrase: bool,
    }
    /// A network interface.
    Interface { name: Word, pci: Vec<Text<Address>>, default_route: bool, }
    /// A card with a DRM driver.
    Card { name: Word, pci: Text<Address>, connectors: Vec<Connector>, }
    /// A connector of it.
    Connector { name: Word, connected: bool, enabled: bool, }
    /// A keyboard or pointer.
    Input {
        name: Word,
        kind: InputKind,
        pci: Option<Text<Address>>,
        event: Word,
        #[serde(default)]
        port: Option<Word>,
        #[serde(default)]
        links: Vec<Link>,
    }
    /// A name below `/dev/input` that leads to it.
    Link { path: Word, shared: bool, }
    /// The software that runs guests.
    #[derive(Default)]
    Libvirt { version: Option<Text<Version>>, qemu: Option<Text<Version>>, daemon: Daemon, }
}

/// Declares a choice of words, and its way from and to the fact's own type.
macro_rules! choice {
    ($($name:ident: $fact:path { $($case:ident,)* })*) => {$(
        #[doc = "One word for each case of the fact of the same name."]
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(clippy::enum_variant_names, reason = "the words are those of the facts")]
        pub(super) enum $name { $($case,)* }

        impl From<$fact> for $name {
            fn from(fact: $fact) -> Self {
                use $fact as Fact;
                match fact { $(Fact::$case => Self::$case,)* }
            }
        }

        impl From<$name> for $fact {
            fn from(word: $name) -> Self {
                match word { $($name::$case => Self::$case,)* }
            }
        }
    )*};
}

choice! {
    Vendor: crate::host::Vendor { Intel, Amd, Other, }
    Availability: crate::host::Availability { BuiltIn, Module, Missing, }
    Loader: crate::host::Loader { Grub, GrubBls, SystemdBoot, Unknown, }
    Initramfs: crate::host::Initramfs { InitramfsTools, Dracut, Mkinitcpio, Unknown, }
    InputKind: crate::host::InputKind { Keyboard, Pointer, Tablet, Touch, }
    Daemon: crate::host::Daemon { Libvirtd, Virtqemud, }
}

impl Default for Daemon {
    fn default() -> Self {
        crate::host::Daemon::default().into()
    }
}

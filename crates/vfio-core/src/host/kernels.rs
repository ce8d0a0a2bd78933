//! Installed kernels: what is below `/boot`, and what each can do.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Result, Root,
    host::attr::{exists, names, text},
};

/// Where modules are; the first is a link to the second on merged systems.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// The options that planning asks for.
const OPTIONS: [&str; 22] = [
    "AMD_IOMMU",
    "CPU_ISOLATION",
    "DRM_SIMPLEDRM",
    "FB_EFI",
    "FB_VESA",
    "HUGETLBFS",
    "INTEL_IOMMU",
    "INTEL_IOMMU_DEFAULT_ON",
    "INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF",
    "IOMMU_DEFAULT_PASSTHROUGH",
    "NO_HZ_FULL",
    "PCI_STUB",
    "RCU_NOCB_CPU",
    "SYSFB_SIMPLEFB",
    "USB_XHCI_PCI",
    "VFIO",
    "VFIO_IOMMU_TYPE1",
    "VFIO_NOIOMMU",
    "VFIO_PCI",
    "VFIO_PCI_VGA",
    "X86_SYSFB",
    "ZRAM",
];

/// How a kernel has a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// Part of the kernel image.
    BuiltIn,
    /// A module below `/lib/modules`.
    Module,
    /// Not at all, as far as the tree says.
    #[default]
    Missing,
}

/// One installed kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it (`6.1.0-56-amd64`).
    pub release: String,
    /// Its image, relative to the root (`boot/vmlinuz-6.1.0-56-amd64`).
    pub image: String,
    /// Its initial RAM file system, relative to the root.
    pub initrd: Option<String>,
    /// How it has vfio-pci.
    pub vfio_pci: Availability,
    /// How it has vfio_iommu_type1.
    pub vfio_iommu: Availability,
    /// The `CONFIG_` options of `/boot/config-RELEASE` that planning asks for, without the prefix
    /// (`INTEL_IOMMU_DEFAULT_ON`): `y`, `m` or a value. Empty when there is no such file; an
    /// option that is not set is absent.
    pub config: BTreeMap<String, String>,
}

impl Kernel {
    /// Major and minor version; zeros when the release does not start with two numbers.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let mut numbers = self.release.split(['.', '-', '+']).map(|part| part.parse().ok());
        let mut next = || numbers.next().flatten();
        next().zip(next()).unwrap_or_default()
    }
}

/// The kernels of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// Those installed, newest first.
    pub installed: Vec<Kernel>,
    /// The release that runs now; `None` below another root.
    pub running: Option<String>,
}

impl Kernels {
    /// Reads `/boot`, the lists of modules of each kernel found there, and the running release.
    pub fn read(root: &Root) -> Result<Self> {
        let boot = root.names("boot")?;
        let mut installed: Vec<_> = boot
            .iter()
            .filter_map(|name| name.strip_prefix("vmlinuz-"))
            .filter(|suffix| is_kernel(suffix))
            .map(|suffix| kernel(root, &boot, suffix))
            .collect();
        installed.sort_by(|a, b| compare_releases(&b.release, &a.release));
        let running = text(root, "proc/sys/kernel/osrelease").filter(|text| !text.is_empty());
        Ok(Self { installed, running })
    }
}

/// Whether a file `vmlinuz-SUFFIX` is a kernel and not somebody's backup of one.
fn is_kernel(suffix: &str) -> bool {
    let backup = [".old", ".bak", ".orig", ".sig", ".rpmsave", ".rpmnew", "~"];
    let odd = suffix.is_empty() || suffix.starts_with("0-rescue-") || suffix.contains(".dpkg-");
    !odd && !backup.iter().any(|end| suffix.ends_with(end))
}

fn kernel(root: &Root, boot: &[String], suffix: &str) -> Kernel {
    let release = release(root, suffix);
    let initrds = [
        format!("initrd.img-{suffix}"),
        format!("initramfs-{suffix}.img"),
        format!("initrd-{suffix}"),
    ];
    let initrd = initrds.into_iter().find(|name| boot.contains(name));
    let module_dir = |file: &str| MODULES.map(|dir| format!("{dir}/{release}/{file}"));
    let first = |paths: &[String]| {
        paths.iter().find_map(|path| text(root, path).filter(|text| !text.is_empty()))
    };
    let [config, other] = module_dir("config");
    let all =
        options(&first(&[format!("boot/config-{release}"), config, other]).unwrap_or_default());
    let builtin = first(&module_dir("modules.builtin")).map(|text| modules(&text));
    let loadable = first(&module_dir("modules.dep")).map(|text| modules(&text));
    let has = |name: &str, option: &str| match (&builtin, &loadable) {
        (Some(builtin), _) if builtin.contains(name) => Availability::BuiltIn,
        (_, Some(loadable)) if loadable.contains(name) => Availability::Module,
        (_, Some(_)) => Availability::Missing,
        _ => configured(&all, option),
    };
    Kernel {
        image: format!("boot/vmlinuz-{suffix}"),
        initrd: initrd.map(|name| format!("boot/{name}")),
        vfio_pci: has("vfio_pci", "VFIO_PCI"),
        vfio_iommu: has("vfio_iommu_type1", "VFIO_IOMMU_TYPE1"),
        config: all.into_iter().filter(|(key, _)| OPTIONS.contains(&key.as_str())).collect(),
        release,
    }
}

/// The release behind a file name: the same but on Arch, where `linux` is a package whose release
/// its modules' `pkgbase` leads to.
fn release(root: &Root, suffix: &str) -> String {
    let here = |dir: &&str| exists(root, &format!("{dir}/{suffix}"));
    if suffix.starts_with(|c: char| c.is_ascii_digit()) || MODULES.iter().any(here) {
        return suffix.to_owned();
    }
    let found = MODULES.iter().flat_map(|dir| {
        names(root, dir).into_iter().filter(move |name| {
            text(root, &format!("{dir}/{name}/pkgbase")).is_some_and(|base| base == suffix)
        })
    });
    found.max_by(|a, b| compare_releases(a, b)).unwrap_or_else(|| suffix.to_owned())
}

/// The set options of a kernel's configuration, without `CONFIG_`.
fn options(config: &str) -> BTreeMap<String, String> {
    let set = config.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
    set.map(|(key, value)| (key.to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

fn configured(options: &BTreeMap<String, String>, option: &str) -> Availability {
    // On x86, VFIO selects VFIO_IOMMU_TYPE1: a configuration that was cut short still says it.
    let vfio = (option == "VFIO_IOMMU_TYPE1").then_some("VFIO");
    match options.get(option).or_else(|| options.get(vfio?)).map(String::as_str) {
        Some("y") => Availability::BuiltIn,
        Some("m") => Availability::Module,
        _ => Availability::Missing,
    }
}

/// The names in `modules.builtin` or before the colons of `modules.dep`, with `_` for `-`.
fn modules(list: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let path = line.split(':').next()?;
        let file = path.rsplit('/').next()?;
        Some(file.split_once(".ko")?.0.replace('-', "_"))
    };
    list.lines().filter_map(name).collect()
}

/// Compares releases of kernels as Debian compares versions: numbers as numbers (6.10 after 6.9, -13 after
/// -9), and a release candidate before its release.
#[must_use]
pub fn compare_releases(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.replace("-rc", "~rc"), b.replace("-rc", "~rc"));
    let (mut a, mut b) = (a.as_str(), b.as_str());
    while !a.is_empty() || !b.is_empty() {
        let ((words_a, rest_a), (words_b, rest_b)) = (cut(a, false), cut(b, false));
        let ((number_a, rest_a), (number_b, rest_b)) = (cut(rest_a, true), cut(rest_b, true));
        let (number_a, number_b) =
            (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
        let order = ranks(words_a)
            .cmp(ranks(words_b))
            .then(number_a.len().cmp(&number_b.len()))
            .then(number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// The digits, or what is not digits, at the beginning of a text, and the rest of it.
fn cut(text: &str, digits: bool) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// How characters sort: `~` before the end, the end before letters, letters before the rest.
fn ranks(text: &str) -> impl Iterator<Item = u32> + '_ {
    let rank = |c: char| match c {
        '~' => 0,
        c if c.is_ascii_alphabetic() => c as u32 + 1,
        c => c as u32 + 0x100,
    };
    text.chars().map(rank).chain([1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    fn releases(kernels: &Kernels) -> Vec<&str> {
        kernels.installed.iter().map(|kernel| kernel.release.as_str()).collect()
    }

    #[test]
    fn b22_lists_kernels_newest_first_and_nothing_else() {
        let names = [
            "vmlinuz-6.1.0-9-amd64",
            "vmlinuz-6.1.0-13-amd64",
            "vmlinuz-6.10.1",
            "vmlinuz-6.9.12",
            "vmlinuz-6.11-rc3",
            "vmlinuz-6.11",
            "vmlinuz-6.1.0-13-amd64.old",
            "vmlinuz-6.1.0-13-amd64.dpkg-new",
            "vmlinuz-0-rescue-0123",
            "vmlinuz-",
            "config-6.9.12",
            "initramfs-6.9.12.img",
        ];
        let tree = names.iter().fold(Tree::new(), |t, name| t.file(&format!("boot/{name}"), ""));
        let tree = tree.link("boot/vmlinuz", "vmlinuz-6.11").link("boot/vmlinuz.old", "x");
        let kernels = Kernels::read(&tree.root()).unwrap();
        assert_eq!(
            releases(&kernels),
            ["6.11", "6.11-rc3", "6.10.1", "6.9.12", "6.1.0-13-amd64", "6.1.0-9-amd64"]
        );
        let initrd = kernels.installed[3].initrd.as_deref();
        assert_eq!(initrd, Some("boot/initramfs-6.9.12.img"));
        assert_eq!((kernels.running, &kernels.installed[0].initrd), (None, &None));
        assert_eq!(Kernels::read(&Root::empty()).unwrap(), Kernels::default());
    }

    #[test]
    fn asks_the_modules_first_and_the_configuration_else() {
        let tree = Tree::new()
            .file("boot/vmlinuz-6.8.0-1", "")
            .file("usr/lib/modules/6.8.0-1/modules.builtin", "kernel/drivers/vfio/vfio-pci.ko\n")
            .file("usr/lib/modules/6.8.0-1/modules.dep", "kernel/x/vfio_iommu_type1.ko.zst: a.ko\n")
            .file(
                "boot/config-6.8.0-1",
                "CONFIG_VFIO=m\nCONFIG_LSM=\"a\"\n# CONFIG_ZRAM is not set\n",
            )
            .file("boot/vmlinuz-6.1.0-2", "")
            .file("boot/initrd.img-6.1.0-2", "")
            .file("boot/config-6.1.0-2", b"CONFIG_VFIO=y\nCONFIG_VFIO_PCI=m\n\xff\n")
            .file("boot/vmlinuz-linux-zen", "")
            .file("usr/lib/modules/6.9.1-zen1-1-zen/pkgbase", "linux-zen\n")
            .file("proc/sys/kernel/osrelease", "6.1.0-2\n");
        let kernels = Kernels::read(&tree.root()).unwrap();
        assert_eq!(releases(&kernels), ["6.9.1-zen1-1-zen", "6.8.0-1", "6.1.0-2"]);
        let [zen, ubuntu, debian] = kernels.installed.as_slice() else { panic!() };
        use Availability::{BuiltIn, Missing, Module};
        assert_eq!((zen.vfio_pci, zen.image.as_str()), (Missing, "boot/vmlinuz-linux-zen"));
        assert_eq!((ubuntu.vfio_pci, ubuntu.vfio_iommu), (BuiltIn, Module));
        assert_eq!(ubuntu.config.iter().collect::<Vec<_>>(), [(&"VFIO".into(), &"m".into())]);
        assert_eq!((debian.vfio_pci, debian.vfio_iommu), (Module, BuiltIn));
        assert_eq!(kernels.running.as_deref(), Some("6.1.0-2"));
        assert_eq!(debian.version(), (6, 1));
    }

    proptest! {
        #[test]
        fn comparing_is_an_order(a in "[0-9a.~-]{0,9}", b in "[0-9a.~-]{0,9}", c in "[0-9a.~-]{0,9}") {
            prop_assert_eq!(compare_releases(&a, &b), compare_releases(&b, &a).reverse());
            if compare_releases(&a, &b).is_le() && compare_releases(&b, &c).is_le() {
                prop_assert!(compare_releases(&a, &c).is_le());
            }
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = (options(&text), modules(&text), is_kernel(&text), compare_releases(&text, "6.1"));
        }
    }
}

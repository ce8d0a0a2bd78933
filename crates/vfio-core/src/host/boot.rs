//! How a machine boots: firmware, boot loader, initial RAM file system, IOMMU.

use crate::{
    Cmdline, Result, Root,
    host::attr::{clean, exists, names, text},
    initramfs::Initramfs,
};

/// The boot loader in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loader {
    /// GRUB 2 whose menu `grub-mkconfig` generates.
    Grub,
    /// GRUB 2 that reads entries from `/boot/loader/entries` (Fedora and its kin).
    GrubBls,
    /// systemd-boot.
    SystemdBoot,
    /// None that is known.
    #[default]
    Unknown,
}

/// What firmware and kernel say about the IOMMU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iommu {
    /// The ACPI table that describes it: `DMAR` (Intel) or `IVRS` (AMD); `None` when the firmware
    /// has it switched off.
    pub table: Option<String>,
    /// Units that the kernel drives (`dmar0`, `ivhd0`); empty while it is off.
    pub units: Vec<String>,
}

/// How a machine boots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The boot loader in use.
    pub loader: Loader,
    /// Whether `grub-mkconfig` reads `/etc/default/grub.d/*.cfg` (Debian, Ubuntu).
    pub grub_drop_ins: bool,
    /// What builds the initial RAM file system.
    pub initramfs: Initramfs,
    /// Whether the machine was started by UEFI firmware.
    pub efi: bool,
    /// Whether Secure Boot is on; `None` when the machine does not say.
    pub secure_boot: Option<bool>,
    /// The command line of the running kernel; empty below another root.
    pub cmdline: Cmdline,
    /// The IOMMU.
    pub iommu: Iommu,
    /// `ID` and `ID_LIKE` of `/etc/os-release`, in that order.
    pub distribution: Vec<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub system: String,
}

const EFIVARS: &str = "sys/firmware/efi/efivars";
/// Set by systemd-boot, and by GRUB since 2.12, at every start
/// (<https://systemd.io/BOOT_LOADER_INTERFACE>).
const LOADER_INFO: &str = "LoaderInfo-4a67b082-0a4c-41cf-b6c7-440bb8c4a09e";
/// Set by `bootctl set-default`.
const LOADER_DEFAULT: &str = "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440bb8c4a09e";
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const MKCONFIG: [&str; 3] =
    ["usr/sbin/grub-mkconfig", "usr/bin/grub-mkconfig", "usr/sbin/grub2-mkconfig"];
const GRUB_CFG: [&str; 2] = ["boot/grub/grub.cfg", "boot/grub2/grub.cfg"];

impl Boot {
    /// Reads how the machine boots from its firmware's variables and from what is installed; what
    /// cannot be told stays at its default.
    pub fn read(root: &Root) -> Result<Self> {
        let release = text(root, "etc/os-release").or_else(|| text(root, "usr/lib/os-release"));
        let (distribution, system) = os_release(&release.unwrap_or_default());
        let table = ["DMAR", "IVRS"]
            .into_iter()
            .find(|table| exists(root, &format!("sys/firmware/acpi/tables/{table}")));
        Ok(Self {
            loader: loader(root),
            grub_drop_ins: grub_drop_ins(root, &distribution),
            initramfs: Initramfs::of(root),
            efi: exists(root, "sys/firmware/efi"),
            secure_boot: variable(root, SECURE_BOOT).and_then(|value| Some(*value.first()? == 1)),
            cmdline: text(root, "proc/cmdline").unwrap_or_default().as_str().into(),
            iommu: Iommu { table: table.map(str::to_owned), units: names(root, "sys/class/iommu") },
            distribution,
            system,
        })
    }
}

/// The entry, or the pattern of entries, that a variable of the firmware has systemd-boot start by
/// itself; `None` where there is none.
#[must_use]
pub fn loader_default(root: &Root) -> Option<String> {
    let name = utf16(&variable(root, LOADER_DEFAULT)?);
    (!name.is_empty()).then_some(name)
}

/// An EFI variable's value, behind the four bytes of attributes that efivarfs puts first.
fn variable(root: &Root, name: &str) -> Option<Vec<u8>> {
    let bytes = root.bytes(&format!("{EFIVARS}/{name}")).ok()??;
    bytes.get(4..).map(<[u8]>::to_vec)
}

/// Text as firmware keeps it.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<_> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// What started this system if it left its name, else what is installed.
fn loader(root: &Root) -> Loader {
    let any = |paths: &[&str]| paths.iter().any(|path| exists(root, path));
    let info = variable(root, LOADER_INFO).map(|bytes| utf16(&bytes)).unwrap_or_default();
    let grub = (any(&MKCONFIG) || any(&["etc/grub.d"])) && any(&GRUB_CFG);
    let systemd = ["boot/efi/EFI/systemd", "efi/EFI/systemd", "boot/EFI/systemd"];
    if info.starts_with("systemd-boot") {
        Loader::SystemdBoot
    } else if info.starts_with("GRUB") || grub {
        grub_kind(root)
    } else if any(&systemd) || any(&["boot/loader/loader.conf", "efi/loader/loader.conf"]) {
        Loader::SystemdBoot
    } else if any(&MKCONFIG) {
        grub_kind(root)
    } else {
        Loader::Unknown
    }
}

fn grub_kind(root: &Root) -> Loader {
    let entries = root.names("boot/loader/entries");
    let some = entries.as_ref().is_ok_and(|e| e.iter().any(|name| name.ends_with(".conf")));
    let menu = GRUB_CFG.iter().find_map(|path| text(root, path));
    // Fedora shows neither directory to ordinary users, but everybody can read the setting.
    let reads_them = menu.map_or_else(
        || {
            let settings = text(root, "etc/default/grub").unwrap_or_default();
            settings.lines().any(|l| l.trim().replace(['"', '\''], "") == "GRUB_ENABLE_BLSCFG=true")
        },
        |menu| menu.lines().any(|line| line.trim_start().starts_with("blscfg")),
    );
    if reads_them && (some || entries.is_err()) { Loader::GrubBls } else { Loader::Grub }
}

fn grub_drop_ins(root: &Root, distribution: &[String]) -> bool {
    match MKCONFIG.iter().find_map(|path| text(root, path)) {
        Some(script) => script.contains("default/grub.d"),
        None => {
            let patched = |id: &String| matches!(id.as_str(), "debian" | "ubuntu");
            exists(root, "etc/default/grub.d") || distribution.iter().any(patched)
        }
    }
}

/// `ID` with `ID_LIKE`, and `PRETTY_NAME`, of an os-release file (`os-release(5)`).
fn os_release(text: &str) -> (Vec<String>, String) {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once('='));
        lines
            .filter(|(k, _)| *k == key)
            .map(|(_, value)| unquote(value))
            .next_back()
            .unwrap_or_default()
    };
    let ids = format!("{} {}", value("ID"), value("ID_LIKE"));
    let ids = ids.split_whitespace().map(clean).filter(|id| !id.is_empty()).collect();
    (ids, clean(&value("PRETTY_NAME")))
}

/// A value as a shell would take it; as it stands when it is not one word.
fn unquote(value: &str) -> String {
    match shlex::split(value).as_deref() {
        Some([word]) => word.clone(),
        _ => value.trim_matches(['"', '\'']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    fn efi(tree: Tree, name: &str, value: &[u8]) -> Tree {
        tree.file(&format!("{EFIVARS}/{name}"), [&[6, 0, 0, 0], value].concat())
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn grub() -> Tree {
        Tree::new().file("usr/sbin/grub-mkconfig", "#!/bin/sh\n").file(GRUB_CFG[0], "menuentry\n")
    }

    #[test]
    fn what_started_the_system_counts_before_what_is_installed() {
        assert_eq!(loader(&Root::empty()), Loader::Unknown);
        assert_eq!(loader(&grub().root()), Loader::Grub);
        let both = grub().dir("boot/efi/EFI/systemd");
        assert_eq!(loader(&both.root()), Loader::Grub);
        let both = efi(both, LOADER_INFO, &wide("systemd-boot 252.39-1"));
        assert_eq!(loader(&both.root()), Loader::SystemdBoot);
        let named = efi(Tree::new().dir("boot/efi/EFI/systemd"), LOADER_INFO, &wide("GRUB 2.12"));
        assert_eq!(loader(&named.root()), Loader::Grub);
        for odd in [&b""[..], b"x", b"\x00\xd8\x00"] {
            assert_eq!(loader(&efi(grub(), LOADER_INFO, odd).root()), Loader::Grub);
        }
        let other = Tree::new().file("boot/loader/loader.conf", "");
        assert_eq!(loader(&other.root()), Loader::SystemdBoot);
        let seed = Tree::new().dir("etc/grub.d").file(GRUB_CFG[0], "");
        assert_eq!(loader(&seed.root()), Loader::Grub);
    }

    #[test]
    fn grub_reads_entries_only_where_its_menu_says_so() {
        let fedora = |menu: &str| {
            Tree::new()
                .file("usr/sbin/grub2-mkconfig", "")
                .file(GRUB_CFG[1], menu)
                .file("boot/loader/entries/0123-6.11.conf", "")
        };
        assert_eq!(loader(&fedora("insmod blscfg\nblscfg\n").root()), Loader::GrubBls);
        assert_eq!(loader(&fedora("# no blscfg\n").root()), Loader::Grub);
    }

    #[test]
    fn asks_the_script_for_drop_ins() {
        let debian = ["debian".to_owned()];
        assert!(!grub_drop_ins(&grub().root(), &debian));
        let patched = Tree::new().file(MKCONFIG[0], "for x in ${sysconfdir}/default/grub.d/*.cfg");
        assert!(grub_drop_ins(&patched.root(), &[]));
        assert!(grub_drop_ins(&Root::empty(), &debian) && !grub_drop_ins(&Root::empty(), &[]));
    }

    #[test]
    fn reads_firmware_and_distribution() {
        let tree = efi(Tree::new(), SECURE_BOOT, &[1])
            .file("sys/firmware/acpi/tables/IVRS", "")
            .dir("sys/class/iommu/ivhd0")
            .file("proc/cmdline", "ro quiet\n")
            .file(
                "etc/os-release",
                b"ID=pop\nID_LIKE=\"ubuntu debian\"\nPRETTY_NAME='Pop \xff\x1b[1m'\n",
            );
        let boot = Boot::read(&tree.root()).unwrap();
        assert_eq!((boot.efi, boot.secure_boot, boot.grub_drop_ins), (true, Some(true), true));
        assert_eq!((boot.iommu.table.as_deref(), boot.iommu.units.len()), (Some("IVRS"), 1));
        assert_eq!(boot.distribution, ["pop", "ubuntu", "debian"]);
        assert_eq!(
            (boot.system.as_str(), boot.cmdline.contains("quiet")),
            ("Pop \u{fffd}[1m", true)
        );
        assert_eq!(Boot::read(&Root::empty()).unwrap(), Boot::default());
        let odd = Tree::new().dir("etc/os-release").file("usr/lib/os-release", "ID=arch\nID='\n");
        assert_eq!(Boot::read(&odd.root()).unwrap().distribution, Vec::<String>::new());
    }

    #[test]
    fn what_the_loader_was_told_to_start_is_in_a_variable() {
        let told = |value: &[u8]| loader_default(&efi(Tree::new(), LOADER_DEFAULT, value).root());
        assert_eq!(told(&wide("arch.conf")).as_deref(), Some("arch.conf"));
        assert_eq!((told(b""), told(&wide(""))), (None, None));
        assert_eq!(loader_default(&Root::empty()), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([\\PC\n=\"']|ID|PRETTY_NAME){0,40}", bytes: Vec<u8>) {
            let _ = (os_release(&text), utf16(&bytes));
        }
    }
}

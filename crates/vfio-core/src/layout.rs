//! Where deploy-vfio keeps what it states about a system, relative to the root.
//!
//! Each file below these directories is written by exactly one feature; what boot loaders and the
//! kernel read is rendered from them. What counts is what the menu generator takes: a shell's
//! `*.conf`, lines of words, `#` at the beginning of a comment line.

use crate::Result;

/// Kernel parameters: `NN-<feature>.conf`, words over lines, `#` begins a comment line.
pub const CMDLINE_D: &str = "etc/deploy-vfio/cmdline.d";
/// Boot entries: `<id>.conf`, lines `key=value`.
pub const ENTRIES_D: &str = "etc/deploy-vfio/entries.d";
/// The id of the boot entry that starts by itself; absent when it is not one of ours.
pub const DEFAULT_ENTRY: &str = "etc/deploy-vfio/default-entry";
/// What is tried at one boot before it becomes the default; absent when nothing is.
pub const TRIAL: &str = "etc/deploy-vfio/trial.toml";
/// The id of the boot entry for that one boot.
pub const TRIAL_ENTRY: &str = "deploy-vfio-trial";
/// Its file.
pub const TRIAL_CONF: &str = "etc/deploy-vfio/entries.d/deploy-vfio-trial.conf";
/// The kernel parameter by which that boot is known.
pub const TRIAL_WORD: &str = "deploy_vfio.trial";
/// What GRUB keeps from boot to boot, in a file of 1024 bytes that it writes in place.
pub const GRUBENV: &str = "boot/grub/grubenv";
/// Where the firmware's partition is mounted, if it is.
pub const ESPS: [&str; 3] = ["boot/efi", "efi", "boot"];
/// The same on the firmware's partition, for a trial where GRUB cannot write the other one.
pub const ESP_GRUBENV: &str = "EFI/deploy-vfio.grubenv";
/// GRUB's variable with the id of the entry that is to be tried; empty once that is under way.
pub const TRIAL_NEXT: &str = "dv_next";
/// GRUB's variable with the id of the entry whose trial has begun.
pub const TRIED: &str = "dv_tried";
/// What the judge of a trial found, root's alone: a line `format=1`, a line `attempt=N`, reasons.
pub const VERDICT: &str = "var/lib/deploy-vfio/trial";
/// Kernels whose initramfs lacks what binds devices, root's alone: a file for each, named by its
/// version, that says what it lacks. One that is older than that initramfs counts no more.
pub const UNFIT: &str = "var/lib/deploy-vfio/unfit";
/// What `modprobe` is told by a setup that binds by files: `options vfio-pci ids=…`, `softdep`.
pub const MODPROBE: &str = "etc/modprobe.d/deploy-vfio.conf";
/// Keyboards and mice that guests are given: lines `key=value`, of which `keyboard` and `pointer`
/// have a path below `/dev/input`.
pub const EVDEV: &str = "etc/deploy-vfio/evdev.conf";
/// The name of the driver that waits for guests.
pub const VFIO_PCI: &str = "vfio-pci";
/// Huge pages that a unit of ours reserves while the system runs: lines `any COUNT` or
/// `NODE COUNT`, `#` begins a comment line.
pub const RUNTIME_HUGEPAGES: &str = "etc/deploy-vfio/runtime-hugepages";
/// Swap in memory that a unit of ours makes: `fraction=N/D`, the part of the memory that it takes.
pub const ZRAM_SWAP: &str = "etc/deploy-vfio/zram-swap";
/// The same where systemd-zram-generator makes it.
pub const ZRAM_GENERATOR: &str = "etc/systemd/zram-generator.conf.d/50-deploy-vfio.conf";
/// The priority of that swap: above that of disks, which is negative unless somebody set it.
pub const ZRAM_PRIORITY: i32 = 100;
/// The size of such a page in KiB: those of 1 GiB are hard to find once a system runs.
pub const RUNTIME_KIB: u64 = 2 << 10;

/// Where libvirt keeps the guests of the system, `<name>.xml` each, for root alone; read by its
/// daemons when they begin or are told to, and written by them alone otherwise.
pub const GUESTS: &str = "etc/libvirt/qemu";

/// The guest that the file at `path` defines; `None` when it defines none.
#[must_use]
pub fn guest(path: &str) -> Option<&str> {
    let name = path.strip_prefix(GUESTS)?.strip_prefix('/')?.strip_suffix(".xml")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// The name of a file in one of these directories without `.conf`; `None` for one that does not
/// count: another ending, or hidden.
#[must_use]
pub fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".conf").filter(|_| !name.starts_with('.'))
}

/// Every word of the fragments that `names` lists, each with the path of its file; `text` reads
/// one, of a root or of a draft over it. Whether a word can be a parameter is not looked at.
pub fn words(
    names: &[String],
    text: impl Fn(&str) -> Result<Option<String>>,
) -> Result<Vec<(String, String)>> {
    let mut words = Vec::new();
    for name in names.iter().filter(|name| stem(name).is_some()) {
        let path = format!("{CMDLINE_D}/{name}");
        let text = text(&path)?.unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let of_file = lines.flat_map(str::split_whitespace);
        words.extend(of_file.map(|word| (path.clone(), word.to_owned())));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_the_menu_generator_takes() {
        let names = [".10-x.conf", "10-a.conf", "20-b.conf.dpkg-old", "30-c.conf", "40-gone.conf"];
        let text = |path: &str| {
            Ok(match path.rsplit('/').next() {
                Some("10-a.conf") => Some("# a b\r\na=1  b\r\n\t# c\n\n".to_owned()),
                Some("30-c.conf") => Some("c#d".to_owned()),
                Some("40-gone.conf") => None,
                other => panic!("{other:?} was read"),
            })
        };
        let words = words(&names.map(str::to_owned), text).unwrap();
        let words: Vec<_> = words.iter().map(|(path, word)| (path.as_str(), &**word)).collect();
        let (a, c) = ("etc/deploy-vfio/cmdline.d/10-a.conf", "etc/deploy-vfio/cmdline.d/30-c.conf");
        assert_eq!(words, [(a, "a=1"), (a, "b"), (c, "c#d")]);
    }
}

//! Which PCI devices carry the file systems and the swap that the host lives on.
//!
//! Every local block file system that is mounted counts, whatever it is mounted for: a disk in
//! use is never handed to a guest. Where the tree does not say which disks are behind a file
//! system (ZFS pools, a btrfs whose devices are unknown), every disk counts as carrying it.

use std::collections::BTreeSet;

use crate::{
    Address, Result, Root,
    host::{
        attr::{essential, text},
        block::Blocks,
    },
    octal::unescape,
};

/// One mounted file system or swap area that the host needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The mount point (`/`, `/boot`, `/usr`, …), or `swap`.
    pub mount: String,
    /// The block device as the kernel names it (`nvme0n1p2`, `dm-0`); empty when it has none.
    pub device: String,
    /// The PCI devices under it, through partitions, dm-crypt, LVM, md, btrfs and ZFS.
    pub pci: Vec<Address>,
    /// Whether somebody types a passphrase before it can be read: LUKS or plain dm-crypt is under
    /// it, and `/etc/crypttab` names no key file. ZFS's own encryption is not known.
    pub passphrase: bool,
}

/// What the host's storage stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Every use, in the order of `/proc/self/mountinfo`, then swap.
    pub usages: Vec<Usage>,
}

impl Storage {
    /// Mount points that are listed even where nothing below is a disk.
    pub(super) const SYSTEM: [&str; 10] =
        ["/", "/usr", "/boot", "/boot/efi", "/efi", "/var", "/home", "/etc", "/opt", "/srv"];

    /// Reads the mounted file systems and the swap in use, and follows each down to its disks;
    /// empty below a root without `/proc`.
    pub fn read(root: &Root) -> Result<Self> {
        let mut blocks = Blocks::new(root);
        let (mut usages, mut seen) = (Vec::new(), BTreeSet::new());
        for mount in mounts(&essential(root, "proc/self/mountinfo")?.unwrap_or_default()) {
            let (device, pci) = carriers(&mut blocks, &mount);
            // The same device again is a bind mount or another subvolume of it.
            let first = seen.insert(device.clone());
            let system = Self::SYSTEM.contains(&mount.point.as_str());
            if system || (first && !pci.is_empty()) {
                let passphrase = blocks.asks_passphrase(&device);
                usages.push(Usage { mount: mount.point, device, pci, passphrase });
            }
        }
        for path in swaps(&text(root, "proc/swaps").unwrap_or_default()) {
            let (pci, device) = match blocks.of_source(&path) {
                Some(device) => (blocks.carriers(&device).into_iter().collect(), device),
                None if path.starts_with("/dev/") => (Vec::new(), String::new()),
                None => holder(&usages, &path),
            };
            let passphrase = blocks.asks_passphrase(&device);
            usages.push(Usage { mount: "swap".to_owned(), device, pci, passphrase });
        }
        Ok(Self { usages })
    }

    /// The mount points that stand on the device at `address`; empty when none does.
    #[must_use]
    pub fn on(&self, address: Address) -> Vec<&str> {
        let on = |usage: &&Usage| usage.pci.contains(&address);
        self.usages.iter().filter(on).map(|usage| usage.mount.as_str()).collect()
    }

    /// What the initial RAM file system asks a passphrase for, each once: `/`, `/usr` and swap,
    /// which may hold a suspended system. For `/boot` the boot loader asks.
    #[must_use]
    pub fn asked_at_boot(&self) -> BTreeSet<&str> {
        let early = |usage: &&Usage| matches!(usage.mount.as_str(), "/" | "/usr" | "swap");
        let asked = self.usages.iter().filter(early).filter(|usage| usage.passphrase);
        asked.map(|usage| usage.mount.as_str()).collect()
    }
}

/// One line of `/proc/self/mountinfo` (`Documentation/filesystems/proc.rst`, 3.5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor`; the major number is 0 for what is on no block device of its own.
    pub(super) number: String,
    point: String,
    pub(super) options: String,
    pub(super) kind: String,
    source: String,
}

impl Mount {
    /// Whether it is mounted at the directory `path`, and not above it.
    pub(super) fn is_at(&self, path: &str) -> bool {
        self.point.trim_matches('/') == path
    }
}

/// What is mounted where the directory `path` is; `None` when nobody can say.
pub(super) fn mount_of(root: &Root, path: &str) -> Result<Option<Mount>> {
    let above = |mount: &Mount| {
        let below = path.strip_prefix(mount.point.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let mounts = mounts(&root.text("proc/self/mountinfo")?.unwrap_or_default());
    // Of several at one place the last hides the others.
    Ok(mounts.into_iter().filter(above).max_by_key(|mount| mount.point.len()))
}

fn mounts(mountinfo: &str) -> Vec<Mount> {
    // What is mounted over the same place later hides what was there, but still uses its disk.
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let (mut head, mut tail) = (head.split(' ').skip(2), tail.split(' '));
    Some(Mount {
        number: head.next()?.to_owned(),
        point: unescape(head.nth(1)?),
        options: head.next()?.to_owned(),
        kind: tail.next()?.to_owned(),
        source: unescape(tail.next().unwrap_or_default()),
    })
}

/// The kernel has 29 at most.
const MOST_SWAPS: usize = 64;

/// The paths of `/proc/swaps`: devices and files.
fn swaps(text: &str) -> impl Iterator<Item = String> + '_ {
    let paths = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    paths.filter(|path| path.starts_with('/')).take(MOST_SWAPS).map(unescape)
}

/// The block device of a mounted file system, empty when it has none, and the PCI devices below.
fn carriers(blocks: &mut Blocks<'_>, mount: &Mount) -> (String, Vec<Address>) {
    let sorted = |pci: BTreeSet<Address>| pci.into_iter().collect();
    if mount.kind == "zfs" {
        return (mount.source.clone(), sorted(blocks.every_disk()));
    }
    if !mount.number.starts_with("0:") {
        let device = blocks.of_number(&mount.number).unwrap_or_default();
        return (device.clone(), sorted(blocks.carriers(&device)));
    }
    // btrfs and bcachefs span devices and have a number of their own; the source names one or all.
    let named: Vec<_> =
        mount.source.split(':').filter_map(|source| blocks.of_source(source)).collect();
    let Some(device) = named.first().cloned() else {
        let spans = matches!(mount.kind.as_str(), "btrfs" | "bcachefs");
        return (String::new(), if spans { sorted(blocks.every_disk()) } else { Vec::new() });
    };
    let mut pci = BTreeSet::new();
    for member in named {
        let members = match mount.kind.as_str() {
            "btrfs" => blocks.btrfs_members(&member),
            _ => vec![member],
        };
        pci.extend(members.iter().flat_map(|member| blocks.carriers(member)));
    }
    (device, sorted(pci))
}

/// What the file at `path` lies on: the innermost mount point above it.
fn holder(usages: &[Usage], path: &str) -> (Vec<Address>, String) {
    let above = |usage: &&Usage| {
        let below = path.strip_prefix(usage.mount.trim_end_matches('/'));
        below.is_some_and(|below| below.starts_with('/'))
    };
    let innermost = usages.iter().filter(above).max_by_key(|usage| usage.mount.len());
    innermost.map(|usage| (usage.pci.clone(), usage.device.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    const NVME: &str = "sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1";
    const SATA: &str =
        "sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
    const VMD: &str =
        "sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e1:00.0/nvme/nvme1/nvme1n1";

    /// Lays out a block device; `real` is its directory below the root.
    fn block(tree: Tree, real: &str, number: &str, slaves: &[&str]) -> Tree {
        let name = real.rsplit('/').next().unwrap();
        let up = "../../..";
        let tree = tree
            .file(&format!("{real}/dev"), format!("{number}\n"))
            .link(&format!("sys/dev/block/{number}"), &format!("{up}/{real}"))
            .link(&format!("sys/class/block/{name}"), &format!("{up}/{real}"));
        slaves.iter().fold(tree, |tree, slave| tree.link(&format!("{real}/slaves/{slave}"), "x"))
    }

    fn part(tree: Tree, real: &str, number: &str) -> Tree {
        block(tree, real, number, &[]).file(&format!("{real}/partition"), "1\n")
    }

    fn shown(storage: &Storage) -> Vec<String> {
        let one = |u: &Usage| {
            let pci: Vec<_> = u.pci.iter().map(ToString::to_string).collect();
            format!("{} {} {}", u.mount, u.device, pci.join(","))
        };
        storage.usages.iter().map(one).collect()
    }

    fn disks() -> Tree {
        let tree = block(Tree::new(), NVME, "259:0", &[]);
        let tree = part(tree, &format!("{NVME}/nvme0n1p1"), "259:1");
        let tree = part(tree, &format!("{NVME}/nvme0n1p2"), "259:2");
        let tree = block(tree, SATA, "8:0", &[]);
        let tree = part(tree, &format!("{SATA}/sda1"), "8:1");
        block(tree, VMD, "259:5", &[])
    }

    #[test]
    fn follows_lvm_on_crypt_on_md_down_to_the_disks() {
        let dm = "sys/devices/virtual/block";
        let tree = block(disks(), &format!("{dm}/md0"), "9:0", &["nvme0n1p2", "sda1"]);
        let tree = part(tree, &format!("{dm}/md0/md0p1"), "259:9");
        let tree = block(tree, &format!("{dm}/dm-0"), "253:0", &["md0p1"]);
        let tree = block(tree, &format!("{dm}/dm-1"), "253:1", &["dm-0"]);
        let tree = block(tree, &format!("{dm}/loop0"), "7:0", &[]);
        let tree = tree
            .link("dev/mapper/vg-swap", "../dm-1")
            .file("dev/dm-1", "")
            .file(
                "proc/self/mountinfo",
                "24 1 253:1 / / rw shared:1 - ext4 /dev/mapper/vg-root rw\n\
                 25 24 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
                 26 24 0:22 / /proc rw - proc proc rw\n\
                 27 24 253:1 /x /mnt/bind rw - ext4 /dev/mapper/vg-root rw\n\
                 28 24 259:5 / /mnt/a\\040disk rw - xfs /dev/nvme1n1 rw\n\
                 29 24 7:0 / /snap/core rw - squashfs /dev/loop0 rw\n\
                 junk\n30 24 8:77 / /gone rw - ext4 /dev/sdz rw\n",
            )
            .file(
                "proc/swaps",
                "Filename Type Size Used Priority\n/dev/mapper/vg-swap partition 1 0 -2\n\
                 /mnt/a\\040disk/swapfile file 1 0 -3\n/dev/zram0 partition 1 0 100\n",
            );
        let storage = Storage::read(&tree.root()).unwrap();
        assert_eq!(
            shown(&storage),
            [
                "/ dm-1 0000:00:17.0,0000:03:00.0",
                "/boot/efi nvme0n1p1 0000:03:00.0",
                "/mnt/a disk nvme1n1 0000:00:0e.0,10000:e1:00.0",
                "swap dm-1 0000:00:17.0,0000:03:00.0",
                "swap nvme1n1 0000:00:0e.0,10000:e1:00.0",
                "swap  ",
            ]
        );
        assert_eq!(storage.on("0000:03:00.0".parse().unwrap()), ["/", "/boot/efi", "swap"]);
    }

    #[test]
    fn b23_a_partition_is_none_whose_name_only_begins_alike() {
        let tree = part(disks(), &format!("{SATA}/sda10"), "8:10");
        let tree = part(tree, &format!("{NVME}/nvme0n1p10"), "259:10").file(
            "proc/self/mountinfo",
            "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 24 259:10 / /srv rw - ext4 /dev/x rw\n",
        );
        let storage = Storage::read(&tree.root()).unwrap();
        assert_eq!(shown(&storage), ["/ sda1 0000:00:17.0", "/srv nvme0n1p10 0000:03:00.0"]);
    }

    /// `/` and swap on LVM on LUKS as `crypt`, `/boot` on a partition.
    fn encrypted(crypttab: &str, uuid: &str) -> BTreeSet<String> {
        let dm = "sys/devices/virtual/block";
        let tree = block(disks(), &format!("{dm}/dm-0"), "253:0", &["nvme0n1p2"]);
        let tree = block(tree, &format!("{dm}/dm-1"), "253:1", &["dm-0"])
            .file(&format!("{dm}/dm-0/dm/uuid"), format!("{uuid}\n"))
            .file(&format!("{dm}/dm-0/dm/name"), "nvme0n1p2_crypt\n")
            .file(&format!("{dm}/dm-1/dm/uuid"), "LVM-CRYPT-LUKS2\n")
            .file("dev/dm-1", "")
            .file("etc/crypttab", crypttab)
            .file(
                "proc/self/mountinfo",
                "24 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
                 25 24 259:1 / /boot rw - ext4 /dev/nvme0n1p1 rw\n\
                 26 24 253:1 / /home rw - ext4 /dev/mapper/vg-home rw\n",
            )
            .file("proc/swaps", "Filename\n/dev/dm-1 partition 1 0 -2\n/dev/dm-1 x\n");
        let storage = Storage::read(&tree.root()).unwrap();
        storage.asked_at_boot().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn knows_what_a_passphrase_opens() {
        let luks = "CRYPT-LUKS2-0123456789abcdef-nvme0n1p2_crypt";
        let (asked, nothing) = (["/", "swap"].map(str::to_owned).into(), BTreeSet::new());
        assert_eq!(encrypted("", luks), asked);
        assert_eq!(encrypted("# x\nnvme0n1p2_crypt UUID=1 none luks,discard\n", luks), asked);
        assert_eq!(encrypted("nvme0n1p2_crypt UUID=1\n", "CRYPT-PLAIN-x"), asked);
        assert_eq!(encrypted("nvme0n1p2_crypt UUID=1 x luks,keyscript=/a\n", luks), asked);
        assert_eq!(encrypted("other UUID=1 /etc/key luks\n", luks), asked);
        assert_eq!(encrypted("nvme0n1p2_crypt UUID=1 /etc/key luks\n", luks), nothing);
        assert_eq!(
            encrypted("nvme0n1p2_crypt /dev/x /dev/urandom swap\n", "CRYPT-PLAIN-x"),
            nothing
        );
        assert_eq!(encrypted("", "CRYPT-VERITY-x"), nothing);
        assert_eq!(encrypted("", "LVM-x"), nothing);
    }

    #[test]
    fn knows_the_members_of_a_btrfs_and_protects_all_disks_of_a_pool() {
        let btrfs = |source: &str| {
            let info = format!(
                "24 1 0:30 /@ / rw - btrfs {source} rw,subvol=/@\n\
                 25 24 0:30 /@home /home rw - btrfs {source} rw\n"
            );
            let members = "sys/fs/btrfs/0b6ab5b3/devices";
            disks()
                .file("proc/self/mountinfo", info)
                .link(&format!("{members}/nvme0n1p2"), "x")
                .link(&format!("{members}/nvme1n1"), "x")
                .dir("sys/fs/btrfs/features")
        };
        let two = "0000:00:0e.0,0000:03:00.0,10000:e1:00.0";
        let found = Storage::read(&btrfs("/dev/nvme0n1p2").root()).unwrap();
        assert_eq!(shown(&found), [format!("/ nvme0n1p2 {two}"), format!("/home nvme0n1p2 {two}")]);
        let all = "0000:00:0e.0,0000:00:17.0,0000:03:00.0,10000:e1:00.0";
        let found = Storage::read(&btrfs("/dev/root").root()).unwrap();
        assert_eq!(shown(&found), [format!("/  {all}"), format!("/home  {all}")]);
        let zfs = disks().file("proc/self/mountinfo", "24 1 0:30 / / rw - zfs rpool/ROOT rw\n");
        let found = Storage::read(&zfs.root()).unwrap();
        assert_eq!(shown(&found), [format!("/ rpool/ROOT {all}")]);
    }

    #[test]
    fn a_root_on_no_disk_is_listed_without_devices() {
        for line in ["24 1 0:25 / / rw - overlay overlay rw", "24 1 0:25 / / rw - nfs4 host:/x rw"]
        {
            let tree = disks().file("proc/self/mountinfo", line);
            assert_eq!(shown(&Storage::read(&tree.root()).unwrap()), ["/  "]);
        }
        assert_eq!(Storage::read(&Root::empty()).unwrap(), Storage::default());
        let odd = Tree::new().dir("proc/self/mountinfo");
        let odd = odd.file("proc/swaps", b"\xff\n\xff\n/dev/\xff\n");
        assert_eq!(
            shown(&Storage::read(&odd.root()).unwrap()),
            ["swap  "],
            "what is no path is none"
        );
    }

    #[test]
    fn finds_the_controllers_of_a_shared_nvme_namespace() {
        let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
        let controller = "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0";
        let tree = block(Tree::new(), &format!("{subsystem}/nvme0n1"), "259:0", &[]);
        let tree = part(tree, &format!("{subsystem}/nvme0n1/nvme0n1p1"), "259:1")
            .dir(&format!("sys/devices/{controller}"))
            .link(&format!("{subsystem}/nvme0"), &format!("../../../{controller}"))
            .file("proc/self/mountinfo", "24 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n");
        let storage = Storage::read(&tree.root()).unwrap();
        assert_eq!(shown(&storage), ["/ nvme0n1p1 0000:03:00.0"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([\\PC\n\\\\ -]|[0-9]:){0,60}") {
            let _ = (mounts(&text), swaps(&text).count(), unescape(&text));
        }
    }
}

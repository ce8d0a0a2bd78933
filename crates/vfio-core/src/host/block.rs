//! Block devices, the way from each down to the PCI devices that carry it, and whether a
//! passphrase stands in between.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Address, Root,
    host::attr::{addresses, exists, names, real, text},
};

const BLOCK: &str = "sys/class/block";
const BTRFS: &str = "sys/fs/btrfs";

/// How many layers deep encryption is looked for; devices never stand on each other in a circle,
/// a made-up tree may.
const DEEPEST: usize = 8;

/// Answers where block devices stand, each looked up once.
pub(super) struct Blocks<'a> {
    root: &'a Root,
    known: BTreeMap<String, BTreeSet<Address>>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(root: &'a Root) -> Self {
        Self { root, known: BTreeMap::new() }
    }

    /// The kernel's name of the device with this `major:minor`.
    pub(super) fn of_number(&self, number: &str) -> Option<String> {
        last(&real(self.root, &format!("sys/dev/block/{number}"))?)
    }

    /// The kernel's name of the device that a mount or swap names by its `/dev` path.
    pub(super) fn of_source(&self, source: &str) -> Option<String> {
        let name = source.strip_prefix("/dev/")?;
        let known = |name: &str| exists(self.root, &format!("{BLOCK}/{name}"));
        // In sysfs, `!` stands for the `/` in names such as `cciss/c0d0`.
        let plain = name.replace('/', "!");
        if !matches!(plain.as_str(), "" | "." | "..") && known(&plain) {
            return Some(plain);
        }
        last(&real(self.root, &format!("dev/{name}"))?).filter(|name| known(name))
    }

    /// All devices of the btrfs that `member` belongs to; `member` alone when that is not known.
    pub(super) fn btrfs_members(&self, member: &str) -> Vec<String> {
        let devices = |id: String| names(self.root, &format!("{BTRFS}/{id}/devices"));
        let systems = names(self.root, BTRFS).into_iter().map(devices);
        let own = |devices: &Vec<String>| devices.iter().any(|device| device == member);
        systems.into_iter().find(own).unwrap_or_else(|| vec![member.to_owned()])
    }

    /// The PCI devices that carry the block device `name`; empty for one in memory.
    pub(super) fn carriers(&mut self, name: &str) -> BTreeSet<Address> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        // Before the descent, so that a loop of devices ends.
        self.known.insert(name.to_owned(), BTreeSet::new());
        let found = if name.is_empty() { BTreeSet::new() } else { self.look_up(name) };
        self.known.insert(name.to_owned(), found.clone());
        found
    }

    /// The PCI devices of every disk there is.
    pub(super) fn every_disk(&mut self) -> BTreeSet<Address> {
        let all = names(self.root, BLOCK);
        all.iter().filter(|name| !is_zvol(name)).flat_map(|name| self.carriers(name)).collect()
    }

    fn look_up(&mut self, name: &str) -> BTreeSet<Address> {
        let Some(path) = real(self.root, &format!("{BLOCK}/{name}")) else {
            return BTreeSet::new();
        };
        if is_zvol(name) {
            return self.every_disk();
        }
        let mut found: BTreeSet<_> = addresses(&path).into_iter().collect();
        // An NVMe namespace that several controllers lead to is below none of them.
        if let Some((subsystem, _)) = path.rsplit_once('/').filter(|(p, _)| p.contains("/nvme-sub"))
        {
            for controller in names(self.root, subsystem) {
                let at = real(self.root, &format!("{subsystem}/{controller}"));
                found.extend(addresses(&at.unwrap_or_default()));
            }
        }
        found.extend(self.below(&path).iter().flat_map(|slave| self.carriers(slave)));
        found
    }

    /// What the device at `path` stands on directly: the parts of a mapping or an array, the disk
    /// of a partition.
    fn below(&self, path: &str) -> Vec<String> {
        let mut below = names(self.root, &format!("{path}/slaves"));
        if exists(self.root, &format!("{path}/partition")) {
            below.extend(path.rsplit_once('/').and_then(|(disk, _)| last(disk)));
        }
        below
    }

    /// Whether a passphrase opens the block device `name`, or one that it stands on.
    pub(super) fn asks_passphrase(&self, name: &str) -> bool {
        self.asks(name, DEEPEST)
    }

    fn asks(&self, name: &str, deeper: usize) -> bool {
        let Some(path) = real(self.root, &format!("{BLOCK}/{name}")) else { return false };
        let about = |file| text(self.root, &format!("{path}/dm/{file}")).unwrap_or_default();
        let uuid = if name.starts_with("dm-") { about("uuid") } else { String::new() };
        let crypt = uuid.starts_with("CRYPT-LUKS") || uuid.starts_with("CRYPT-PLAIN");
        crypt && !self.has_key_file(&about("name"))
            || deeper > 0 && self.below(&path).iter().any(|name| self.asks(name, deeper - 1))
    }

    /// Whether `/etc/crypttab` names a key for the mapping `target` that nobody has to type.
    fn has_key_file(&self, target: &str) -> bool {
        let table = text(self.root, "etc/crypttab").unwrap_or_default();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let line =
            table.lines().map(fields).find(|fields| fields.first().is_some_and(|f| f == target));
        let fields = line.unwrap_or_default();
        let script = fields.get(3).is_some_and(|options| options.contains("keyscript="));
        !script && fields.get(2).is_some_and(|key| !matches!(key.as_str(), "none" | "-"))
    }
}

/// A volume of a ZFS pool (`zd0`): its disks are not in sysfs.
fn is_zvol(name: &str) -> bool {
    name.strip_prefix("zd").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn last(path: &str) -> Option<String> {
    path.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

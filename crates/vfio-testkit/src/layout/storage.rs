//! The disk under `/`, `/boot/efi` and swap, and what is between.

use std::io;

use crate::description::Description;

use super::{Scene, maker::Maker, pci::Buses};

struct Disk {
    name: &'static str,
    /// Where it lies below the root.
    at: String,
    major: u32,
}

impl Disk {
    fn of(machine: &Description, address: &str, buses: &Buses) -> Self {
        let controller = buses.of(address);
        let class = machine.device(address).map_or(0, |device| device.class_code() >> 8);
        if class == 0x0108 {
            let at = format!("{controller}/nvme/nvme0/nvme0n1");
            Self { name: "nvme0n1", at, major: 259 }
        } else {
            let at = format!("{controller}/ata1/host0/target0:0:0/0:0:0:0/block/sda");
            Self { name: "sda", at, major: 8 }
        }
    }

    /// The name of the disk itself (0) or of a partition.
    fn part(&self, number: u32) -> String {
        match (number, self.name.ends_with(|c: char| c.is_ascii_digit())) {
            (0, _) => self.name.to_owned(),
            (n, true) => format!("{}p{n}", self.name),
            (n, false) => format!("{}{n}", self.name),
        }
    }
}

/// Lays out the block devices, and what is mounted and swapped to.
pub(super) fn lay_out(scene: Scene<'_>) -> io::Result<()> {
    let Scene { make, machine, roles, buses } = scene;
    let disk = roles.disk.as_deref().map(|address| Disk::of(machine, address, buses));
    let Some(disk) = disk else {
        let info = "25 1 0:25 / / rw - overlay overlay rw\n";
        return mounts(make, "overlay / overlay rw 0 0\n", info, "");
    };
    for number in 0..4 {
        block_device(make, &disk, number)?;
    }
    make.link(&format!("sys/block/{}", disk.name), &disk.at)?;
    let (major, efi) = (disk.major, disk.part(1));
    let mut root = (disk.part(2), format!("{major}:2"));
    let mut swap = disk.part(3);
    if machine.encrypted {
        let crypt = format!("{}_crypt", root.0);
        mapping(make, 0, &crypt, "CRYPT-LUKS2-0f1e2d3c", &root.0)?;
        mapping(make, 1, "host-root", "LVM-a", "dm-0")?;
        mapping(make, 2, "host-swap", "LVM-b", "dm-0")?;
        root = ("mapper/host-root".to_owned(), "254:1".to_owned());
        "dm-2".clone_into(&mut swap);
    }
    let (root, number) = root;
    mounts(
        make,
        &format!(
            "/dev/{root} / ext4 rw,relatime,errors=remount-ro 0 0\n\
             /dev/{efi} /boot/efi vfat rw,relatime 0 0\n"
        ),
        &format!(
            "25 1 {number} / / rw,relatime shared:1 - ext4 /dev/{root} rw,errors=remount-ro\n\
             60 25 {major}:1 / /boot/efi rw,relatime shared:30 - vfat /dev/{efi} rw\n"
        ),
        &format!("/dev/{swap}                          partition\t8388604\t\t0\t\t-2\n"),
    )
}

fn block_device(make: &Maker, disk: &Disk, number: u32) -> io::Result<()> {
    let (major, name) = (disk.major, disk.part(number));
    let (at, kind) = match number {
        0 => (disk.at.clone(), "disk"),
        _ => (format!("{}/{name}", disk.at), "partition"),
    };
    make.lines(&at, &[("dev", &format!("{major}:{number}")), ("size", "1953525168")])?;
    let uevent = format!("MAJOR={major}\nMINOR={number}\nDEVNAME={name}\nDEVTYPE={kind}");
    make.lines(&at, &[("uevent", &uevent)])?;
    if number > 0 {
        make.lines(&at, &[("partition", &number.to_string())])?;
    }
    make.link(&format!("sys/dev/block/{major}:{number}"), &at)?;
    make.link(&format!("sys/class/block/{name}"), &at)?;
    make.dir(&format!("{at}/slaves"))?;
    make.dir(&format!("{at}/holders"))
}

/// The device `dm-N` of the device mapper over another.
fn mapping(make: &Maker, number: u32, name: &str, uuid: &str, on: &str) -> io::Result<()> {
    let at = format!("sys/devices/virtual/block/dm-{number}");
    make.lines(&at, &[("dev", &format!("254:{number}")), ("size", "1953525168")])?;
    make.lines(&format!("{at}/dm"), &[("name", name), ("uuid", uuid)])?;
    make.link(&format!("{at}/slaves/{on}"), &format!("sys/class/block/{on}"))?;
    make.link(&format!("sys/dev/block/254:{number}"), &at)?;
    make.link(&format!("sys/class/block/dm-{number}"), &at)
}

fn mounts(make: &Maker, mounts: &str, info: &str, swaps: &str) -> io::Result<()> {
    for process in ["self", "1"] {
        make.file(&format!("proc/{process}/mountinfo"), info)?;
        make.file(&format!("proc/{process}/mounts"), mounts)?;
    }
    make.file("proc/mounts", mounts)?;
    make.file("proc/swaps", format!("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{swaps}"))
}

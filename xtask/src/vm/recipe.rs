//! What is on the machine's disk: a release of Debian, its boot loader, and the agent.
//!
//! Everything that decides how the disk looks is in here, so that [`key`] can tell an old disk.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::host;

/// Raised when [`super::image`] builds differently from the same recipe.
const VERSION: u32 = 2;

/// The release that scenarios use if nothing else is said.
pub const USUAL: &str = "bookworm";

/// The oldest release: its C library is older than that of the machines that programs are built on.
pub const OLDEST: &str = "bullseye";

/// The disk's size.
pub const SIZE: u64 = 3 * 1024 * 1024 * 1024;

/// The root file system's UUID.
pub const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// What every boot of this machine needs on its command line: a console; no check that the timer ticks
/// in time (it does not, under load, without KVM); and none of the page table switches at every system
/// call, which cost QEMU its translation cache (a boot takes half the time without).
pub const CMDLINE: &str = "console=ttyS0 no_timer_check mitigations=off";

/// Installed packages. No busybox: initramfs-tools only recommends it.
const PACKAGES: &[&str] = &[
    "dbus",
    "grub-pc",
    "grub2-common",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libvirt-clients",
    "libvirt-daemon-system",
    "linux-image-amd64",
    "lsb-release",
    "pci.ids",
    "pciutils",
    "qemu-system-x86",
    "systemd-sysv",
    "udev",
    "xserver-xorg-core",
    "zstd",
];

/// Packages that a scenario installs: they would change what all others see.
const AT_HAND: &[&str] = &["systemd-zram-generator", "dracut", "dracut-core", "kpartx"];

/// What other layouts of the disk need, with what that needs, in `/root/layouts`.
const LAYOUTS: &[&str] =
    &["btrfs-progs", "cryptsetup-initramfs", "dosfstools", "grub-efi-amd64-bin", "lvm2"];

/// Paths that are not unpacked, for speed: what nobody reads, and modules of cards that are not there.
const LEFT_OUT: &[&str] = &[
    "/usr/lib/*/dri/*",
    "/usr/lib/*/libLLVM*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/i915/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/radeon/*",
    "/lib/modules/*/kernel/drivers/hwmon/*",
    "/lib/modules/*/kernel/drivers/iio/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/isdn/*",
    // All but cec, which drivers of cards use.
    "/lib/modules/*/kernel/drivers/media/[!c]*",
    "/lib/modules/*/kernel/drivers/mtd/*",
    "/lib/modules/*/kernel/drivers/net/can/*",
    "/lib/modules/*/kernel/drivers/net/usb/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/drivers/scsi/*/*",
    "/lib/modules/*/kernel/drivers/staging/*",
    "/lib/modules/*/kernel/net/bluetooth/*",
    "/lib/modules/*/kernel/net/mac80211/*",
    "/lib/modules/*/kernel/net/wireless/*",
    "/lib/modules/*/kernel/sound/soc/*",
    "/lib/modules/*/kernel/sound/usb/*",
];

/// Units that only cost time on a machine that lives for minutes.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
];

/// Units that one scenario starts.
const DISABLED: &[&str] = &[
    "libvirt-guests.service",
    "libvirtd.service",
    "libvirtd.socket",
    "libvirtd-admin.socket",
    "libvirtd-ro.socket",
    "virtlockd.socket",
    "virtlogd.socket",
];

/// Units that are started at boot.
const ENABLED: &[&str] = &["agent.service", "systemd-networkd.service"];

/// Text files of the machine.
const FILES: &[(&str, &str)] = &[
    ("etc/hostname", "machine-a\n"),
    ("etc/hosts", "127.0.0.1 localhost machine-a\n"),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/fstab", "UUID=11111111-2222-3333-4444-555555555555 / ext4 errors=remount-ro 0 1\n"),
    (
        "etc/default/grub",
        "GRUB_DEFAULT=0\n\
         GRUB_TIMEOUT=1\n\
         GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n\
         GRUB_CMDLINE_LINUX=\"console=ttyS0 no_timer_check mitigations=off\"\n\
         GRUB_TERMINAL=serial\n",
    ),
    // Only the first NIC is configured: it alone has the default route.
    (
        "etc/systemd/network/10-lan.network",
        "[Match]\nMACAddress=52:54:00:00:00:00\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n",
    ),
    (
        "etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf",
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I vt220\n",
    ),
    ("etc/systemd/system/agent.service", include_str!("assets/agent.service")),
    ("etc/initramfs-tools/conf.d/rig", "COMPRESS=zstd\nCOMPRESSLEVEL=1\n"),
    ("usr/local/lib/agent", include_str!("assets/agent")),
];

/// Tells disks of different recipes apart; also part of the cache's directory name.
pub fn key(release: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (VERSION, SIZE, UUID, CMDLINE, PACKAGES, AT_HAND, LEFT_OUT, MASKED, DISABLED, ENABLED, FILES)
        .hash(&mut hasher);
    (release, LAYOUTS).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Unpacks Debian below `root` and makes it this machine.
pub fn cook(release: &str, root: &Path) -> Result<()> {
    let (at_hand, layouts) = if release == USUAL { (AT_HAND, LAYOUTS) } else { (&[][..], &[][..]) };
    host::unpack_debian(release, PACKAGES, (at_hand, layouts), LEFT_OUT, root)?;
    for (path, text) in FILES {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("usr/local/lib/agent"), executable)?;
    let shadow = root.join("etc/shadow");
    let users = fs::read_to_string(&shadow)?;
    let users = users.replacen("root:*:", "root::", 1);
    fs::write(&shadow, users)?;
    for unit in MASKED {
        symlink("/dev/null", root.join("etc/systemd/system").join(unit))?;
    }
    let mut chroot = host::command("chroot");
    host::run(chroot.arg(root).args(["systemctl", "--quiet", "enable"]).args(ENABLED))?;
    let mut chroot = host::command("chroot");
    host::run(chroot.arg(root).args(["systemctl", "--quiet", "disable"]).args(DISABLED))?;
    first_initrd(root)
}

/// The initrd has the drivers of this machine's disk, by name: `MODULES=dep` would look at this host's disks
/// now, and take twice as long in each rebuild of a scenario. The guest makes it once more in its first
/// boot, with what only a machine that runs tells.
fn first_initrd(root: &Path) -> Result<()> {
    let modules = root.join("etc/initramfs-tools/modules");
    let config = root.join("etc/initramfs-tools/initramfs.conf");
    let usual = fs::read_to_string(&modules)?;
    fs::write(&modules, usual + "virtio_pci\nvirtio_blk\next4\n")?;
    let usual = fs::read_to_string(&config)?;
    ensure!(usual.contains("MODULES=most"), "{}", config.display());
    fs::write(&config, usual.replace("MODULES=most", "MODULES=list"))?;
    let mut update = host::command("chroot");
    host::run(update.arg(root).args(["update-initramfs", "-u", "-k", "all"]))?;
    Ok(())
}

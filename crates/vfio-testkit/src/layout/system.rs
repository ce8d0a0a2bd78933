//! The files of a Debian 12 host: `/etc`, `/boot`, `/usr` and `/var`.

use std::io;

use crate::{description::Description, pci_ids};

use super::{Edits, maker::Maker, pci};

/// Of the file system under `/`.
const UUID: &str = "5a3d0e8c-7c1f-4d52-9b60-2f8e4c6a9d13";

/// Lays the system out.
pub(super) fn lay_out(make: &Maker, machine: &Description, edits: Edits) -> io::Result<()> {
    let kernels = machine.kernels();
    running(make, &kernels[0])?;
    distribution(make, &machine.name)?;
    grub(make, edits)?;
    initramfs(make, edits)?;
    programs(make)?;
    for kernel in &kernels {
        installed(make, machine, kernel)?;
    }
    make.file("usr/share/misc/pci.ids", pci_ids::text(machine))?;
    for dir in ["var/lib", "run", "tmp"] {
        make.dir(dir)?;
    }
    for dir in ["lib", "sbin", "bin"] {
        make.dir(&format!("usr/{dir}"))?;
        make.link(dir, &format!("usr/{dir}"))?;
    }
    Ok(())
}

fn running(make: &Maker, release: &str) -> io::Result<()> {
    let cmdline = format!("BOOT_IMAGE=/boot/vmlinuz-{release} root=UUID={UUID} ro quiet splash\n");
    make.file("proc/cmdline", cmdline)?;
    make.file("proc/sys/kernel/osrelease", format!("{release}\n"))?;
    let version = format!("Linux version {release} (sample) #1 SMP PREEMPT_DYNAMIC Debian\n");
    make.file("proc/version", version)
}

fn distribution(make: &Maker, name: &str) -> io::Result<()> {
    make.file("etc/os-release", include_str!("../../assets/os-release"))?;
    make.file("etc/debian_version", "12.12\n")?;
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    make.file("etc/hostname", format!("{name:.60}\n"))?;
    make.file("etc/fstab", format!("UUID={UUID} / ext4 errors=remount-ro 0 1\n"))
}

fn grub(make: &Maker, edits: Edits) -> io::Result<()> {
    let plain = include_str!("../../assets/default-grub");
    let text = match edits {
        Edits::None => plain.to_owned(),
        Edits::Crlf => plain.replace('\n', "\r\n"),
        Edits::User => {
            let own = "'quiet splash amdgpu.ppfeaturemask=0xffffffff' # set by hand";
            plain.replace("\"quiet splash\"", own).replace("TIMEOUT=5", "TIMEOUT=12")
                + "GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} zswap.enabled=0\"\n\
                   GRUB_SAVEDEFAULT=true\n#GRUB_DEFAULT=\"1>2\""
        }
    };
    make.file("etc/default/grub", text)?;
    make.dir("etc/default/grub.d")?;
    make.program("etc/grub.d/00_header", include_str!("../../assets/00_header"))?;
    make.program("etc/grub.d/10_linux", include_str!("../../assets/10_linux"))?;
    make.program("etc/grub.d/40_custom", include_str!("../../assets/40_custom"))?;
    make.file("boot/grub/grub.cfg", include_str!("../../assets/grub.cfg"))?;
    make.file("boot/grub/grubenv", format!("{:#<1024}", "# GRUB Environment Block\n"))
}

fn initramfs(make: &Maker, edits: Edits) -> io::Result<()> {
    let end =
        |text: &str| if edits == Edits::Crlf { text.replace('\n', "\r\n") } else { text.into() };
    let user = |text| if edits == Edits::User { text } else { "" };
    let modules = "# List of modules that you want to include in your initramfs.\n#\n# raid1\n\
                   # sd_mod\n";
    let modules = modules.to_owned() + user("\nthinkpad_acpi fan_control=1\nvhost_net");
    make.file("etc/initramfs-tools/modules", end(&modules))?;
    let settings = "MODULES=most\nBUSYBOX=auto\nCOMPRESS=zstd\n";
    make.file("etc/initramfs-tools/initramfs.conf", end(settings))?;
    for dir in ["hooks", "scripts/init-top", "conf.d"] {
        make.dir(&format!("etc/initramfs-tools/{dir}"))?;
    }
    let modules = "# /etc/modules: kernel modules to load at boot time.\n#\n";
    make.file("etc/modules", end(&(modules.to_owned() + user("loop\n"))))?;
    make.dir("etc/modprobe.d")?;
    make.dir("etc/modules-load.d")?;
    if edits == Edits::User {
        let own = "# no sound from the screen\noptions snd_hda_intel enable=1,0\n";
        make.file("etc/modprobe.d/local.conf", own)?;
    }
    Ok(())
}

/// Just enough that programs find what belongs to a Debian host; only `grub-mkconfig` works.
fn programs(make: &Maker) -> io::Result<()> {
    make.program("usr/sbin/grub-mkconfig", include_str!("../../assets/grub-mkconfig"))?;
    make.program("usr/sbin/update-grub", include_str!("../../assets/update-grub"))?;
    for name in ["sbin/update-initramfs", "sbin/mkinitramfs", "bin/grub-editenv", "bin/cp"] {
        make.program(&format!("usr/{name}"), include_str!("../../assets/stub"))?;
    }
    Ok(())
}

fn installed(make: &Maker, machine: &Description, release: &str) -> io::Result<()> {
    make.file(&format!("boot/vmlinuz-{release}"), format!("sample kernel {release}\n"))?;
    make.file(&format!("boot/initrd.img-{release}"), format!("sample initrd of {release}\n"))?;
    let old = release.starts_with("5.");
    let ticks = if old {
        "# CONFIG_NO_HZ_FULL is not set\n"
    } else {
        "CONFIG_NO_HZ_FULL=y\nCONFIG_RCU_NOCB_CPU=y\n"
    };
    let config = include_str!("../../assets/config").to_owned() + ticks;
    make.file(&format!("boot/config-{release}"), config)?;
    let modules = format!("usr/lib/modules/{release}");
    make.file(&format!("{modules}/modules.builtin"), include_str!("../../assets/modules.builtin"))?;
    make.file(&format!("{modules}/modules.dep"), include_str!("../../assets/modules.dep"))?;
    make.file(&format!("{modules}/modules.alias"), pci::aliases(machine))
}

//! What a person does with the files: in which order, and with which programs.

use vfio_core::host::{Initramfs, Loader};

use super::entries::{Menu, Pin};

/// What to do, in this order: whatever boots by itself does so until everything else is in place.
pub(super) fn steps(
    loader: Loader,
    initramfs: Initramfs,
    menu: &Menu,
    stale: &[String],
) -> Vec<String> {
    let mut steps: Vec<String> = pin(loader, &menu.pin).into_iter().collect();
    steps.push("put the files above in place".to_owned());
    let remove =
        |path: &String| format!("remove /{}, which an earlier menu left", path.escape_debug());
    steps.extend(stale.iter().map(remove));
    steps.extend(images(initramfs).into_iter().map(str::to_owned));
    if loader == Loader::Grub {
        steps.push("grub-mkconfig -o /boot/grub/grub.cfg".to_owned());
        return steps;
    }
    steps.push("for each new kernel the same again: it gets no entry of ours by itself".to_owned());
    steps.push("when a kernel is removed, remove the entries of ours for it too".to_owned());
    if let Some(name) = &menu.default {
        let what = "last, so that the entry with the newest kernel boots by itself";
        steps.push(format!("{what}: {}", set_default(loader, name)));
    }
    steps
}

/// Names to the loader what boots by itself already.
fn pin(loader: Loader, pin: &Pin) -> Option<String> {
    let what = "first, so that none of ours boots by itself merely by its name";
    match pin {
        Pin::Needless => None,
        Pin::Entry(id) => Some(format!("{what}: {}", set_default(loader, id))),
        Pin::Unknown => {
            let command = set_default(loader, "NAME");
            Some(format!("{what}: {command}, with the NAME of the entry that boots by itself now"))
        }
    }
}

fn set_default(loader: Loader, name: &str) -> String {
    match loader {
        Loader::SystemdBoot => format!("bootctl set-default {name}"),
        Loader::GrubBls => format!("grub2-set-default {}", name.trim_end_matches(".conf")),
        Loader::Grub | Loader::Unknown => format!("make {name} the boot loader's default"),
    }
}

/// What brings script and driver into the initial RAM file system.
fn images(initramfs: Initramfs) -> Vec<&'static str> {
    match initramfs {
        Initramfs::Mkinitcpio => vec![
            "put `deploy-vfio` before `udev` or `systemd` in HOOKS of /etc/mkinitcpio.conf",
            "mkinitcpio -P",
        ],
        Initramfs::Dracut => vec!["dracut --force --regenerate-all"],
        Initramfs::InitramfsTools => vec!["update-initramfs -u -k all"],
        Initramfs::Unknown => vec![
            "have the initial RAM file system hold vfio-pci, vfio_iommu_type1, `sh`, `modprobe`, and \
             /usr/local/lib/deploy-vfio/bind as /scripts/init-top/deploy-vfio",
            "have a hook of it run `sh /scripts/init-top/deploy-vfio` before udev, or whatever else \
             loads drivers, starts",
            "build the initial RAM file systems",
        ],
    }
}

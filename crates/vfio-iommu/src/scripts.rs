//! What the initial RAM file system is given, so that devices are bound before any driver takes them:
//! one script, and vfio-pci, by way of whatever builds it.
//!
//! Invariant: the script has the same name in every image, whoever built it.

use vfio_core::{
    change::Draft,
    host::{Initramfs, Machine},
};

use crate::Error;

/// initramfs-tools runs the script itself, and this hook adds the driver.
const SCRIPT: &str = "etc/initramfs-tools/scripts/init-top/deploy-vfio";
const HOOK: &str = "etc/initramfs-tools/hooks/deploy-vfio";
/// dracut looks for modules here only.
const MODULE: &str = "usr/lib/dracut/modules.d/90deploy-vfio/module-setup.sh";
const MODULE_HOOK: &str = "usr/lib/dracut/modules.d/90deploy-vfio/deploy-vfio.sh";
const MODULE_SCRIPT: &str = "usr/lib/dracut/modules.d/90deploy-vfio/bind";
/// Looks at every initramfs that is made later: by update-initramfs, by dracut's hook of kernels.
const GUARD: &str = "etc/initramfs/post-update.d/deploy-vfio";
const KERNEL_GUARD: &str = "etc/kernel/postinst.d/zy-deploy-vfio";

/// The script for whatever else puts it into an image.
const LOOSE: &str = "usr/local/lib/deploy-vfio/bind";
/// Where mkinitcpio's hook of ours takes what it puts into images.
const INITCPIO: [(&str, &str); 4] = [
    ("etc/initcpio/install/deploy-vfio", include_str!("../assets/initcpio-install")),
    ("etc/initcpio/hooks/deploy-vfio", include_str!("../assets/initcpio-hook")),
    (LOOSE, BIND),
    (
        "usr/local/lib/deploy-vfio/deploy-vfio-bind.service",
        include_str!("../assets/deploy-vfio-bind.service"),
    ),
];
const BIND: &str = include_str!("../assets/init-top-deploy-vfio");

const ALL: [&str; 7] = [SCRIPT, HOOK, MODULE, MODULE_HOOK, MODULE_SCRIPT, GUARD, KERNEL_GUARD];

/// What brings script and driver into an initial RAM file system of this kind; nothing where it is not
/// known how.
pub(crate) fn of(initramfs: Initramfs) -> Vec<(&'static str, &'static str)> {
    let guard = include_str!("../assets/post-update-deploy-vfio");
    match initramfs {
        Initramfs::Dracut => vec![
            (MODULE, include_str!("../assets/dracut-module-setup.sh")),
            (MODULE_HOOK, include_str!("../assets/dracut-pre-udev.sh")),
            (MODULE_SCRIPT, BIND),
            (KERNEL_GUARD, guard),
        ],
        Initramfs::InitramfsTools => vec![
            (SCRIPT, BIND),
            (HOOK, include_str!("../assets/initramfs-hook-deploy-vfio")),
            (GUARD, guard),
        ],
        Initramfs::Mkinitcpio => INITCPIO.to_vec(),
        Initramfs::Unknown => Vec::new(),
    }
}

/// The same for a person to put in place: the script alone where it is not known how. What another
/// program's images had goes.
pub(crate) fn by_hand(
    draft: &mut Draft<'_>,
    initramfs: Initramfs,
) -> Vec<(&'static str, &'static str)> {
    let wanted = match initramfs {
        Initramfs::Unknown => vec![(LOOSE, BIND)],
        known => of(known),
    };
    let all = ALL.iter().chain(INITCPIO.iter().map(|(path, _)| path));
    for path in all.filter(|path| wanted.iter().all(|(other, _)| other != *path)) {
        draft.remove(path);
    }
    wanted
}

/// Writes them for what builds the initial RAM file system on `machine`.
pub(crate) fn write(draft: &mut Draft<'_>, machine: &Machine) -> Result<(), Error> {
    let wanted = of(machine.boot.initramfs);
    // Another program may have built it before.
    for path in ALL.iter().filter(|path| wanted.iter().all(|(other, _)| other != *path)) {
        draft.remove(path);
    }
    for (path, text) in wanted {
        draft.write_executable(path, text)?;
    }
    Ok(())
}

/// Takes them away.
pub(crate) fn remove(draft: &mut Draft<'_>) {
    ALL.iter().for_each(|path| draft.remove(path));
}

/// Refuses a machine whose initial RAM file system cannot be given them.
pub(crate) fn supported(machine: &Machine) -> Result<(), Error> {
    match machine.boot.initramfs {
        Initramfs::InitramfsTools | Initramfs::Dracut => Ok(()),
        Initramfs::Mkinitcpio => Err(refused("mkinitcpio builds", BOTH)),
        Initramfs::Unknown => Err(refused("nothing known builds", BOTH)),
    }
}

/// The same for a setup by files, which stand where initramfs-tools looks for them.
pub(crate) fn supports_files(machine: &Machine) -> Result<(), Error> {
    match machine.boot.initramfs {
        Initramfs::Dracut => Err(refused("dracut builds", "`static grub` works with dracut")),
        _ => supported(machine),
    }
}

const BOTH: &str =
    "initramfs-tools (Debian, Ubuntu and their kin) and dracut are what is supported";

const BY_HAND: &str = "`deploy-vfio multiboot --by-hand` prints what to put in place yourself";

fn refused(builds: &str, help: &str) -> Error {
    vfio_core::Error::Refused {
        what: "devices cannot be bound at boot on this system".to_owned(),
        because: vec![format!("{builds} the initial RAM file system here")],
        help: vec![help.to_owned(), BY_HAND.to_owned()],
    }
    .into()
}

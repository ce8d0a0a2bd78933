//! Whether the menu that was generated boots what was planned.
//!
//! `grub-script-check` accepts a menu whose kernel and initrd do not exist, so that is checked
//! here: entries, default, kernel, initial RAM file system, root and parameters.

use std::fmt::Write;

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline, Error, Result, Root,
    change::{Artefact, Draft, Rebuild},
    host::{Availability, Kernel, Kernels},
};

use crate::{Entry, Menu, MenuEntry, entries, parameters};

/// Where `grub-mkconfig` leaves the menu on Debian and its kin.
const CFG: &str = "boot/grub/grub.cfg";

/// The script that binds devices, as it is named inside an initial RAM file system.
const SCRIPT: &str = "scripts/init-top/deploy-vfio";

/// What a generated menu must offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    entries: Vec<Entry>,
    default: Option<String>,
    parameters: Cmdline,
}

impl Expected {
    /// What follows from the files as `draft` will have them.
    pub fn of(draft: &Draft<'_>) -> Result<Self, crate::Error> {
        let (entries, default) = entries(draft)?;
        Ok(Self { entries, default, parameters: parameters(draft)? })
    }
}

/// Checks the generated files, staged or in place, against `expected`.
///
/// `staged` names those that are not in place yet; what is not among them is read where it is.
///
/// # Errors
///
/// [`Error::Unverified`] with every reason found.
pub fn verify(root: &Root, staged: &[Artefact], expected: &Expected) -> Result<()> {
    let cfg = staged.iter().find(|artefact| artefact.what == Rebuild::BootMenu);
    let path = cfg.map_or(CFG, |artefact| artefact.staged.as_str());
    let Some(text) = root.text(path)? else {
        return unverified(
            "the boot menu was not generated",
            vec![format!("/{path} does not exist")],
        );
    };
    let menu = Menu::parse(&text);
    let kernels = Kernels::read(root)?;
    let mut faults = Vec::new();
    for entry in &expected.entries {
        match menu.top_level(&entry.id) {
            Some(found) => {
                check_ours(entry, found, expected, &mut faults);
                check_bootable(root, found, &mut faults)?;
                check_image(staged, found, &kernels, &mut faults);
            }
            None => faults.push(format!("the menu has no entry `{}`", entry.id)),
        }
    }
    check_others(root, &menu, expected, &mut faults)?;
    if let Some(default) = &expected.default
        && !(menu.defaults.contains(default) && menu.top_level(default).is_some())
    {
        faults.push(format!("the menu does not start `{default}` by itself"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    unverified("the boot menu that was generated would not boot what was planned", faults)
}

fn unverified(what: &str, because: Vec<String>) -> Result<()> {
    Err(Error::Unverified { what: what.to_owned(), because })
}

/// An entry of ours has its parameters, whole.
fn check_ours(entry: &Entry, found: &MenuEntry, expected: &Expected, faults: &mut Vec<String>) {
    for parameter in entry.arguments.iter().chain(expected.parameters.iter()) {
        if !found.arguments.contains(parameter) {
            faults.push(format!("entry `{}` lacks `{parameter}`", entry.id));
        }
    }
    if found.arguments.to_string().len() >= CMDLINE_MAX_LEN {
        faults.push(format!("entry `{}` is longer than a kernel reads", entry.id));
    }
}

/// The normal entry boots, and has nothing that belongs into entries of ours.
fn check_others(
    root: &Root,
    menu: &Menu,
    expected: &Expected,
    faults: &mut Vec<String>,
) -> Result<()> {
    let ours = |entry: &MenuEntry| entry.id.starts_with("deploy-vfio-");
    let mut normal = menu.entries.iter().filter(|e| !ours(e) && !e.kernel.is_empty()).peekable();
    let Some(first) = normal.peek() else {
        faults.push("the menu has no normal entry".into());
        return Ok(());
    };
    check_bootable(root, first, faults)?;
    for entry in normal {
        if entry.arguments.iter().any(|word| word.starts_with("deploy_vfio.")) {
            faults.push(format!("the normal entry `{}` would bind devices", entry.title));
        }
        let static_setup = expected.entries.is_empty() && !entry.id.contains("-recovery-");
        for word in expected.parameters.iter().filter(|_| static_setup) {
            if !entry.arguments.contains(word) {
                faults.push(format!("the normal entry `{}` lacks `{word}`", entry.title));
            }
        }
    }
    Ok(())
}

/// Kernel, initial RAM file system and root exist.
fn check_bootable(root: &Root, entry: &MenuEntry, faults: &mut Vec<String>) -> Result<()> {
    if entry.initrds.is_empty() {
        faults.push(format!("entry `{}` loads no initial RAM file system", entry.id));
    }
    for path in entry.initrds.iter().chain([&entry.kernel]) {
        // GRUB's path starts at the file system that holds /boot, which we cannot know here:
        // the file's name is enough, kernels lie in /boot itself.
        let file = format!("boot/{}", path.rsplit('/').next().unwrap_or_default());
        if root.size(&file)?.is_none_or(|size| size == 0) {
            faults.push(format!("entry `{}` needs /{file}, which is missing or empty", entry.id));
        }
    }
    let Some(device) = entry.arguments.value("root") else {
        faults.push(format!("entry `{}` names no root", entry.id));
        return Ok(());
    };
    let links = [("UUID=", "by-uuid"), ("PARTUUID=", "by-partuuid"), ("LABEL=", "by-label")];
    for (prefix, dir) in links {
        let dir = format!("dev/disk/{dir}");
        if let Some(id) = device.strip_prefix(prefix)
            && root.exists(&dir)?
            && root.link(&format!("{dir}/{id}"))?.is_none()
        {
            faults.push(format!("entry `{}` has root={device}, which does not exist", entry.id));
        }
    }
    Ok(())
}

/// The initial RAM file system that an entry of ours loads can bind devices.
fn check_image(
    staged: &[Artefact],
    entry: &MenuEntry,
    kernels: &Kernels,
    faults: &mut Vec<String>,
) {
    let release = entry.kernel.rsplit('/').next().unwrap_or_default();
    let release = release.strip_prefix("vmlinuz-").unwrap_or(release);
    let images = staged.iter().filter(|artefact| artefact.what == Rebuild::Initramfs);
    for image in images.filter(|artefact| artefact.path.ends_with(&format!("-{release}"))) {
        let Some(listing) = &image.listing else { continue };
        let has = |name: &str| listing.iter().any(|file| file.contains(name));
        let mut missing = String::new();
        if entry.arguments.value("deploy_vfio.bind").is_some() && !has(SCRIPT) {
            let _ = write!(missing, " {SCRIPT}");
        }
        let kernel: Option<&Kernel> = kernels.installed.iter().find(|k| k.release == release);
        if kernel.is_none_or(|k| k.vfio_pci != Availability::BuiltIn) && !has("vfio-pci.ko") {
            missing.push_str(" vfio-pci");
        }
        if !missing.is_empty() {
            faults.push(format!("/{} for entry `{}` lacks{missing}", image.path, entry.id));
        }
    }
}

//! Whether what was generated boots what was planned.
//!
//! `grub-script-check` accepts a menu whose kernel and initrd do not exist, so that is checked
//! here: entries, default, kernel, initial RAM file system, root and parameters; and, where they
//! can be listed, that the initial RAM file systems hold what binds devices.

use std::fmt::Write;

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline, Error, Result, Root,
    change::{Artefact, Draft, Rebuild},
    host::{Availability, Kernel, Kernels},
    layout::{MODPROBE, TRIAL, TRIAL_NEXT},
};

use crate::{
    Entry, Menu, MenuEntry, entries,
    kept::{self, Kept},
    parameters,
};

/// Where `grub-mkconfig` leaves the menu on Debian and its kin.
const CFG: &str = "boot/grub/grub.cfg";

/// The script that binds devices, as it is named inside an initial RAM file system.
const SCRIPT: &str = "scripts/init-top/deploy-vfio";

/// What a generated menu must offer, and initial RAM file systems must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    entries: Vec<Entry>,
    default: Option<String>,
    parameters: Cmdline,
    /// Whether files bind devices, at whatever entry.
    by_file: bool,
    /// What must stay as it was.
    kept: Kept,
    /// Whether an entry is on trial.
    tries: bool,
}

impl Expected {
    /// What follows from the files as `draft` will have them.
    pub fn of(draft: &Draft<'_>) -> Result<Self, crate::Error> {
        let (entries, default) = entries(draft)?;
        let by_file = draft.bytes(MODPROBE)?.is_some();
        let (parameters, kept) = (parameters(draft)?, Kept::of(draft)?);
        let tries = draft.bytes(TRIAL)?.is_some();
        Ok(Self { entries, default, parameters, by_file, kept, tries })
    }

    /// Whether nothing is expected of a boot menu of GRUB's.
    fn needs_no_menu(&self) -> bool {
        self.by_file && self.entries.is_empty() && self.parameters.is_empty()
    }

    /// Whether the normal entry is meant to have this word.
    fn for_normal(&self, entry: &MenuEntry, word: &str) -> bool {
        let recovery = entry.id.contains("-recovery-");
        self.entries.is_empty() && !recovery && self.parameters.contains(word)
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
    let kernels = Kernels::read(root)?;
    check_files(root, staged, expected, &kernels)?;
    let cfg = staged.iter().find(|artefact| artefact.what == Rebuild::BootMenu);
    let path = cfg.map_or(CFG, |artefact| artefact.staged.as_str());
    let Some(text) = root.text(path)? else {
        if expected.needs_no_menu() {
            return Ok(());
        }
        let because = vec![format!("/{path} does not exist")];
        return unverified("the boot menu was not generated", because);
    };
    let menu = Menu::parse(&text);
    let mut faults = Vec::new();
    if cfg.is_some()
        && let Some(old) = root.text(CFG)?
    {
        expected.kept.check_menu(&Menu::parse(&old), &menu, &mut faults);
    }
    for entry in &expected.entries {
        match menu.top_level(&entry.id) {
            Some(found) => {
                check_ours(entry, found, expected, &mut faults);
                check_root(found, &menu, &mut faults);
                check_bootable(root, found, &mut faults)?;
                check_image(staged, found, &kernels, &mut faults);
            }
            None => faults.push(format!("the menu has no entry `{}`", entry.id)),
        }
    }
    check_others(root, staged, &menu, expected, &kernels, &mut faults)?;
    if expected.tries && !text.contains(TRIAL_NEXT) {
        faults
            .push("the menu does not look at what is on trial: see what `update-grub` says".into());
    }
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

/// An entry of ours has the root of one of the distribution's.
fn check_root(found: &MenuEntry, menu: &Menu, faults: &mut Vec<String>) {
    let normal = menu.entries.iter().filter(|entry| entry.is_distribution_s());
    let roots: Vec<_> = normal.map(|entry| entry.arguments.value("root")).collect();
    if !roots.is_empty() && !roots.contains(&found.arguments.value("root")) {
        faults.push(format!("entry `{}` has another root than the normal entries", found.id));
    }
}

/// The normal entries boot, with the parameters of a setup without a menu and no others of ours.
fn check_others(
    root: &Root,
    staged: &[Artefact],
    menu: &Menu,
    expected: &Expected,
    kernels: &Kernels,
    faults: &mut Vec<String>,
) -> Result<()> {
    let ours = |entry: &&MenuEntry| entry.id.starts_with("deploy-vfio-");
    let normal: Vec<_> = menu.entries.iter().filter(|e| !ours(e) && !e.kernel.is_empty()).collect();
    // Other systems, memory tests and the user's own entries are the user's, and get no parameters of ours.
    let mut own: Vec<_> = menu.of_distribution().filter(|e| !e.kernel.is_empty()).collect();
    if own.is_empty() {
        own.extend(normal.first());
    }
    let Some(&first) = own.first() else {
        faults.push("the menu has no normal entry".into());
        return Ok(());
    };
    check_bootable(root, first, faults)?;
    for entry in &normal {
        let foreign =
            |word: &str| word.starts_with("deploy_vfio.") && !expected.for_normal(entry, word);
        if entry.arguments.iter().any(foreign) {
            faults.push(format!("the normal entry `{}` would bind devices", entry.title));
        }
    }
    for entry in own {
        let wanted = expected.parameters.iter().filter(|word| expected.for_normal(entry, word));
        for word in wanted.filter(|word| !entry.arguments.contains(word)) {
            faults.push(format!("the normal entry `{}` lacks `{word}`", entry.title));
        }
        // The script leaves an older kernel alone that has no vfio-pci; the first must have it.
        if std::ptr::eq(entry, first) || !lacks_vfio(entry, kernels) {
            check_image(staged, entry, kernels, faults);
        }
    }
    Ok(())
}

/// The release of the kernel that an entry boots.
fn release(entry: &MenuEntry) -> &str {
    let file = entry.kernel.rsplit('/').next().unwrap_or_default();
    file.strip_prefix("vmlinuz-").unwrap_or(file)
}

/// Whether an entry's kernel is known to have no vfio-pci at all.
fn lacks_vfio(entry: &MenuEntry, kernels: &Kernels) -> bool {
    let mut installed = kernels.installed.iter();
    let kernel = installed.find(|kernel| kernel.release == release(entry));
    kernel.is_some_and(|kernel| kernel.vfio_pci == Availability::Missing)
}

/// Kernel, initial RAM file system and root exist.
fn check_bootable(root: &Root, entry: &MenuEntry, faults: &mut Vec<String>) -> Result<()> {
    let name = entry.name();
    if entry.initrds.is_empty() {
        faults.push(format!("entry `{name}` loads no initial RAM file system"));
    }
    for path in entry.initrds.iter().chain([&entry.kernel]) {
        // GRUB's path starts at the file system that holds /boot, which we cannot know here:
        // the file's name is enough, kernels lie in /boot itself.
        let file = format!("boot/{}", path.rsplit('/').next().unwrap_or_default());
        if root.size(&file)?.is_none_or(|size| size == 0) {
            faults.push(format!("entry `{name}` needs /{file}, which is missing or empty"));
        }
    }
    let Some(device) = entry.arguments.value("root") else {
        faults.push(format!("entry `{name}` names no root"));
        return Ok(());
    };
    let links = [("UUID=", "by-uuid"), ("PARTUUID=", "by-partuuid"), ("LABEL=", "by-label")];
    for (prefix, dir) in links {
        let dir = format!("dev/disk/{dir}");
        if let Some(id) = device.strip_prefix(prefix)
            && root.exists(&dir)?
            && root.link(&format!("{dir}/{id}"))?.is_none()
        {
            faults.push(format!("entry `{name}` has root={device}, which does not exist"));
        }
    }
    Ok(())
}

/// The initial RAM file system that an entry loads can bind devices, if the entry asks for it.
fn check_image(
    staged: &[Artefact],
    entry: &MenuEntry,
    kernels: &Kernels,
    faults: &mut Vec<String>,
) {
    if entry.arguments.value("deploy_vfio.entry").is_none() {
        return;
    }
    let release = release(entry);
    for image in images(staged).filter(|image| image.path.ends_with(&format!("-{release}"))) {
        if let Some(missing) = lacks(image, release, kernels, SCRIPT) {
            faults.push(format!("/{} for entry `{}` lacks{missing}", image.path, entry.id));
        }
    }
}

/// Every initial RAM file system opens the disks that it opened, and holds the files that bind devices.
fn check_files(
    root: &Root,
    staged: &[Artefact],
    expected: &Expected,
    kernels: &Kernels,
) -> Result<()> {
    let mut faults = Vec::new();
    for image in images(staged) {
        kept::check_image(root, image, &mut faults)?;
    }
    for kernel in kernels.installed.iter().filter(|_| expected.by_file) {
        let of_kernel = |image: &&Artefact| Some(&image.path) == kernel.initrd.as_ref();
        for image in images(staged).filter(of_kernel) {
            let missing = lacks(image, &kernel.release, kernels, MODPROBE);
            faults.extend(missing.map(|missing| format!("/{} lacks{missing}", image.path)));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => unverified("the initramfs that was generated would not do", faults),
    }
}

fn images(staged: &[Artefact]) -> impl Iterator<Item = &Artefact> {
    staged.iter().filter(|artefact| artefact.what == Rebuild::Initramfs)
}

/// What an initial RAM file system does not hold of `file` and vfio-pci; `None` when it has all,
/// and when nothing could list it.
fn lacks(image: &Artefact, release: &str, kernels: &Kernels, file: &str) -> Option<String> {
    let listing = image.listing.as_ref()?;
    let has = |name: &str| listing.iter().any(|path| path.contains(name));
    let mut missing = String::new();
    if !has(file) {
        let _ = write!(missing, " {file}");
    }
    let kernel: Option<&Kernel> = kernels.installed.iter().find(|k| k.release == release);
    if kernel.is_none_or(|k| k.vfio_pci != Availability::BuiltIn) && !has("vfio-pci.ko") {
        missing.push_str(" vfio-pci");
    }
    (!missing.is_empty()).then_some(missing)
}

//! A menu for systems that are not served: its files, printed for a person to put in place.

use serde_json::json;
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    Root,
    change::{Draft, Image},
    host::{Initramfs, Loader, Machine},
};
use vfio_grub::{Entry, LoaderEntry};

use crate::{Multiboot, multiboot};

/// Where loaders look for entries: below `/boot`, or on the firmware's partition.
const ENTRIES: [&str; 3] = ["boot/loader/entries", "efi/loader/entries", "boot/efi/loader/entries"];

/// A file as it is to be.
struct File {
    path: String,
    mode: u32,
    text: String,
}

impl Multiboot {
    /// Prints the files of this menu for a loader that reads an entry from each file, and for whatever
    /// builds the initial RAM file system; nothing is written.
    ///
    /// # Errors
    ///
    /// A system that is served, where the menu can be deployed; one with no entries to begin with; what
    /// a deployment would refuse of the devices.
    pub fn print_by_hand(&self, cx: &Context) -> Result<(), Failure> {
        let machine = cx.machine()?;
        let (loader, initramfs) = (machine.boot.loader, machine.boot.initramfs);
        let builders = [Initramfs::InitramfsTools, Initramfs::Dracut];
        if loader == Loader::Grub && builders.contains(&initramfs) {
            let help = ["without `--by-hand` the menu is deployed, and can be taken back"];
            return Err(Usage::refused("this system is served", &help).into());
        }
        let mut draft = cx.draft();
        let (_, entries) = multiboot::offered(&draft, &machine, self)?;
        let default = vfio_iommu::choose(&entries, &machine, self.entry)?;
        let default = default.map(|entry| entry.id.as_str());
        let lines = multiboot::lines(&machine, &entries, self)?;
        let mut files = scripts(&mut draft, &machine, &entries)?;
        let mut first = None;
        if loader == Loader::Grub {
            files.extend(of_grub(draft, &machine, &lines, default)?);
        } else {
            let (found, name) = of_loader(cx.root(), &draft, &lines, default)?;
            files.extend(found);
            first = name;
        }
        tell(cx, &files, &steps(loader, initramfs, first.as_deref()));
        Ok(())
    }
}

/// What brings script and driver into the initial RAM file system; the parameters that all entries share
/// go into `draft`.
fn scripts(
    draft: &mut Draft<'_>,
    machine: &Machine,
    entries: &[vfio_iommu::Entry],
) -> Result<Vec<File>, Failure> {
    let scripts = vfio_iommu::by_hand(draft, machine, entries)?.into_iter();
    let file = |(path, text): (&str, &str)| File {
        path: path.to_owned(),
        mode: if path.ends_with(".service") { 0o644 } else { 0o755 },
        text: text.to_owned(),
    };
    Ok(scripts.map(file).collect())
}

/// The files that GRUB's own generators read.
fn of_grub(
    mut draft: Draft<'_>,
    machine: &Machine,
    lines: &[Entry],
    default: Option<&str>,
) -> Result<Vec<File>, Failure> {
    vfio_grub::set_entries(&mut draft, lines, default)?;
    vfio_grub::render(&mut draft, &machine.boot)?;
    let mut files = Vec::new();
    for change in draft.finish("by hand")?.changes {
        if let Image::File { bytes, meta } = change.after {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            files.push(File { path: change.path, mode: meta.mode, text });
        }
    }
    Ok(files)
}

/// Entries beside those that the loader has, and the name of the default one.
fn of_loader(
    root: &Root,
    draft: &Draft<'_>,
    lines: &[Entry],
    default: Option<&str>,
) -> Result<(Vec<File>, Option<String>), Failure> {
    let shared = vfio_grub::parameters(draft)?;
    let (mut files, mut first) = (Vec::new(), None);
    for dir in ENTRIES {
        // The newest kernel by its name comes first.
        for name in root.names(dir)?.into_iter().rev() {
            let text = root.text(&format!("{dir}/{name}"))?.unwrap_or_default();
            for line in lines {
                let Some(made) = LoaderEntry::beside(&name, &text, line, &shared) else { continue };
                if default == Some(&line.id) && first.is_none() {
                    first = Some(made.name.clone());
                }
                let path = format!("{dir}/{}", made.name);
                files.push(File { path, mode: 0o644, text: made.text });
            }
        }
    }
    if files.is_empty() {
        let help = ["as root: not everybody may read /boot/loader/entries"];
        return Err(Usage::refused("there is no boot loader entry to begin with", &help).into());
    }
    Ok((files, first))
}

fn tell(cx: &Context, files: &[File], steps: &[String]) {
    if cx.global().json {
        let file = |File { path, mode, text }: &File| json!({ "path": format!("/{path}"), "mode": format!("{mode:04o}"), "text": text });
        let files: Vec<_> = files.iter().map(file).collect();
        vfio_cli::json::print(json!({ "files": files, "steps": steps }));
        return;
    }
    for File { path, mode, text } in files {
        cx.print(format!("==> /{path} ({mode:04o}) <==\n{}\n", text.trim_end()));
    }
    cx.print("==> then, by hand; nobody has booted this on such a system yet <==");
    for step in steps {
        cx.print(format!("* {step}"));
    }
}

/// What is left to do when the files are in place.
fn steps(loader: Loader, initramfs: Initramfs, default: Option<&str>) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    match initramfs {
        Initramfs::Mkinitcpio => {
            let order =
                "put `deploy-vfio` before `udev` or `systemd` in HOOKS of /etc/mkinitcpio.conf";
            steps.extend([order.into(), "mkinitcpio -P".into()]);
        }
        Initramfs::Dracut => steps.push("dracut --force --regenerate-all".into()),
        Initramfs::InitramfsTools => steps.push("update-initramfs -u -k all".into()),
        Initramfs::Unknown => {
            let what =
                "/scripts/init-top/deploy-vfio of another system's initramfs has to run first";
            steps.push(what.into());
        }
    }
    let new = "for each new kernel the same again";
    match (loader, default) {
        (Loader::Grub, _) => steps.push("grub-mkconfig -o /boot/grub/grub.cfg".into()),
        (Loader::SystemdBoot, Some(name)) => {
            steps.extend([format!("bootctl set-default {name}"), new.into()]);
        }
        (Loader::GrubBls, Some(name)) => {
            let id = name.trim_end_matches(".conf");
            steps.extend([format!("grub2-set-default {id}"), new.into()]);
        }
        _ => steps.push(new.into()),
    }
    steps
}

//! A menu for systems that are not served: its files, printed for a person to put in place.

mod entries;
mod steps;

use serde_json::json;
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    change::{Image, Plan},
    host::{Initramfs, Loader, Machine},
};

use crate::{Multiboot, multiboot};

/// What stands in our files where the journal knows of them, and what in those that a person puts in place.
const UNDO: [&str; 2] = ["`deploy-vfio undo` takes it away", "`deploy-vfio undo` takes it back"];
const BY_HAND: &str = "# Made by deploy-vfio, and put in place by hand.";

/// A file as it is to be.
struct File {
    path: String,
    mode: u32,
    text: String,
}

/// What a person needs: the files, and what to do with them.
struct Instructions {
    files: Vec<File>,
    steps: Vec<String>,
    /// What there is to know besides; it changes nothing.
    plan: Plan,
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
        self.instructions(cx, &machine)?.print(cx);
        Ok(())
    }

    fn instructions(&self, cx: &Context, machine: &Machine) -> Result<Instructions, Failure> {
        let mut draft = cx.draft();
        let (chosen, entries) = multiboot::offered(&draft, machine, self)?;
        let default = vfio_iommu::choose(&entries, machine, self.entry)?;
        multiboot::tell(&mut draft, machine, &chosen, &entries, default);
        let default = default.map(|entry| entry.id.as_str());
        let lines = multiboot::lines(machine, &entries, self)?;
        let scripts = vfio_iommu::by_hand(&mut draft, machine, &entries)?;
        let mut files: Vec<File> = scripts.into_iter().map(script).collect();
        let mut menu = entries::Menu::default();
        if machine.boot.loader == Loader::Grub {
            vfio_grub::set_entries(&mut draft, &lines, default)?;
            vfio_grub::render(&mut draft, &machine.boot)?;
        } else {
            menu = entries::beside(cx, &mut draft, machine, &lines, default)?;
            vfio_grub::forget(&mut draft)?;
            draft.remove(vfio_iommu::FRAGMENT);
        }
        let mut plan = draft.finish("by hand")?;
        let stale = settle(&mut plan, &mut files, &mut menu);
        let boot = &machine.boot;
        let steps = steps::steps(boot.loader, boot.initramfs, &menu, &stale);
        files.append(&mut menu.files);
        Ok(Instructions { files, steps, plan })
    }
}

/// What brings script and driver into the initial RAM file system.
fn script((path, text): (&str, &str)) -> File {
    let mode = if path.ends_with(".service") { 0o644 } else { 0o755 };
    File { path: path.to_owned(), mode, text: text.to_owned() }
}

/// Takes the changes out of `plan`: what is to be written goes to `files`, and what an earlier menu left
/// is told.
fn settle(plan: &mut Plan, files: &mut Vec<File>, menu: &mut entries::Menu) -> Vec<String> {
    let mut stale = std::mem::take(&mut menu.stale);
    for change in std::mem::take(&mut plan.changes) {
        match change.after {
            Image::Absent => stale.push(change.path),
            Image::File { bytes, meta } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                files.push(File { path: change.path, mode: meta.mode, text });
            }
            Image::Link(_) | Image::Unkept { .. } => {}
        }
    }
    stale
}

/// The text without what is true only of files that the journal knows.
fn put_in_place(text: &str) -> String {
    let ours = |line: &&str| line.starts_with('#') && UNDO.iter().any(|undo| line.contains(undo));
    let lines: Vec<&str> =
        text.split('\n').map(|line| if ours(&line) { BY_HAND } else { line }).collect();
    lines.join("\n")
}

impl Instructions {
    fn print(&self, cx: &Context) {
        let files = self.files.iter().map(|file| (file, put_in_place(&file.text)));
        if cx.global().json {
            return self.print_json(files);
        }
        for (File { path, mode, .. }, text) in files {
            cx.print(format!("==> /{path} ({mode:04o}) <==\n{}\n", text.trim_end()));
        }
        cx.tell(&self.plan);
        cx.print("==> by hand, in this order; nobody has booted this on such a system yet <==");
        for step in &self.steps {
            cx.print(format!("* {step}"));
        }
    }

    fn print_json<'f>(&self, files: impl Iterator<Item = (&'f File, String)>) {
        let file = |(File { path, mode, .. }, text): (&File, String)| json!({ "path": format!("/{path}"), "mode": format!("{mode:04o}"), "text": text });
        let warnings = self.plan.warnings.iter();
        let warnings = warnings.map(|w| json!({ "what": w.what, "help": w.help }));
        vfio_cli::json::print(json!({
            "files": files.map(file).collect::<Vec<_>>(),
            "steps": self.steps,
            "notes": self.plan.notes,
            "warnings": warnings.collect::<Vec<_>>(),
        }));
    }
}

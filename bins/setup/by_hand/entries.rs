//! Entries of ours beside those that a loader reads from files: which of the system's own they are made
//! from, and which boots by itself meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    Root,
    change::Draft,
    grubenv,
    host::{Loader, Machine, loader_default},
};
use vfio_grub::{Entry, Installation, LoaderEntry, SystemEntry};

use super::File;

/// Where a loader's files are: below `/boot`, or on the firmware's partition.
const PLACES: [&str; 3] = ["boot", "efi", "boot/efi"];
/// Where GRUB keeps its variables.
const VARIABLES: [&str; 2] = ["boot/grub2/grubenv", "boot/grub/grubenv"];
const DENIED: &str = "this user may not read it";

/// The entry that boots by itself now, to be named to the loader: with ours beside it, it could be another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Pin {
    /// It is named already, or is no question for this loader.
    #[default]
    Needless,
    /// The one with this id.
    Entry(String),
    /// Nothing here tells which.
    Unknown,
}

/// The files of a loader's entries.
#[derive(Default)]
pub(super) struct Menu {
    pub(super) files: Vec<File>,
    /// The one of ours that is to boot by itself, by its file's name.
    pub(super) default: Option<String>,
    pub(super) pin: Pin,
    /// Entries of ours that are there and not among the files.
    pub(super) stale: Vec<String>,
}

/// What the directories hold.
#[derive(Default)]
struct Found {
    /// Those that ours are made from, each with its directory, the newest kernel first.
    fit: Vec<(String, SystemEntry)>,
    /// Whatever the loader shows but ours.
    offered: Vec<SystemEntry>,
    ours: Vec<String>,
    /// Which are left out, and why.
    left_out: Vec<String>,
    /// Whether some could not be read by this user.
    denied: bool,
}

/// Entries beside those that the loader has; what was left out is said in `draft`.
///
/// # Errors
///
/// Nothing to make one from.
pub(super) fn beside(
    cx: &Context,
    draft: &mut Draft<'_>,
    machine: &Machine,
    lines: &[Entry],
    default: Option<&str>,
) -> Result<Menu, Failure> {
    let mut found = Found::read(cx.root(), machine)?;
    let shared = vfio_grub::parameters(draft)?;
    let mut menu = Menu { pin: found.pin(cx.root(), machine.boot.loader), ..Menu::default() };
    for (dir, entry) in &found.fit {
        let label = found.label(entry);
        let own = format!("{dir}/{}", entry.name());
        for line in lines {
            match entry.beside(line, &shared, label) {
                Ok(made) => {
                    let path = format!("{dir}/{}", made.name);
                    menu.files.push(File { path, mode: 0o644, text: made.text });
                    if default == Some(&line.id) {
                        menu.default.get_or_insert(made.name);
                    }
                }
                Err(why) => leave_out(&mut found.left_out, &own, &why),
            }
        }
    }
    if menu.files.is_empty() {
        return Err(found.nothing(cx));
    }
    found.left_out.iter().for_each(|left| draft.note(format!("left out {left}")));
    menu.stale = stale(found.ours, &menu.files);
    Ok(menu)
}

/// Those of `ours` that no file takes the place of. By name: the same file system may be mounted twice.
fn stale(mut ours: Vec<String>, files: &[File]) -> Vec<String> {
    let mut names: BTreeSet<String> = files.iter().map(|file| name(&file.path)).collect();
    ours.retain(|path| names.insert(name(path)));
    ours
}

fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

impl Found {
    fn read(root: &Root, machine: &Machine) -> Result<Self, Failure> {
        let mut found = Self::default();
        let mut seen = BTreeSet::new();
        for dir in PLACES.map(|place| format!("{place}/loader/entries")) {
            match names(root, &dir, &mut seen) {
                Ok(names) => names.iter().for_each(|name| found.look(root, machine, &dir, name)),
                Err(error) if error.is_denied() => {
                    found.denied = true;
                    leave_out(&mut found.left_out, &dir, DENIED);
                }
                Err(error) => return Err(error.into()),
            }
        }
        found.fit.sort_by(|(_, a), (_, b)| SystemEntry::newest_first(a, b));
        found.name_apart();
        Ok(found)
    }

    /// Finds out what the file `name` is good for.
    fn look(&mut self, root: &Root, machine: &Machine, dir: &str, name: &str) {
        let path = format!("{dir}/{name}");
        if LoaderEntry::is_ours(name) {
            return self.ours.push(path);
        }
        if !name.ends_with(".conf") || name.starts_with('.') {
            return;
        }
        let text = match root.text(&path) {
            Ok(Some(text)) => text,
            Err(error) if error.is_denied() => {
                self.denied = true;
                return leave_out(&mut self.left_out, &path, DENIED);
            }
            _ => return leave_out(&mut self.left_out, &path, "it is no file that can be read"),
        };
        let Some(mut entry) = SystemEntry::read(name, &text, &machine.kernels.installed) else {
            return;
        };
        // The same file system may be mounted twice.
        if self.offered.contains(&entry) {
            return;
        }
        self.offered.extend(Some(&entry).filter(|entry| entry.is_offered()).cloned());
        match unfit(&mut entry, root, machine) {
            Some(why) => leave_out(&mut self.left_out, &path, &why),
            None => self.fit.push((dir.to_owned(), entry)),
        }
    }

    /// Gives each a name of its own: where the count of tries alone tells them apart, it stays.
    fn name_apart(&mut self) {
        let mut stems: BTreeMap<String, usize> = BTreeMap::new();
        for (_, entry) in &self.fit {
            *stems.entry(entry.stem().to_owned()).or_default() += 1;
        }
        for (_, entry) in self.fit.iter_mut().filter(|(_, entry)| stems[entry.stem()] > 1) {
            entry.keep_count();
        }
        let (mut taken, left_out) = (BTreeSet::new(), &mut self.left_out);
        self.fit.retain(|(dir, entry)| {
            let is_new = taken.insert(entry.stem().to_owned());
            if !is_new {
                let path = format!("{dir}/{}", entry.name());
                leave_out(left_out, &path, "another entry has this name");
            }
            is_new
        });
    }

    /// What tells the entries for this kernel from those for others; `None` where there are no others.
    fn label<'e>(&self, entry: &'e SystemEntry) -> Option<&'e str> {
        let same = |(_, other): &&(String, SystemEntry)| other.version() == entry.version();
        match (self.fit.len(), self.fit.iter().filter(same).count()) {
            (0 | 1, _) => None,
            (_, 1) => Some(entry.version().unwrap_or(entry.stem())),
            _ => Some(entry.stem()),
        }
    }

    /// Which entry is to stay the one that boots by itself.
    fn pin(&self, root: &Root, loader: Loader) -> Pin {
        match loader {
            Loader::SystemdBoot if !is_named_to_systemd(root) => {
                let first = self.offered.iter().min_by(|a, b| SystemEntry::menu_order(a, b));
                match first.filter(|_| unified(root).is_none()) {
                    Some(first) => Pin::Entry(first.id()),
                    None => Pin::Unknown,
                }
            }
            Loader::GrubBls if !is_named_to_grub(root) => {
                let first = self.fit.first();
                first.map_or(Pin::Unknown, |(_, entry)| Pin::Entry(entry.stem().to_owned()))
            }
            _ => Pin::Needless,
        }
    }

    /// Why there is no entry to make one from.
    fn nothing(&self, cx: &Context) -> Failure {
        let mut because = self.left_out.clone();
        if let Some(place) = unified(cx.root()) {
            because.push(format!(
                "/{place}: unified kernel images have their parameters inside, or take none from a \
                 file of ours"
            ));
        }
        if cx.global().machine.is_some() {
            because.push("a machine's description has no boot loader entries".to_owned());
        } else if because.is_empty() {
            let places = PLACES.map(|place| format!("/{place}/loader/entries"));
            because.push(format!("there is no file NAME.conf in {}", places.join(", ")));
        }
        let help: &[&str] =
            if self.denied { &["as root: not everybody may read the entries"] } else { &[] };
        let refused = Usage::refused("there is no boot loader entry to begin with", help);
        refused.because(because).into()
    }
}

/// The names in `dir`; none where the same directory was seen before.
fn names(root: &Root, dir: &str, seen: &mut BTreeSet<String>) -> vfio_core::Result<Vec<String>> {
    let is_new = root.real_path(dir)?.is_some_and(|real| seen.insert(real));
    if is_new { root.names(dir) } else { Ok(Vec::new()) }
}

fn leave_out(left_out: &mut Vec<String>, path: &str, why: &str) {
    let left = format!("/{}: {why}", path.escape_debug());
    if !left_out.contains(&left) {
        left_out.push(left);
    }
}

/// Why nothing can be made from `entry`, which gets the parameters that its loader would give it.
fn unfit(entry: &mut SystemEntry, root: &Root, machine: &Machine) -> Option<String> {
    let bare = machine.boot.loader == Loader::GrubBls && entry.value("options").is_none();
    if let Some(options) = grub_variable(root, "default_kernelopts").filter(|_| bare) {
        entry.set_options(&options);
    }
    let id = root.text("etc/machine-id").ok().flatten().map(|id| id.trim().to_owned());
    let here = Installation {
        machine_id: id.filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()) && id.len() == 32),
        root: machine.boot.cmdline.value("root").map(str::to_owned),
    };
    let bare = || {
        (bare && entry.value("options").is_none()).then(|| {
            "it has no `options`, and GRUB's variables have no `default_kernelopts`".to_owned()
        })
    };
    entry.unfit(&here).or_else(bare)
}

fn grub_variable(root: &Root, name: &str) -> Option<String> {
    VARIABLES.iter().find_map(|path| grubenv::variable_in(root, path, name).ok().flatten())
}

/// Where images are that start without a loader's entry.
fn unified(root: &Root) -> Option<String> {
    let images = |place: &String| {
        let names = root.names(place).unwrap_or_default();
        names.iter().any(|name| name.to_lowercase().ends_with(".efi"))
    };
    PLACES.map(|place| format!("{place}/EFI/Linux")).into_iter().find(images)
}

/// Whether systemd-boot knows, other than by an order that ours change, what boots by itself.
fn is_named_to_systemd(root: &Root) -> bool {
    let configured = || {
        PLACES.iter().find_map(|place| {
            let text = root.text(&format!("{place}/loader/loader.conf")).ok()??;
            let words = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
            words
                .filter(|(key, _)| *key == "default")
                .map(|(_, name)| name.trim().to_owned())
                .next_back()
        })
    };
    let pattern = loader_default(root).or_else(configured).unwrap_or_default().to_lowercase();
    !pattern.is_empty() && !may_be_ours(&pattern)
}

/// Whether the pattern could mean an entry of ours.
fn may_be_ours(pattern: &str) -> bool {
    let plain = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    let wild = plain.len() < pattern.len();
    plain.starts_with("deploy-vfio-") || (wild && "deploy-vfio-".starts_with(plain))
}

/// Whether GRUB's variables name an entry, and not a place in the menu.
fn is_named_to_grub(root: &Root) -> bool {
    let is_place = |saved: &str| saved.bytes().all(|b| b.is_ascii_digit() || b == b'>');
    grub_variable(root, "saved_entry")
        .is_some_and(|saved| !is_place(&saved) && !may_be_ours(&saved))
}

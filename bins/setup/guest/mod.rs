//! The words of `deploy-vfio guest`: what one guest needs in its definition.

mod devices;
mod needs;

use std::io::Read;

use clap::{Args, ValueEnum};
use serde_json::json;
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    Root,
    change::Draft,
    layout::{self, GUESTS},
};
use vfio_iommu::{Allow, Selection};
use vfio_libvirt::Guest;

const MORE: &str = "\
Everything that is deployed has a part in the definition of the guest that is to use it: the devices,
every function of each; one virtual CPU for each CPU of the guests', siblings beside each other, and
the host's CPUs for the rest of QEMU; memory in huge pages; keyboard and mouse; the memory of Looking
Glass and Scream; and what hides from NVIDIA's older drivers that they run in a guest. It is printed,
or put into a definition of which everything else stays as it is.

With --define it is put into the definition that libvirt has, which libvirt then checks and accepts;
a guest that runs meanwhile has it from its next start on. `deploy-vfio undo` brings the earlier
definition back.

Examples:
  deploy-vfio guest win10
      Print what win10 needs.
  deploy-vfio guest win10 --define --dry-run
      Show how its definition would change.
  deploy-vfio guest win10 --define --vcpus 6
      Give it six CPUs, and all else.
  deploy-vfio guest win10 --parse 12 --without cpus,memory --define
      Give it the devices of group 12, and leave its CPUs and its memory alone.
  deploy-vfio guest win10 --patch - < win10.xml
      Print the whole definition with it.

Files:
  /etc/libvirt/qemu/
      The definitions, for root alone; libvirt reads and writes them.

See also:
  deploy-vfio multiboot
  deploy-vfio cpu
  deploy-vfio evdev";

/// A part of what a guest needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// PCI devices.
    Devices,
    /// Virtual CPUs and where they run.
    Cpus,
    /// Huge pages.
    Memory,
    /// Keyboard and mouse.
    Inputs,
    /// Looking Glass.
    Screen,
    /// Scream.
    Sound,
    /// What hides that it is a guest.
    Hiding,
}

/// What one guest needs in its definition.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = MORE)]
pub struct GuestWords {
    /// The guest's name
    #[arg(value_name = "GUEST")]
    pub name: String,
    /// Put it into the definition in this file; `-` reads standard input and prints
    #[arg(long, value_name = "FILE", conflicts_with = "define")]
    pub patch: Option<String>,
    /// Put it into the guest's own definition, and have libvirt accept that
    #[arg(long)]
    pub define: bool,
    /// The boot entry whose devices it is given; without it the one that runs, or the default
    #[arg(long, value_name = "first|last|GROUP|ID", conflicts_with = "parse")]
    pub entry: Option<String>,
    /// Groups instead of what is deployed: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, value_name = "SELECTION")]
    pub parse: Option<Selection>,
    /// With --parse: give away what is protected
    #[arg(
        long,
        value_name = "network|keyboard|headless|storage",
        value_delimiter = ',',
        requires = "parse"
    )]
    pub allow: Vec<Allow>,
    /// How many virtual CPUs it has; without it as many as its definition says, or as there are
    #[arg(long, value_name = "N")]
    pub vcpus: Option<usize>,
    /// The graphics card's ROM, where the guest is not to see the card's own
    #[arg(long, value_name = "FILE")]
    pub rom: Option<String>,
    /// Leave these parts of the definition alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub without: Vec<Part>,
}

/// The longest name of a file is 255 bytes, of which `.xml` takes some.
const LONGEST: usize = 251;

/// Where a definition comes from, and where it goes.
enum Place {
    /// To be looked at alone.
    Nowhere,
    /// Standard input, and output.
    Pipe,
    /// A file, below the root.
    File(String),
}

/// Carries out `deploy-vfio guest`.
///
/// # Errors
///
/// A name that no guest has; a guest that is not defined, or cannot be read; what a part of it
/// refuses; what the engine does.
pub fn guest(cx: &Context, words: &GuestWords) -> Result<(), Failure> {
    let path = path(&words.name)?;
    idle(words)?;
    let mut draft = cx.draft();
    let (place, text) = match &words.patch {
        Some(file) if file == "-" => (Place::Pipe, Some(standard_input()?)),
        Some(file) => {
            let path = cx.path(file)?;
            // libvirt's own file is libvirt's by whatever name.
            let path = cx.root().real_path(&path)?.unwrap_or(path);
            let text = text(&draft, &path)?;
            let text = text.ok_or_else(|| Usage::refused(format!("there is no /{path}"), &[]))?;
            (Place::File(path), Some(text))
        }
        None if words.define => {
            let text = defined(cx.root(), &draft, &words.name, &path)?;
            (Place::File(path), Some(text))
        }
        None => match draft.bytes(&path) {
            Err(error) if error.is_denied() => {
                draft.note("not root: the guest's own definition was not looked at");
                (Place::Nowhere, None)
            }
            _ => {
                let text = text(&draft, &path)?;
                if text.is_none() {
                    draft.note("libvirt has no guest of this name yet");
                }
                (Place::Nowhere, text)
            }
        },
    };
    let read = |text: &str| Guest::read(text).map_err(|error| named(error, &place));
    let guest = text.as_deref().map(read).transpose()?.unwrap_or_default();
    let wanted = needs::needs(cx, &mut draft, words, &guest)?;
    let merged = text.map(|text| vfio_libvirt::merge(&text, &wanted)).transpose()?;
    match (place, merged) {
        (Place::File(path), Some(merged)) => {
            if words.define {
                answers(cx)?;
            }
            draft.write(&path, merged)?;
            let data = json!({ "guest": words.name, "xml": wanted });
            cx.commit_with(draft, None, data.as_object().unwrap_or(&serde_json::Map::new()))
        }
        (Place::Pipe, Some(merged)) => show(cx, draft, words, &merged),
        _ => show(cx, draft, words, &wanted),
    }
}

/// Refuses words about a part that is left alone.
fn idle(words: &GuestWords) -> Result<(), Failure> {
    let devices = [
        ("--rom", words.rom.is_some()),
        ("--parse", words.parse.is_some()),
        ("--entry", words.entry.is_some()),
    ];
    let all = devices.map(|(word, given)| (word, given, Part::Devices, "devices"));
    let cpus = [("--vcpus", words.vcpus.is_some(), Part::Cpus, "cpus")];
    for (word, given, part, name) in all.into_iter().chain(cpus) {
        if given && words.without.contains(&part) {
            let what = format!("`{word}` says nothing where `--without {name}` leaves that alone");
            return Err(Usage::new(what, &[]).into());
        }
    }
    Ok(())
}

/// Prints XML, and beside it what there is to know.
fn show(cx: &Context, draft: Draft<'_>, words: &GuestWords, xml: &str) -> Result<(), Failure> {
    let plan = draft.finish("guest")?;
    if cx.global().json {
        let warnings: Vec<&String> = plan.warnings.iter().map(|warning| &warning.what).collect();
        let data = json!({
            "guest": words.name, "xml": xml, "notes": plan.notes, "warnings": warnings,
        });
        vfio_cli::json::print(data);
        return Ok(());
    }
    cx.print(xml.trim_end());
    cx.tell(&plan);
    Ok(())
}

/// The text of a file; `None` when there is none. What is no UTF-8 is refused: written again it would
/// be another text.
fn text(draft: &Draft<'_>, path: &str) -> Result<Option<String>, Failure> {
    let Some(bytes) = draft.bytes(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| {
        let help = ["`iconv -t UTF-8` makes it that; take the old name out of its first line"];
        Usage::refused(format!("/{path} is not UTF-8 text"), &help)
    })?;
    Ok(Some(text))
}

/// What is wrong with a definition, and with which.
fn named(error: vfio_libvirt::Error, place: &Place) -> vfio_libvirt::Error {
    match (error, place) {
        (vfio_libvirt::Error::NotADomain(why), Place::File(path)) => {
            vfio_libvirt::Error::NotADomain(format!("/{path}: {why}"))
        }
        (error, _) => error,
    }
}

/// Where libvirt keeps the definition of the guest of this name.
fn path(name: &str) -> Result<String, Failure> {
    let path = format!("{GUESTS}/{name}.xml");
    let plain = !name.starts_with('.') && !name.chars().any(char::is_control);
    let plain = plain && name.len() <= LONGEST;
    match layout::guest(&path) {
        Some(_) if plain => Ok(path),
        _ => {
            let what = format!("`{}` is no guest's name", name.escape_debug());
            Err(Usage::new(what, &["`virsh list --all --name` lists them"]).into())
        }
    }
}

/// The definition of a guest that libvirt has.
fn defined(root: &Root, draft: &Draft<'_>, name: &str, path: &str) -> Result<String, Failure> {
    if let Some(text) = text(draft, path)? {
        let guest =
            Guest::read(&text).map_err(|error| named(error, &Place::File(path.to_owned())))?;
        let help = ["`virsh list --all --name` lists the guests that libvirt has"];
        return match guest.name == name {
            true => Ok(text),
            false => Err(Usage::refused(format!("/{path} defines another guest"), &help).into()),
        };
    }
    let shown = name.escape_debug();
    let names: Vec<String> = root
        .names(GUESTS)?
        .iter()
        .filter_map(|file| file.strip_suffix(".xml"))
        .map(|name| name.escape_debug().to_string())
        .collect();
    if !root.exists("etc/libvirt")? {
        let help = ["Debian and Ubuntu: `apt install libvirt-daemon-system`"];
        return Err(Usage::refused("libvirt is not installed, so it has no guests", &help).into());
    }
    let what = format!("libvirt has no guest `{shown}`");
    let help = match names.is_empty() {
        true => "no guest is defined: `virt-manager` and `virt-install` make one".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    Err(Usage::refused(what, &[&help]).into())
}

/// Nobody but libvirt can say whether it accepts a guest, so on a running system it must listen.
fn answers(cx: &Context) -> Result<(), Failure> {
    let sockets = ["run/libvirt/libvirt-sock", "run/libvirt/virtqemud-sock"];
    if !cx.root().is_host() || cx.global().no_rebuild {
        return Ok(());
    }
    for socket in sockets {
        if cx.root().exists(socket)? {
            return Ok(());
        }
    }
    let help = [
        "`systemctl start libvirtd`, or `virtqemud` where that runs the guests",
        "without libvirt: Debian and Ubuntu: `apt install libvirt-daemon-system`",
    ];
    Err(Usage::refused("libvirt does not run, so nobody can accept the guest", &help).into())
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let limit = 4 << 20;
    let read = std::io::stdin().take(limit + 1).read_to_string(&mut text);
    read.map_err(|error| Usage::refused(format!("cannot read standard input: {error}"), &[]))?;
    Ok(text)
}

//! What a guest needs, out of the machine and what is deployed.

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{
    Address,
    change::{Draft, Image, Warning},
    host::Machine,
};
use vfio_evdev::Form;
use vfio_libvirt::Guest;
use vfio_post::{looking_glass, scream};

use super::{GuestWords, Part, devices::devices};
use crate::{Setup, Wanted, declared};

/// Where PCI ROMs begin.
const ROM_MAGIC: [u8; 2] = [0x55, 0xaa];
const NVIDIA: u16 = 0x10de;

/// The parts of a definition so far.
struct Needs {
    xml: String,
}

impl Needs {
    fn add(&mut self, xml: &str) -> Result<(), Failure> {
        let part = format!("<domain>\n{xml}</domain>");
        self.xml = vfio_libvirt::merge(&self.xml, &part)?;
        Ok(())
    }

    fn add_device(&mut self, xml: &str) -> Result<(), Failure> {
        self.add(&format!("<devices>\n{xml}</devices>\n"))
    }
}

/// Everything that the guest needs as one `<domain>`; what there is to know is noted in `draft`.
pub(super) fn needs(
    cx: &Context,
    draft: &mut Draft<'_>,
    words: &GuestWords,
    guest: &Guest,
) -> Result<String, Failure> {
    let (machine, setup) = (cx.machine()?, declared(cx.root())?);
    let has = |part| !words.without.contains(&part);
    let mut needs = Needs { xml: "<domain/>\n".to_owned() };
    if has(Part::Memory) {
        memory(draft, &setup, guest, &mut needs)?;
    }
    if has(Part::Cpus) {
        cpus(draft, &machine, &setup, words, guest, &mut needs)?;
    }
    if has(Part::Devices) {
        let devices = devices(cx, draft, &machine, words)?;
        hostdevs(cx, draft, &machine, words, (&devices, guest), &mut needs)?;
        let besides = |address: &&Address| !devices.contains(address);
        let besides: Vec<String> =
            guest.devices.iter().filter(besides).map(ToString::to_string).collect();
        if !besides.is_empty() {
            draft.note(format!(
                "the guest has {} besides, which stays: `virsh edit` takes it out",
                besides.join(", ")
            ));
        }
        let of = |address: &Address| machine.pci.get(*address);
        let mut cards = devices.iter().filter_map(of).filter(|device| device.class.is_display());
        if has(Part::Hiding) && cards.any(|card| card.vendor == NVIDIA) {
            needs.add(&vfio_libvirt::hidden(guest.hyperv))?;
        }
    }
    if has(Part::Inputs)
        && let Some(setup) = vfio_evdev::deployed(cx.root())?
    {
        let xml = vfio_evdev::xml(&setup, machine.libvirt.version);
        match setup.form {
            Form::Native => needs.add_device(&xml)?,
            Form::CommandLine => needs.add(&xml)?,
        }
    }
    if let Some(Wanted::On(screen)) = setup.looking_glass.as_ref().filter(|_| has(Part::Screen)) {
        let size = screen.screen.unwrap_or_default();
        needs.add_device(&looking_glass::xml(size, screen.hdr))?;
    }
    if let Some(Wanted::On(sound)) = setup.scream.as_ref().filter(|_| has(Part::Sound))
        && let Some(xml) = scream::xml(&sound.way())
    {
        needs.add_device(&xml)?;
    }
    Ok(needs.xml)
}

/// Huge pages, and whether the guest's memory fits into them.
fn memory(
    draft: &mut Draft<'_>,
    setup: &Setup,
    guest: &Guest,
    needs: &mut Needs,
) -> Result<(), Failure> {
    let Some(Wanted::On(pages)) = &setup.hugepages else { return Ok(()) };
    let (page, there) = (pages.size.kib(), vfio_hugepages::planned_kib(draft)?);
    if let Some(memory) = guest.memory_kib {
        let what = match memory {
            _ if memory > there => {
                let (memory, there) = (memory >> 10, there >> 10);
                Some(format!("the guest has {memory} MiB, and {there} MiB are in huge pages"))
            }
            _ if memory % page != 0 => {
                Some(format!("the guest's {memory} KiB are no whole pages of {}", pages.size))
            }
            _ => None,
        };
        if let Some(what) = what {
            let help = vec![
                "`virsh edit` changes its memory, `deploy-vfio hugepages` the pages".to_owned(),
                "`--without memory` leaves its memory as it is".to_owned(),
            ];
            draft.warn(Warning { what: format!("{what}: it will not start"), help });
        }
    }
    needs.add(&vfio_libvirt::huge_pages(page))
}

/// Virtual CPUs, each on one of the guests', and the rest of QEMU on the host's.
fn cpus(
    draft: &mut Draft<'_>,
    machine: &Machine,
    setup: &Setup,
    words: &GuestWords,
    guest: &Guest,
    needs: &mut Needs,
) -> Result<(), Failure> {
    let cpu = &machine.cpu;
    let request = setup.cpu.as_ref().and_then(Wanted::words).cloned().unwrap_or_default();
    let split = match vfio_isolcpus::split(cpu, &request.request()) {
        Ok(Some(split)) => split,
        // A single core, or none that is known, is nothing to divide.
        Ok(None) | Err(vfio_isolcpus::Error::OneCore(_) | vfio_isolcpus::Error::Unknown) => {
            draft.note(
                "this machine has no CPUs to keep for guests, so the guest's stay as they are",
            );
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let (list, there) = (split.guest_cpus(), split.guest_cpus().len());
    let vcpus = words.vcpus.or(guest.vcpus).unwrap_or(there);
    if vcpus == 0 || vcpus > there {
        let what =
            format!("a guest cannot have {vcpus} virtual CPUs: guests have {there} ({list})");
        let most = format!("`--vcpus {there}` gives it as many as there are");
        let help = [
            most.as_str(),
            "`deploy-vfio cpu` says which CPUs guests have",
            "`--without cpus` leaves its CPUs as they are",
        ];
        return Err(Usage::refused(what, &help).into());
    }
    if guest.vcpus.unwrap_or(1) != vcpus && !guest.numbering.is_empty() {
        let elements = guest.numbering.join(">, <");
        let what =
            format!("the guest cannot have {vcpus} virtual CPUs: its <{elements}> names others");
        let help =
            ["`virsh edit` changes that first", "`--without cpus` leaves its CPUs as they are"];
        return Err(Usage::refused(what, &help).into());
    }
    let mode = guest.cpu_mode.as_deref();
    let passthrough = matches!(mode, None | Some("host-passthrough"));
    needs.add(&(split.domain_xml_for(cpu, vcpus, passthrough) + "\n"))?;
    needs.add(&vfio_libvirt::pins(&guest.iothreads, &split.host_cpus()))
}

/// The devices, the card's with the ROM that was named.
fn hostdevs(
    cx: &Context,
    draft: &Draft<'_>,
    machine: &Machine,
    words: &GuestWords,
    (devices, guest): (&[Address], &Guest),
    needs: &mut Needs,
) -> Result<(), Failure> {
    let display = |address: &&Address| {
        machine.pci.get(**address).is_some_and(|device| device.class.is_display())
    };
    let mut rom = None;
    if let Some(file) = &words.rom {
        let cards: Vec<&Address> = devices.iter().filter(display).collect();
        let [card] = cards[..] else {
            let what = format!("a ROM is for one graphics card, and the guest has {}", cards.len());
            return Err(Usage::refused(what, &["`--parse GROUP` names the group of one"]).into());
        };
        rom = Some((*card, rom_file(cx, draft, file)?));
    }
    for &device in devices.iter().filter(|device| !guest.otherwise.contains(device)) {
        let rom = rom.as_ref().filter(|(card, _)| *card == device).map(|(_, file)| file.as_str());
        needs.add_device(&vfio_libvirt::hostdev(device, rom))?;
    }
    Ok(())
}

/// The name of a file that is a PCI ROM.
fn rom_file(cx: &Context, draft: &Draft<'_>, file: &str) -> Result<String, Failure> {
    let path = cx.path(file)?;
    let refused = |what: String, help: &[&str]| Err(Usage::refused(what, help).into());
    match Image::behind(draft.root(), &path)? {
        Image::File { bytes, .. } if bytes.starts_with(&ROM_MAGIC) => Ok(format!("/{path}")),
        Image::File { .. } => refused(
            format!("/{path} is no PCI ROM: it does not begin with 55 AA"),
            &["a file with NVIDIA's own header in front has the ROM further back"],
        ),
        _ => refused(format!("there is no /{path}"), &[]),
    }
}

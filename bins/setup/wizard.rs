//! The questions of `deploy-vfio setup`: one step a feature, each with the machine's own default.
//!
//! Every step can be gone back from and given up; nothing is planned before the last answer, and
//! nothing written before the plan is confirmed.

use vfio_cli::{Answer, Context, Failure, Usage};
use vfio_core::host::{Machine, Names, trial};
use vfio_evdev::Toggle;
use vfio_iommu::{Choice, Entry, Selection};
use vfio_isolcpus::Request;
use vfio_post::{auto_xorg::Order, zram::Sizes};

use crate::{
    AutoXorg, Cpu, Dynamic, Evdev, Hugepages, LibvirtHooks, Multiboot, Original, Place, Setup,
    Static, Wanted, ZramSwap,
};

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Which devices guests get.
    Selection,
    /// How they get them.
    How,
    /// How much memory.
    Hugepages,
    /// Which CPUs.
    Cpu,
    /// Whether keyboard and mouse are shared.
    Evdev,
    /// Whether memory is swapped to.
    ZramSwap,
    /// Which card the desktop uses.
    AutoXorg,
    /// What is done while guests run.
    Guests,
}

impl Step {
    /// The option that answers the question beforehand.
    fn option(self) -> &'static str {
        match self {
            Self::Selection => "--parse vga",
            Self::How => "--multiboot last, or --static grub",
            Self::Hugepages => "--hugepages 1G 16",
            Self::Cpu => "--cpu",
            Self::Evdev => "--evdev",
            Self::ZramSwap => "--zram-swap default",
            Self::AutoXorg => "--auto-xorg first",
            Self::Guests => "--libvirt-hooks, and --dynamic",
        }
    }
}

/// Asks for what `line` leaves open, where there is somebody to ask.
///
/// # Errors
///
/// Nobody to ask for what was named and needs an answer, or for anything at all; somebody who
/// gave up.
pub fn complete(cx: &Context, line: Original) -> Result<Setup, Failure> {
    let Original { setup, parse, drivers, bare, open, .. } = line;
    let asks = cx.is_interactive();
    let nothing = setup == Setup::default() && drivers.is_none();
    if !asks && (!bare.is_empty() || nothing && !open.is_empty()) {
        let named = if bare.is_empty() { &open } else { &bare };
        let help: Vec<&str> = named.iter().map(|step| step.option()).collect();
        return Err(Usage::refused("there is nobody to ask: this is no terminal", &help).into());
    }
    let mut steps: Vec<Step> = bare.iter().chain(open.iter().filter(|_| asks)).copied().collect();
    if steps.is_empty() {
        return Ok(setup);
    }
    let mut machine = cx.machine()?;
    if let Some(Wanted::On(drivers)) = &drivers {
        drivers.consult(cx, &mut cx.draft(), &mut machine)?;
    }
    let names = Names::read(cx.root(), &machine.pci)?.or_of(&machine);
    let mut wizard = Wizard { cx, machine: &machine, names: &names, parse, setup };
    steps.retain(|step| *step != Step::Evdev || wizard.can_share());
    wizard.walk(&steps)?;
    Ok(wizard.setup)
}

struct Wizard<'a> {
    cx: &'a Context,
    machine: &'a Machine,
    names: &'a Names,
    parse: Option<Selection>,
    setup: Setup,
}

impl Wizard<'_> {
    fn walk(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let (mut at, mut back) = (0, false);
        while let Some(step) = steps.get(at) {
            self.cx.say(format!("\nStep {} of {}", at + 1, steps.len()));
            let answer = match step {
                Step::Selection => self.selection().map(Some),
                Step::How => self.how(at == 0),
                Step::Hugepages => self.hugepages().map(Some),
                Step::Cpu => self.cpu(),
                Step::Evdev => self.evdev().map(Some),
                Step::ZramSwap => self.zram_swap(),
                Step::AutoXorg => self.auto_xorg().map(Some),
                Step::Guests => self.guests().map(Some),
            };
            back = match answer? {
                Some(Answer::Is(())) => false,
                Some(Answer::Back) => true,
                // Nothing to ask: on in the direction of the step before.
                None => back && at > 0,
            };
            at = if back { at.saturating_sub(1) } else { at + 1 };
        }
        Ok(())
    }

    fn selection(&mut self) -> Result<Answer<()>, Failure> {
        self.cx.say("A guest gets whole devices, by IOMMU group. What the host cannot do without");
        self.cx.say("stays with it: its disks, network, last keyboard and last display.");
        let items = [
            "Graphics cards only",
            "Everything that the host can do without",
            "The same, without graphics cards",
            "Groups by number",
            "None: leave devices as they are",
        ];
        let items = items.map(str::to_owned);
        let chosen = match self.cx.choose("Which devices are for guests?", &items, 0)? {
            Answer::Is(at) => at,
            Answer::Back => return Ok(Answer::Back),
        };
        let words = ["vga", "all", "no-vga"];
        self.parse = match words.get(chosen) {
            Some(word) => Some(word.parse()?),
            None if chosen == words.len() => match self.by_number()? {
                Answer::Is(selection) => Some(selection),
                Answer::Back => return self.selection(),
            },
            None => None,
        };
        Ok(Answer::Is(()))
    }

    fn by_number(&self) -> Result<Answer<Selection>, Failure> {
        let protected = vfio_iommu::protected(self.machine);
        let grouped = self.machine.pci.groups();
        let devices: Vec<_> = grouped.into_values().flatten().collect();
        self.cx.say(crate::groups_table(&devices, self.names, &protected));
        self.cx.enter("Groups, like `14` or `14-16,20`", |text| {
            let selection: Selection = text.parse().map_err(told)?;
            vfio_iommu::select(self.machine, &selection, &[]).map_err(told)?;
            Ok(selection)
        })
    }

    /// `None` without devices for guests.
    fn how(&mut self, first: bool) -> Result<Option<Answer<()>>, Failure> {
        let Some(selection) = self.parse.clone() else {
            (self.setup.multiboot, self.setup.fixed) = (None, None);
            return Ok(None);
        };
        let entries = match self.entries(&selection) {
            Ok(entries) => entries,
            Err(failure) if first => return Err(failure),
            Err(failure) => {
                failure.tell("deploy-vfio setup", false);
                return Ok(Some(Answer::Back));
            }
        };
        self.cx.say("The boot menu keeps its normal entry, and gets one for each GPU that can");
        self.cx.say("drive the desktop; in it the other devices wait for guests.");
        let trial = trial::notebook(self.cx.root())?.is_ok();
        if trial {
            self.cx
                .say("An entry of ours is tried once, and boots by itself after it proved itself.");
        }
        let mut items =
            vec!["The normal entry boots by itself, ours are chosen in the menu".to_owned()];
        items.extend(entries.iter().map(|entry| format!("Boot by itself: {}", entry.title)));
        items.push("No menu: bind them at every boot (`static grub`)".to_owned());
        match self.cx.choose("Which entry boots by itself?", &items, 0)? {
            Answer::Back => return Ok(Some(Answer::Back)),
            Answer::Is(at) if at > entries.len() => {
                let words = Static { parse: selection, ..Static::of(Place::Grub) };
                self.setup.fixed = Some(Wanted::On(words));
                self.setup.multiboot = None;
            }
            Answer::Is(at) => {
                let group = at.checked_sub(1).and_then(|at| entries[at].host_group);
                let entry = match at {
                    0 => Choice::Default,
                    _ => group.map_or(Choice::Last, Choice::Group),
                };
                let trial = trial && at > 0;
                let words = Multiboot { entry, parse: selection, trial, ..Multiboot::default() };
                self.setup.multiboot = Some(Wanted::On(words));
                self.setup.fixed = None;
            }
        }
        Ok(Some(Answer::Is(())))
    }

    fn entries(&self, selection: &Selection) -> Result<Vec<Entry>, Failure> {
        let chosen = vfio_iommu::select(self.machine, selection, &[])?;
        Ok(vfio_iommu::entries(self.machine, &|device| self.names.call(device), &chosen)?)
    }

    fn hugepages(&mut self) -> Result<Answer<()>, Failure> {
        self.cx.say("Huge pages keep a guest's memory in one piece, which makes it faster. They");
        self.cx.say("are reserved at boot, and the host cannot use them.");
        let items = ["Leave memory as it is", "Reserve pages for guests"].map(str::to_owned);
        self.setup.hugepages = match self.cx.choose("Memory for guests?", &items, 0)? {
            Answer::Back => return Ok(Answer::Back),
            Answer::Is(0) => None,
            Answer::Is(_) => {
                let total = self.machine.memory.total_kib >> 20;
                let question = format!("Size and number of pages, of {total} GiB, like `1G 8`");
                match self.cx.enter(&question, |text| self.pages(text))? {
                    Answer::Is(pages) => Some(Wanted::On(pages)),
                    Answer::Back => return self.hugepages(),
                }
            }
        };
        Ok(Answer::Is(()))
    }

    fn pages(&self, text: &str) -> Result<Hugepages, String> {
        let (size, count) = text.split_once(char::is_whitespace).ok_or("write `1G 8`")?;
        let pages = Hugepages::from_words(size, count.trim())?;
        let request = pages.request().map_err(|failure| failure.to_string())?;
        let Machine { cpu, memory, kernels, .. } = self.machine;
        vfio_hugepages::plan(&mut self.cx.draft(), cpu, memory, kernels, &request).map_err(told)?;
        Ok(pages)
    }

    /// `None` on a machine that has no CPU to spare.
    fn cpu(&mut self) -> Result<Option<Answer<()>>, Failure> {
        self.cx.say("Cores that only guests use make them answer evenly. The host does without");
        self.cx.say("them as long as the setup is booted.");
        let auto = match vfio_isolcpus::split(&self.machine.cpu, &Request::Auto) {
            Ok(Some(split)) => split,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.cx.say(error.to_string());
                return Ok(None);
            }
        };
        let items = [
            "Leave CPUs as they are".to_owned(),
            format!("Host {}, guests {}", auto.host_cpus(), auto.guest_cpus()),
            "Another number of cores for the host".to_owned(),
        ];
        let words = match self.cx.choose("CPUs for guests?", &items, 0)? {
            Answer::Back => return Ok(Some(Answer::Back)),
            Answer::Is(0) => None,
            Answer::Is(1) => Some(Cpu::default()),
            Answer::Is(_) => match self.cx.enter("Cores for the host", |text| self.cores(text))? {
                Answer::Is(count) => Some(Cpu { host_cores: Some(count), ..Cpu::default() }),
                Answer::Back => return self.cpu(),
            },
        };
        self.setup.cpu = words.map(Wanted::On);
        Ok(Some(Answer::Is(())))
    }

    fn cores(&self, text: &str) -> Result<u32, String> {
        let count = text.parse().map_err(|_| format!("`{text}` is not a number of cores"))?;
        vfio_isolcpus::split(&self.machine.cpu, &Request::HostCores(count)).map_err(told)?;
        Ok(count)
    }

    /// Whether there are both a keyboard and a mouse that keep their names over boots.
    fn can_share(&self) -> bool {
        vfio_evdev::devices(&self.machine.inputs, &[])
            .is_ok_and(|(devices, _)| devices.iter().any(|device| !device.keyboard))
    }

    fn evdev(&mut self) -> Result<Answer<()>, Failure> {
        self.cx.say("A guest can use your own keyboard and mouse; a key hands them over and back,");
        self.cx.say("like a KVM switch without the box.");
        let items = [
            "Leave keyboard and mouse as they are",
            "Share them: both control keys switch",
            "Share them, switched by other keys",
        ];
        let items = items.map(str::to_owned);
        let toggle = match self.cx.choose("Keyboard and mouse for guests?", &items, 0)? {
            Answer::Back => return Ok(Answer::Back),
            Answer::Is(0) => {
                self.setup.evdev = None;
                return Ok(Answer::Is(()));
            }
            Answer::Is(1) => None,
            Answer::Is(_) => match self.toggle()? {
                Answer::Is(toggle) => Some(toggle),
                Answer::Back => return self.evdev(),
            },
        };
        let wanted = Wanted::On(Evdev { toggle, ..Evdev::default() });
        if let Err(failure) =
            crate::evdev::plan(self.cx, &mut self.cx.draft(), self.machine, &wanted)
        {
            failure.tell("deploy-vfio setup", false);
            return self.evdev();
        }
        self.setup.evdev = Some(wanted);
        Ok(Answer::Is(()))
    }

    /// `None` where it cannot be had.
    fn zram_swap(&mut self) -> Result<Option<Answer<()>>, Failure> {
        let wanted = Wanted::On(ZramSwap::default());
        let plan = |setup: &Setup| -> Result<Sizes, Failure> {
            let mut draft = self.cx.draft();
            if let Some(pages) = &setup.hugepages {
                crate::hugepages::plan(&mut draft, self.machine, pages)?;
            }
            crate::zram_swap::plan(self.cx, &mut draft, self.machine, &wanted)?;
            crate::zram_swap::sizes(self.cx, &draft, self.machine)
        };
        let Ok(sizes) = plan(&self.setup) else { return Ok(None) };
        self.cx.say("Memory that the host does not use for a while can be compressed in place, so");
        self.cx.say("that a guest and the desktop fit beside each other.");
        let mib = |kib: u64| format!("{} MiB", kib >> 10);
        let (swap, limit) = (mib(sizes.swap_kib), mib(sizes.limit_kib));
        let items = [
            "Leave swap as it is".to_owned(),
            format!("Compressed swap of {swap}, in at most {limit} of memory"),
        ];
        self.setup.zram_swap = match self.cx.choose("Compressed swap?", &items, 0)? {
            Answer::Back => return Ok(Some(Answer::Back)),
            Answer::Is(0) => None,
            Answer::Is(_) => Some(wanted),
        };
        Ok(Some(Answer::Is(())))
    }

    fn auto_xorg(&mut self) -> Result<Answer<()>, Failure> {
        self.cx.say("Which card the host has follows from the boot entry. Each boot can tell the");
        self.cx.say("desktop which it is, before it starts.");
        let items = ["Leave the choice to the desktop", "Tell it the first card", "The last card"];
        let items = items.map(str::to_owned);
        let order = match self.cx.choose("Which card for the desktop?", &items, 0)? {
            Answer::Back => return Ok(Answer::Back),
            Answer::Is(0) => None,
            Answer::Is(1) => Some(Order::First),
            Answer::Is(_) => Some(Order::Last),
        };
        let words = |order| AutoXorg { order: Some(order), ..AutoXorg::default() };
        self.setup.auto_xorg = order.map(words).map(Wanted::On);
        Ok(Answer::Is(()))
    }

    fn guests(&mut self) -> Result<Answer<()>, Failure> {
        self.cx.say("While a guest runs, its CPUs can be its own, and the machine stay awake. Its");
        self.cx.say("devices can be taken when it starts, and be the host's again afterwards.");
        let items = [
            "Leave guests to libvirt",
            "CPUs, memory and sleep follow the guest",
            "These, and its devices come and go with it",
        ];
        let items = items.map(str::to_owned);
        let (hooks, dynamic) = match self.cx.choose("While guests run?", &items, 0)? {
            Answer::Back => return Ok(Answer::Back),
            Answer::Is(0) => (false, false),
            Answer::Is(at) => (true, at > 1),
        };
        self.setup.libvirt_hooks = hooks.then_some(Wanted::On(LibvirtHooks {}));
        self.setup.dynamic = dynamic.then_some(Wanted::On(Dynamic {}));
        Ok(Answer::Is(()))
    }

    fn toggle(&self) -> Result<Answer<Toggle>, Failure> {
        let keys = Toggle::ALL.map(|toggle| toggle.to_string());
        Ok(match self.cx.choose("Which keys switch?", &keys, 0)? {
            Answer::Is(at) => Answer::Is(Toggle::ALL.get(at).copied().unwrap_or_default()),
            Answer::Back => Answer::Back,
        })
    }
}

fn told(error: impl vfio_core::Advice) -> String {
    let help = error.help().into_iter().map(|line| format!("\n  {line}"));
    std::iter::once(error.to_string()).chain(help).collect()
}

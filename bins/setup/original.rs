//! The command line of the original deploy-VFIO: options without a command word, several features
//! in one run.
//!
//! An option's own words end where the next option begins. A feature that is named without the
//! words that it needs, and a section that is neither named nor skipped, is left open: the wizard
//! asks for it where there is somebody to ask.

use std::collections::BTreeSet;

use clap::{ArgAction, ArgMatches, Args, FromArgMatches, error::ErrorKind};
use vfio_iommu::{Allow, Choice, Selection};
use vfio_post::looking_glass::Screen;

use crate::{
    AudioLoopback, AutoXorg, Cpu, Drivers, Dynamic, Evdev, Hugepages, LibvirtHooks, LookingGlass,
    Multiboot, Place, Scream, Setup, Static, Step, Wanted, ZramSwap,
};

const PRE_SETUP: &str = "Pre-setup";
const VFIO_SETUP: &str = "VFIO setup";
const POST_SETUP: &str = "Post-setup";

const MORE: &str = "\
At a terminal it asks step by step, with the machine's own defaults, for what no option says. Who
names one feature of a section is asked for no other of it; without a terminal, what is not named
stays as it is. All of it is one plan, one question and one operation. The options work without the
word `setup` too; there `-h` alone is help.

Examples:
  deploy-vfio --parse vga --hugepages 2M 512 --cpu --multiboot last
      Several features, as one operation.
  deploy-vfio -p no-vga -e -s grub --dry-run
      Keyboard and mouse for guests, and other devices than graphics cards at every boot.
  deploy-vfio --uninstall-pre-setup --uninstall-vfio-setup --uninstall-post-setup
      Take all of it away.
  deploy-vfio --undo
      Take the newest operation back.

See also:
  deploy-vfio apply
  deploy-vfio undo";

/// The options; the help of `deploy-vfio setup` is made of them.
#[derive(Args, Debug)]
#[command(after_long_help = MORE)]
struct Options {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Take the newest operation back
    #[arg(long, short)]
    undo: bool,
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, short, value_name = "SELECTION")]
    parse: Option<Selection>,
    /// Give away what is protected
    #[arg(long, value_name = "network|keyboard|headless|storage", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// Keep in this XML file which driver each device has without guests: it is written while no
    /// device waits for one, and read later [default: /etc/deploy-vfio/database.xml]
    #[arg(long, short = 'x', num_args = 0..=1, value_name = "FILE")]
    xml: Option<Option<String>>,
    /// Keep no such file
    #[arg(long, conflicts_with = "xml")]
    no_xml: bool,

    /// Keep CPUs for guests
    #[arg(long, short, help_heading = PRE_SETUP)]
    cpu: bool,
    /// Share keyboard and mouse with guests, switched by a key
    #[arg(long, short, help_heading = PRE_SETUP)]
    evdev: bool,
    /// Reserve huge pages: their size and number
    #[arg(long, short = 'h', num_args = 0..=2, value_names = ["2M|1G", "COUNT"],
          help_heading = PRE_SETUP)]
    hugepages: Option<Vec<String>>,
    /// Leave pre-setup as it is
    #[arg(long, help_heading = PRE_SETUP, conflicts_with_all = PRE)]
    skip_pre_setup: bool,
    /// Take pre-setup away
    #[arg(long, help_heading = PRE_SETUP, conflicts_with_all = PRE)]
    uninstall_pre_setup: bool,

    /// Offer a boot entry for each GPU, and boot this one by itself
    #[arg(long, short, num_args = 0..=1, value_name = "first|last|default|GROUP",
          default_missing_value = "default", help_heading = VFIO_SETUP)]
    multiboot: Option<Choice>,
    /// Bind devices at every boot, without a menu: by parameters or by files
    #[arg(long = "static", short = 's', num_args = 0..=1, value_name = "grub|file",
          help_heading = VFIO_SETUP, conflicts_with = "multiboot")]
    fixed: Option<Option<Place>>,
    /// Leave the VFIO setup as it is
    #[arg(long, help_heading = VFIO_SETUP, conflicts_with_all = VFIO)]
    skip_vfio_setup: bool,
    /// Take the VFIO setup away
    #[arg(long, help_heading = VFIO_SETUP, conflicts_with_all = VFIO)]
    uninstall_vfio_setup: bool,

    /// Swap to compressed memory: the part of it that swap may take, and `force` beside somebody
    /// else's
    #[arg(long, num_args = 0..=2, value_names = ["force", "FRACTION|default"],
          help_heading = POST_SETUP)]
    zram_swap: Option<Vec<String>>,
    /// Choose the desktop's card at every boot: which of the host's, and whose
    #[arg(long, num_args = 0..=2, value_names = ["first|last", "amd|intel|nvidia|other"],
          help_heading = POST_SETUP)]
    auto_xorg: Option<Vec<String>>,
    /// Set the host up while guests run: CPUs, memory, sleep
    #[arg(long, visible_alias = "hooks", help_heading = POST_SETUP)]
    libvirt_hooks: bool,
    /// Take devices when guests start, and give them back
    #[arg(long, help_heading = POST_SETUP)]
    dynamic: bool,
    /// Hear what comes in at line-in
    #[arg(long, help_heading = POST_SETUP)]
    audio_loopback: bool,
    /// Show a guest's screen in a window, of this size
    #[arg(long, num_args = 0..=1, value_name = "WIDTHxHEIGHT", help_heading = POST_SETUP)]
    looking_glass: Option<Option<Screen>>,
    /// Hear a Windows guest
    #[arg(long, help_heading = POST_SETUP)]
    scream: bool,
    /// Leave post-setup as it is
    #[arg(long, help_heading = POST_SETUP, conflicts_with_all = POST)]
    skip_post_setup: bool,
    /// Take post-setup away
    #[arg(long, help_heading = POST_SETUP, conflicts_with_all = POST,
          conflicts_with = "skip_post_setup")]
    uninstall_post_setup: bool,
}

const PRE: [&str; 3] = ["cpu", "evdev", "hugepages"];
const VFIO: [&str; 3] = ["multiboot", "fixed", "parse"];
const POST: [&str; 7] = [
    "audio_loopback",
    "auto_xorg",
    "dynamic",
    "libvirt_hooks",
    "looking_glass",
    "scream",
    "zram_swap",
];

/// What the original's command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// The features that are named with all that they need.
    pub setup: Setup,
    /// Groups for guests, where no VFIO setup is named to take them.
    pub parse: Option<Selection>,
    /// Where the drivers of devices that are on vfio-pci are known from; off where our file of them
    /// is to go, `None` for nowhere.
    pub drivers: Option<Wanted<Drivers>>,
    /// Whether to take the newest operation back instead of all this.
    pub undo: bool,
    /// Features that are named without what they need.
    pub bare: BTreeSet<Step>,
    /// Features that are left open besides, as their section is neither named nor skipped.
    pub open: BTreeSet<Step>,
}

impl Args for Original {
    fn augment_args(command: clap::Command) -> clap::Command {
        Options::augment_args(command.disable_help_flag(true))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Original {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Options::from_arg_matches(matches)?.read()
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Options {
    fn read(self) -> Result<Original, clap::Error> {
        let drivers = match self.xml.clone() {
            Some(file) => Some(Wanted::On(Drivers { file })),
            None => self.uninstall_vfio_setup.then_some(Wanted::Off),
        };
        let mut line = Original { undo: self.undo, drivers, ..Original::default() };
        self.pre_setup(&mut line)?;
        self.post_setup(&mut line)?;
        self.vfio_setup(&mut line);
        let named = line.setup != Setup::default() || !line.bare.is_empty();
        let named = named || line.drivers.is_some();
        if line.undo && named {
            return Err(wrong("`--undo` stands alone: what is to be set up comes in another run"));
        }
        Ok(line)
    }

    fn pre_setup(&self, line: &mut Original) -> Result<(), clap::Error> {
        if self.uninstall_pre_setup {
            (line.setup.hugepages, line.setup.cpu) = (Some(Wanted::Off), Some(Wanted::Off));
            line.setup.evdev = Some(Wanted::Off);
        } else if self.cpu || self.evdev || self.hugepages.is_some() {
            line.setup.cpu = self.cpu.then(|| Wanted::On(Cpu::default()));
            line.setup.evdev = self.evdev.then(|| Wanted::On(Evdev::default()));
            match self.hugepages.as_deref() {
                None => {}
                Some([size, count]) => {
                    let pages = Hugepages::from_words(size, count).map_err(wrong)?;
                    line.setup.hugepages = Some(Wanted::On(pages));
                }
                Some([]) => line.bare.extend([Step::Hugepages]),
                Some([_]) => return Err(wrong("how many pages? `--hugepages 1G 16`")),
                Some(_) => return Err(wrong("`--hugepages` stands once: `--hugepages 1G 16`")),
            }
        } else if !self.skip_pre_setup {
            line.open.extend([Step::Hugepages, Step::Cpu, Step::Evdev]);
        }
        Ok(())
    }

    fn post_setup(&self, line: &mut Original) -> Result<(), clap::Error> {
        if self.uninstall_post_setup {
            line.setup.zram_swap = Some(Wanted::Off);
            line.setup.auto_xorg = Some(Wanted::Off);
            line.setup.libvirt_hooks = Some(Wanted::Off);
            line.setup.dynamic = Some(Wanted::Off);
            line.setup.audio_loopback = Some(Wanted::Off);
            line.setup.looking_glass = Some(Wanted::Off);
            line.setup.scream = Some(Wanted::Off);
        } else if self.names_post_setup() {
            line.setup.libvirt_hooks = self.libvirt_hooks.then_some(Wanted::On(LibvirtHooks {}));
            line.setup.dynamic = self.dynamic.then_some(Wanted::On(Dynamic {}));
            line.setup.audio_loopback =
                self.audio_loopback.then(|| Wanted::On(AudioLoopback::default()));
            let window = |screen| Wanted::On(LookingGlass { screen, ..LookingGlass::default() });
            line.setup.looking_glass = self.looking_glass.map(window);
            line.setup.scream = self.scream.then(|| Wanted::On(Scream::default()));
            let swap = self.zram_swap.as_deref().map(ZramSwap::from_words).transpose();
            line.setup.zram_swap = swap.map_err(wrong)?.map(Wanted::On);
            let card = self.auto_xorg.as_deref().map(AutoXorg::from_words).transpose();
            line.setup.auto_xorg = card.map_err(wrong)?.map(Wanted::On);
        } else if !self.skip_post_setup {
            line.open.extend([Step::AutoXorg, Step::Guests, Step::ZramSwap]);
        }
        Ok(())
    }

    fn names_post_setup(&self) -> bool {
        let words = self.zram_swap.is_some() || self.auto_xorg.is_some();
        let words = words || self.looking_glass.is_some() || self.scream || self.audio_loopback;
        words || self.libvirt_hooks || self.dynamic
    }

    fn vfio_setup(self, line: &mut Original) {
        if self.uninstall_vfio_setup {
            (line.setup.multiboot, line.setup.fixed) = (Some(Wanted::Off), Some(Wanted::Off));
        } else if let Some(entry) = self.multiboot {
            let parse = self.parse.unwrap_or_default();
            let words = Multiboot { entry, parse, allow: self.allow, ..Multiboot::default() };
            line.setup.multiboot = Some(Wanted::On(words));
        } else if let Some(Some(place)) = self.fixed {
            let parse = self.parse.unwrap_or_default();
            let words = Static { parse, allow: self.allow, ..Static::of(place) };
            line.setup.fixed = Some(Wanted::On(words));
        } else if self.parse.is_some() || self.fixed.is_some() {
            line.parse = Some(self.parse.unwrap_or_default());
            line.bare.insert(Step::How);
        } else if !self.skip_vfio_setup {
            line.open.extend([Step::Selection, Step::How]);
        }
    }
}

fn wrong(what: impl std::fmt::Display) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{what}\n"))
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn read(line: &str) -> Result<Original, clap::Error> {
        let words = std::iter::once("setup").chain(line.split_whitespace());
        let command = vfio_cli::Global::augment_args(Original::augment_args(Command::new("setup")));
        Original::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    /// The line as the setup that it asks for; what is open behind it. Post-setup is skipped where
    /// the line does not say a word of it.
    fn told(line: &str) -> String {
        let post = [
            "post-setup",
            "zram-swap",
            "auto-xorg",
            "hooks",
            "dynamic",
            "looking",
            "scream",
            "audio",
        ]
        .iter()
        .any(|word| line.contains(word));
        let skipped = format!("{line} --skip-post-setup");
        let line = if post || line.is_empty() { line } else { &skipped };
        let line = read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut told = line.setup.to_toml().unwrap().replace('\n', " ");
        if let Some(Wanted::On(Drivers { file })) = &line.drivers {
            told += &format!("xml: {file:?} ");
        }
        for (name, steps) in [("bare", &line.bare), ("open", &line.open)] {
            if !steps.is_empty() {
                told += &format!("{name}: {steps:?} ");
            }
        }
        told.trim_end().to_owned()
    }

    #[test]
    fn b3_b4_b5_b6_b34a_every_option_says_what_it_asks_for() {
        let pre = "[hugepages] size = \"1G\" count = 16";
        let menu = |entry: &str, parse: &str| {
            format!("[multiboot] entry = \"{entry}\" parse = \"{parse}\"")
        };
        let fixed =
            |place: &str, parse: &str| format!("[static] place = \"{place}\" parse = \"{parse}\"");
        for (line, asked) in [
            (
                "",
                "open: {Selection, How, Hugepages, Cpu, Evdev, ZramSwap, AutoXorg, Guests}"
                    .to_owned(),
            ),
            ("-q", "open: {Selection, How, Hugepages, Cpu, Evdev}".to_owned()),
            ("-h 1G 16 --skip-vfio-setup", pre.to_owned()),
            ("--hugepages 1G 16 --skip-vfio-setup -q", pre.to_owned()),
            ("--skip-vfio-setup --hugepages 1G 16", pre.to_owned()),
            ("--hugepages --cpu --skip-vfio-setup", "[cpu] bare: {Hugepages}".to_owned()),
            ("--cpu --skip-vfio-setup", "[cpu]".to_owned()),
            ("-c --skip-vfio-setup", "[cpu]".to_owned()),
            ("--evdev --skip-vfio-setup", "[evdev]".to_owned()),
            ("-e -c --skip-vfio-setup", "[cpu]  [evdev]".to_owned()),
            (
                "--quiet --evdev --cpu --hugepages 2M 8192 --skip-vfio-setup",
                "[hugepages] size = \"2M\" count = 8192  [cpu]  [evdev]".into(),
            ),
            ("-m last --skip-pre-setup", menu("last", "vga")),
            ("--multiboot default --skip-pre-setup", menu("default", "vga")),
            ("--multiboot 14 -p 1 --skip-pre-setup", menu("14", "1")),
            ("--multiboot --parse all --skip-pre-setup", menu("default", "all")),
            ("--parse no-vga,14 -m 14 --skip-pre-setup", menu("14", "no-vga,14")),
            ("-p 1,14-16 -m first -c", format!("[cpu]  {}", menu("first", "1,14-16"))),
            ("--parse all --skip-pre-setup", "bare: {How}".to_owned()),
            ("--skip-pre-setup --skip-vfio-setup --skip-post-setup", String::new()),
            ("-s file --skip-pre-setup", fixed("file", "vga")),
            (
                "-q --parse no-vga,14 --hugepages 2M 256 --cpu --static grub",
                "[hugepages] size = \"2M\" count = 256  [cpu]  [static] place = \"grub\" \
                 parse = \"no-vga,14\""
                    .into(),
            ),
            ("--static --parse all --skip-pre-setup", "bare: {How}".into()),
            ("--xml -c --skip-vfio-setup", "[cpu] xml: None".into()),
            ("-c -x /a/b.xml --skip-vfio-setup", "[cpu] xml: Some(\"/a/b.xml\")".into()),
            ("--xml=b.xml --parse all --skip-pre-setup", "xml: Some(\"b.xml\") bare: {How}".into()),
            ("--xml --parse all --skip-pre-setup", "xml: None bare: {How}".into()),
            ("--static grub --no-xml --skip-pre-setup", fixed("grub", "vga")),
            ("--static --no-xml --skip-pre-setup", "bare: {How}".into()),
            ("--skip-pre-setup --skip-vfio-setup --xml", "xml: None".into()),
            (
                "--ignore-distro -n --uninstall-vfio-setup --skip-pre-setup",
                "multiboot = \"off\" static = \"off\"".into(),
            ),
        ] {
            assert_eq!(told(line), asked, "{line}");
        }
        assert_eq!(read("--help").unwrap_err().exit_code(), 0);
        assert!(read("-u").unwrap().undo && read("--undo -q").unwrap().undo);
    }

    #[test]
    fn b3_b50_post_setup_says_what_it_asks_for() {
        for (line, asked) in [
            (
                "--uninstall-pre-setup --uninstall-vfio-setup --uninstall-post-setup",
                "hugepages = \"off\" cpu = \"off\" evdev = \"off\" multiboot = \"off\" static = \"off\" \
                 zram-swap = \"off\" auto-xorg = \"off\" libvirt-hooks = \"off\" dynamic = \"off\" \
                 audio-loopback = \"off\" looking-glass = \"off\" scream = \"off\""
                    .to_owned(),
            ),
            (
                "--zram-swap force 1/4 --skip-pre-setup --skip-vfio-setup",
                "[zram-swap] fraction = \"1/4\" force = true".to_owned(),
            ),
            ("--zram-swap -c --skip-vfio-setup", "[cpu]  [zram-swap]".to_owned()),
            ("--zram-swap default -c --skip-vfio-setup", "[cpu]  [zram-swap]".to_owned()),
            (
                "-c --auto-xorg last amd --skip-vfio-setup --zram-swap",
                "[cpu]  [zram-swap]  [auto-xorg] order = \"last\" vendor = \"amd\"".to_owned(),
            ),
            ("--auto-xorg --skip-pre-setup --skip-vfio-setup", "[auto-xorg]".to_owned()),
            (
                "--libvirt-hooks --dynamic --skip-pre-setup --skip-vfio-setup",
                "[libvirt-hooks]  [dynamic]".to_owned(),
            ),
            (
                "--looking-glass 2560x1440 --scream --skip-pre-setup --skip-vfio-setup",
                "[looking-glass] screen = \"2560x1440\"  [scream]".to_owned(),
            ),
            ("--audio-loopback -c --skip-vfio-setup", "[cpu]  [audio-loopback]".to_owned()),
            ("--looking-glass -c --skip-vfio-setup", "[cpu]  [looking-glass]".to_owned()),
            ("--hooks --skip-pre-setup --skip-vfio-setup", "[libvirt-hooks]".to_owned()),
        ] {
            assert_eq!(told(line), asked, "{line}");
        }
    }

    #[test]
    fn b3_b5_what_is_wrong_is_told() {
        for (line, wrong) in [
            ("--bogus", "unexpected argument '--bogus'"),
            ("--hugepages 1G", "how many pages?"),
            ("-h 2M 256 -h 1G 4", "`--hugepages` stands once"),
            ("--hugepages 3M 4", "`3M` is not a huge page size"),
            ("--hugepages 1G x", "`x` is not a number of pages"),
            ("--multiboot sideways", "`sideways` is not a choice"),
            ("--parse 16-14", "`16-14` is not a selection"),
            ("--parse", "a value is required"),
            ("--cpu --skip-pre-setup", "cannot be used with"),
            ("--multiboot --uninstall-vfio-setup", "cannot be used with"),
            ("--static x", "`x` is no kind of static setup"),
            ("--static grub --multiboot", "cannot be used with"),
            ("-u --cpu", "`--undo` stands alone"),
            ("--audio-loopback --skip-post-setup", "cannot be used with"),
            ("--auto-xorg ati", "`ati` is neither a place nor a vendor"),
            ("--auto-xorg --uninstall-post-setup", "cannot be used with"),
            ("--libvirt-hooks --skip-post-setup", "cannot be used with"),
            ("--looking-glass big", "`big` is no screen's size"),
            ("--zram-swap 5/4", "`5/4` is not a fraction between 0 and 1"),
            ("-c --zram-swap 1/4 1/2", "`1/2` is one size too many"),
            ("--zram-swap --skip-post-setup", "cannot be used with"),
            ("-u --xml", "`--undo` stands alone"),
            ("--xml --no-xml", "cannot be used with"),
            ("last", "unexpected argument 'last'"),
            ("--cpu --cpu", "cannot be used multiple times"),
        ] {
            let error = read(line).expect_err(line).to_string();
            assert!(error.contains(wrong), "{line}: {error}");
        }
    }
}

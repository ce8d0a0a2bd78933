//! What the programs combine: the words of each feature, and the one plan made from several of
//! them.
//!
//! A feature's words are the arguments of its program, the table of its name in a TOML file, an
//! option of the combined command line and an answer to the wizard. All of them end in
//! [`Setup::carry_out`], so a feature is planned in one way only, and what was asked for is written
//! down beside what it made ([`DECLARED`]).

mod audio_loopback;
mod auto_xorg;
mod by_hand;
mod cpu;
mod declared;
mod drivers;
mod evdev;
mod fixed;
mod for_guest;
mod foreign;
mod groups;
mod guest;
mod guests;
mod hugepages;
pub mod installation;
mod looking_glass;
mod multiboot;
mod original;
mod scream;
pub mod trial;
mod wanted;
pub mod wizard;
mod words;
mod zram_swap;

use serde::{Deserialize, Serialize};
use vfio_cli::{Context, Failure, Usage};
use vfio_core::{Root, change::Draft, host::Machine};

pub use audio_loopback::AudioLoopback;
pub use auto_xorg::AutoXorg;
pub use cpu::Cpu;
pub use declared::{DECLARED, declared};
pub use drivers::Drivers;
pub use evdev::Evdev;
pub use fixed::{Place, Static};
pub use foreign::{Foreign, PLACES};
pub use groups::{groups_table, reasons};
pub use guest::{GuestWords, Part, guest};
pub use guests::{Dynamic, HELPERS, HOOK, LibvirtHooks};
pub use hugepages::Hugepages;
pub use looking_glass::LookingGlass;
pub use multiboot::Multiboot;
pub use original::Original;
pub use scream::Scream;
pub use wanted::Wanted;
pub use wizard::Step;
pub use zram_swap::ZramSwap;

use for_guest::ForGuest;

/// What a machine is to be: the words of each feature; `None` leaves a feature as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// `deploy-vfio hugepages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugepages: Option<Wanted<Hugepages>>,
    /// `deploy-vfio cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Wanted<Cpu>>,
    /// `deploy-vfio evdev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evdev: Option<Wanted<Evdev>>,
    /// `deploy-vfio multiboot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiboot: Option<Wanted<Multiboot>>,
    /// `deploy-vfio static`.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Wanted<Static>>,
    /// `deploy-vfio zram-swap`.
    #[serde(default, rename = "zram-swap", skip_serializing_if = "Option::is_none")]
    pub zram_swap: Option<Wanted<ZramSwap>>,
    /// `deploy-vfio auto-xorg`.
    #[serde(default, rename = "auto-xorg", skip_serializing_if = "Option::is_none")]
    pub auto_xorg: Option<Wanted<AutoXorg>>,
    /// `deploy-vfio libvirt-hooks`.
    #[serde(default, rename = "libvirt-hooks", skip_serializing_if = "Option::is_none")]
    pub libvirt_hooks: Option<Wanted<LibvirtHooks>>,
    /// `deploy-vfio dynamic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<Wanted<Dynamic>>,
    /// `deploy-vfio audio-loopback`.
    #[serde(default, rename = "audio-loopback", skip_serializing_if = "Option::is_none")]
    pub audio_loopback: Option<Wanted<AudioLoopback>>,
    /// `deploy-vfio looking-glass`.
    #[serde(default, rename = "looking-glass", skip_serializing_if = "Option::is_none")]
    pub looking_glass: Option<Wanted<LookingGlass>>,
    /// `deploy-vfio scream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scream: Option<Wanted<Scream>>,
}

impl Setup {
    /// Plans every feature that is named, shows the plan and carries it out as one operation.
    ///
    /// # Errors
    ///
    /// What a feature refuses, and what the engine does.
    pub fn carry_out(&self, cx: &Context) -> Result<(), Failure> {
        self.carry_out_with(cx, None)
    }

    /// The same on a machine whose real drivers are in a file; or without the one of ours.
    ///
    /// # Errors
    ///
    /// As for [`Setup::carry_out`]; a file that is not to be trusted.
    pub fn carry_out_with(
        &self,
        cx: &Context,
        drivers: Option<&Wanted<Drivers>>,
    ) -> Result<(), Failure> {
        let menu = matches!(self.multiboot, Some(Wanted::On(_)));
        if menu && matches!(self.fixed, Some(Wanted::On(_))) {
            let help = ["`multiboot` keeps the choice for each boot, `static` makes it once"];
            return Err(
                Usage::new("a menu and a static setup take each other's place", &help).into()
            );
        }
        let mut machine = cx.machine()?;
        let mut draft = cx.draft();
        match drivers {
            Some(Wanted::On(drivers)) => drivers.consult(cx, &mut draft, &mut machine)?,
            Some(Wanted::Off) => draft.remove(vfio_database::FILE),
            None => {}
        }
        let for_guest = self.plan(cx, &mut draft, &machine)?;
        finish_with(cx, draft, &machine, &for_guest)?;
        ForGuest::tell(&for_guest, cx);
        Ok(())
    }

    /// Writes into `draft` what every named feature makes, in the order that later ones need, and
    /// tells what a guest needs besides.
    fn plan(
        &self,
        cx: &Context,
        draft: &mut Draft<'_>,
        machine: &Machine,
    ) -> Result<Vec<ForGuest>, Failure> {
        let mut for_guest = Vec::new();
        if let Some(wanted) = &self.hugepages {
            hugepages::plan(draft, machine, wanted)?;
            declared::declare(draft, "hugepages", wanted)?;
        }
        if let Some(wanted) = &self.cpu {
            cpu::plan(draft, machine, wanted)?;
            declared::declare(draft, "cpu", wanted)?;
        }
        if let Some(wanted) = &self.evdev {
            for_guest.extend(evdev::plan(cx, draft, machine, wanted)?);
            declared::declare(draft, "evdev", wanted)?;
        }
        if let Some(wanted) = &self.multiboot {
            multiboot::plan(draft, machine, wanted)?;
            declared::declare(draft, "multiboot", &multiboot::as_deployed(draft, wanted)?)?;
            if matches!(wanted, Wanted::On(_)) {
                declared::forget(draft, "static");
            }
        }
        if let Some(wanted) = &self.fixed {
            fixed::plan(draft, machine, wanted)?;
            declared::declare(draft, "static", &fixed::as_deployed(draft, wanted)?)?;
            if matches!(wanted, Wanted::On(_)) {
                declared::forget(draft, "multiboot");
            }
        }
        self.plan_post(cx, draft, machine, &mut for_guest)?;
        Ok(for_guest)
    }

    /// The same for what comes after the setup.
    fn plan_post(
        &self,
        cx: &Context,
        draft: &mut Draft<'_>,
        machine: &Machine,
        for_guest: &mut Vec<ForGuest>,
    ) -> Result<(), Failure> {
        let deployed = zram_swap::deployed(draft, self)?.map(Wanted::On);
        if let Some(wanted) = self.zram_swap.as_ref().or(deployed.as_ref()) {
            zram_swap::plan(cx, draft, machine, wanted)?;
            declared::declare(draft, "zram-swap", wanted)?;
        }
        if let Some(wanted) = &self.auto_xorg {
            auto_xorg::plan(draft, machine, wanted)?;
            declared::declare(draft, "auto-xorg", wanted)?;
        }
        if let Some(wanted) = &self.libvirt_hooks {
            guests::plan_hooks(draft, wanted)?;
            declared::declare(draft, "libvirt-hooks", wanted)?;
        }
        if let Some(wanted) = &self.dynamic {
            guests::plan_dynamic(draft, wanted)?;
            declared::declare(draft, "dynamic", wanted)?;
        }
        if let Some(wanted) = &self.audio_loopback {
            audio_loopback::plan(cx, draft, wanted)?;
            declared::declare(draft, "audio-loopback", wanted)?;
        }
        if let Some(wanted) = &self.looking_glass {
            for_guest.extend(looking_glass::plan(cx, draft, wanted)?);
            declared::declare(draft, "looking-glass", wanted)?;
        }
        if let Some(wanted) = &self.scream {
            for_guest.extend(scream::plan(cx, draft, wanted)?);
            declared::declare(draft, "scream", wanted)?;
        }
        Ok(())
    }
}

/// Renders what GRUB reads from the fragments in `draft`, and gives it to the engine.
///
/// # Errors
///
/// Fragments that cannot be rendered, and what the engine refuses.
pub fn finish(cx: &Context, draft: Draft<'_>, machine: &Machine) -> Result<(), Failure> {
    finish_with(cx, draft, machine, &[])
}

/// The same with what guests need in what `--json` prints.
fn finish_with(
    cx: &Context,
    mut draft: Draft<'_>,
    machine: &Machine,
    for_guest: &[ForGuest],
) -> Result<(), Failure> {
    vfio_grub::render(&mut draft, &machine.boot)?;
    let expected = vfio_grub::Expected::of(&draft)?;
    let verify = |root: &Root, staged: &_| vfio_grub::verify(root, staged, &expected);
    cx.commit_with(draft, Some(&verify), &ForGuest::data(for_guest))
}

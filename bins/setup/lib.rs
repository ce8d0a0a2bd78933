//! What the programs combine: the words of each feature, and the one plan made from several of
//! them.
//!
//! A feature's words are the arguments of its program, the table of its name in a TOML file, an
//! option of the combined command line and an answer to the wizard. All of them end in
//! [`Setup::carry_out`], so a feature is planned in one way only, and what was asked for is written
//! down beside what it made ([`DECLARED`]).

mod cpu;
mod declared;
mod fixed;
mod groups;
mod hugepages;
pub mod installation;
mod multiboot;
mod original;
mod wanted;
pub mod wizard;
mod words;

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{change::Draft, host::Machine};

pub use cpu::Cpu;
pub use declared::{DECLARED, declared};
pub use fixed::{Place, Static};
pub use groups::{groups_table, reasons};
pub use hugepages::Hugepages;
pub use multiboot::Multiboot;
pub use original::Original;
pub use wanted::Wanted;
pub use wizard::Step;

use serde::{Deserialize, Serialize};

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
    /// `deploy-vfio multiboot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiboot: Option<Wanted<Multiboot>>,
    /// `deploy-vfio static`.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Wanted<Static>>,
}

impl Setup {
    /// Plans every feature that is named, shows the plan and carries it out as one operation.
    ///
    /// # Errors
    ///
    /// What a feature refuses, and what the engine does.
    pub fn carry_out(&self, cx: &Context) -> Result<(), Failure> {
        let menu = matches!(self.multiboot, Some(Wanted::On(_)));
        if menu && matches!(self.fixed, Some(Wanted::On(_))) {
            let help = ["`multiboot` keeps the choice for each boot, `static` makes it once"];
            return Err(
                Usage::new("a menu and a static setup take each other's place", &help).into()
            );
        }
        let machine = cx.machine()?;
        let mut draft = cx.draft();
        self.plan(&mut draft, &machine)?;
        finish(cx, draft, &machine)
    }

    /// Writes into `draft` what every named feature makes, in the order that later ones need.
    fn plan(&self, draft: &mut Draft<'_>, machine: &Machine) -> Result<(), Failure> {
        if let Some(wanted) = &self.hugepages {
            hugepages::plan(draft, machine, wanted)?;
            declared::declare(draft, "hugepages", wanted)?;
        }
        if let Some(wanted) = &self.cpu {
            cpu::plan(draft, machine, wanted)?;
            declared::declare(draft, "cpu", wanted)?;
        }
        if let Some(wanted) = &self.multiboot {
            multiboot::plan(draft, machine, wanted)?;
            declared::declare(draft, "multiboot", wanted)?;
            if matches!(wanted, Wanted::On(_)) {
                declared::forget(draft, "static");
            }
        }
        if let Some(wanted) = &self.fixed {
            fixed::plan(draft, machine, wanted)?;
            declared::declare(draft, "static", wanted)?;
            if matches!(wanted, Wanted::On(_)) {
                declared::forget(draft, "multiboot");
            }
        }
        Ok(())
    }
}

/// Renders what GRUB reads from the fragments in `draft`, and gives it to the engine.
///
/// # Errors
///
/// Fragments that cannot be rendered, and what the engine refuses.
pub fn finish(cx: &Context, mut draft: Draft<'_>, machine: &Machine) -> Result<(), Failure> {
    vfio_grub::render(&mut draft, &machine.boot)?;
    let expected = vfio_grub::Expected::of(&draft)?;
    cx.commit(draft, Some(&|root, staged| vfio_grub::verify(root, staged, &expected)))
}

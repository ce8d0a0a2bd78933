//! What the programs combine: a plan that more than one feature has a part in.
//!
//! Features never depend on each other; a program that needs two of them finds here how they go
//! together, so that any other caller plans the same.

mod fixed;

pub use fixed::{Place, Static};

use vfio_cli::{Context, Failure};
use vfio_core::{change::Draft, host::Machine};

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

//! What the words of a selection mean on a machine, whether or not it may go to a guest.

use std::collections::BTreeSet;

use vfio_core::host::Machine;

use crate::{Error, Selection, bundle::bundles, diagnosis::diagnose, select::exist};

/// The groups that `selection` means, protected ones included: a card's groups stand together.
///
/// # Errors
///
/// No IOMMU groups at all; a group that does not exist.
pub fn meant(machine: &Machine, selection: &Selection) -> Result<BTreeSet<u32>, Error> {
    let bundles = bundles(&machine.pci);
    if bundles.is_empty() {
        return Err(no_groups(machine));
    }
    exist(selection, &bundles)?;
    let mut groups = BTreeSet::new();
    for bundle in &bundles {
        let display = bundle.has_display();
        let means = |group: &u32| selection.words().iter().any(|word| word.means(*group, display));
        groups.extend(bundle.groups.iter().copied().filter(means));
    }
    Ok(groups)
}

/// Why a machine has no IOMMU groups, and the way out.
#[must_use]
pub fn no_groups(machine: &Machine) -> Error {
    Error::NoIommu(diagnose(machine))
}

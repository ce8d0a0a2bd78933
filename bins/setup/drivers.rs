//! `--xml [FILE]`: where the drivers of devices that are on vfio-pci are known from.

use vfio_cli::{Context, Failure};
use vfio_core::{change::Draft, host::Machine};
use vfio_database::Source;

/// The file that says which driver each device has without guests: it is written while nothing is
/// bound, and read later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drivers {
    /// As the user named it; `None` is our own place, [`vfio_database::FILE`].
    pub file: Option<String>,
}

impl Drivers {
    /// Gives the devices of `machine` that are on vfio-pci the drivers that they have without
    /// guests; while there are none, writes the file into `draft`.
    ///
    /// # Errors
    ///
    /// A file that is not to be trusted, or that is missing where devices are bound.
    pub(crate) fn consult(
        &self,
        cx: &Context,
        draft: &mut Draft<'_>,
        machine: &mut Machine,
    ) -> Result<(), Failure> {
        let file = self.file.as_deref().map(|file| cx.path(file)).transpose()?;
        let source = vfio_database::consult(draft, machine, file.as_deref())?;
        if let Source::File { file, drivers } = source {
            for (address, driver) in drivers {
                let driver = driver.as_deref().unwrap_or("nothing");
                draft.note(format!("{address} is driven by {driver} without guests, says /{file}"));
            }
        }
        Ok(())
    }
}

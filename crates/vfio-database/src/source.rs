//! Where the real drivers come from: the machine itself, or the file that remembers them.
//!
//! While nothing is bound the machine is right whatever a file says. The file at our own place is
//! then kept up to date, in the same operation as everything else, so that `undo` takes it back; a
//! file that the user named is written once, and later only read.

use std::collections::BTreeMap;

use vfio_core::{Address, change::Draft, host::Machine};

use crate::{Database, Error, database::bound, xml};

/// Our own place for the file.
///
/// Not in the state directory below `/var/lib`: that one is the engine's, which carries out no
/// plan there, and nobody but root may read it, while a dry run needs no privilege.
pub const FILE: &str = "etc/deploy-vfio/database.xml";

/// What the drivers of a machine are told from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing is bound: from the machine.
    Machine,
    /// From a file, for the devices on vfio-pci.
    File {
        /// Relative to the root.
        file: String,
        /// What drove them before; `None` when nothing did.
        drivers: BTreeMap<Address, Option<String>>,
    },
}

/// Gives every device of `machine` the driver that it has without guests, and plans to write the
/// file that will say so once devices are bound.
///
/// `file` is what the user named, relative to the root; `None` is [`FILE`].
///
/// # Errors
///
/// Devices are on vfio-pci, and the file is missing or does not know them; or the file is not to
/// be trusted and either needed or the user's.
pub fn consult(
    draft: &mut Draft<'_>,
    machine: &mut Machine,
    file: Option<&str>,
) -> Result<Source, Error> {
    if bound(machine).next().is_some() {
        return recall(draft, machine, file);
    }
    let path = path(file);
    let fresh = Database::of(machine)?;
    match (draft.bytes(path)?, file) {
        (Some(bytes), Some(_)) => notes(draft, read(&bytes, machine, path)?.1),
        (Some(bytes), None) => renew(draft, fresh, read(&bytes, machine, path))?,
        (None, _) => create(draft, path, &fresh)?,
    }
    Ok(Source::Machine)
}

/// The half of [`consult`] that only reads: gives the devices on vfio-pci the drivers that the
/// file says, and does nothing when there are none.
///
/// # Errors
///
/// As for [`consult`].
pub fn recall(
    draft: &mut Draft<'_>,
    machine: &mut Machine,
    file: Option<&str>,
) -> Result<Source, Error> {
    let devices: Vec<Address> = bound(machine).map(|device| device.address).collect();
    if devices.is_empty() {
        return Ok(Source::Machine);
    }
    let path = path(file);
    let unknown = |devices, exists| Error::Unknown { devices, file: path.to_owned(), exists };
    let Some(bytes) = draft.bytes(path)? else { return Err(unknown(devices, false)) };
    let (database, said) = read(&bytes, machine, path)?;
    let restored = database.restore_drivers(machine);
    if !restored.unknown.is_empty() {
        return Err(unknown(restored.unknown, true));
    }
    notes(draft, said);
    Ok(Source::File { file: path.to_owned(), drivers: restored.drivers })
}

fn path(file: Option<&str>) -> &str {
    file.map_or(FILE, |file| file.trim_start_matches('/'))
}

/// A file that is about this machine, and what changed since it was made.
fn read(bytes: &[u8], machine: &Machine, path: &str) -> Result<(Database, Vec<String>), Error> {
    let database = Database::parse(bytes).map_err(|error| error.within(path))?;
    let notes = database.check(machine).map_err(|error| placed(error, bytes).within(path))?;
    Ok((database, notes))
}

/// With the place in the file of the device that shows the file to be another machine's.
fn placed(error: Error, bytes: &[u8]) -> Error {
    match error {
        Error::Foreign { device, because, .. } => {
            Error::Foreign { at: xml::place(bytes, device), device, because }
        }
        error => error,
    }
}

fn notes(draft: &mut Draft<'_>, notes: Vec<String>) {
    notes.into_iter().for_each(|note| draft.note(note));
}

/// With the IOMMU off there is nothing to write yet.
fn create(draft: &mut Draft<'_>, path: &str, fresh: &Database) -> Result<(), Error> {
    if !fresh.devices().is_empty() {
        draft.write(path, fresh.to_xml())?;
    }
    Ok(())
}

/// Our own file is not needed now, so nothing about it is an error.
fn renew(
    draft: &mut Draft<'_>,
    mut fresh: Database,
    older: Result<(Database, Vec<String>), Error>,
) -> Result<(), Error> {
    match older {
        Ok((older, _)) => fresh.remember(&older),
        Err(error) => draft.note(format!("{error}; it is written anew")),
    }
    create(draft, FILE, &fresh)
}

#[cfg(test)]
mod tests {
    use vfio_core::{Advice, Exit, Root, layout::VFIO_PCI};

    use super::*;
    use crate::machine::{AMD, NVIDIA, machine};

    type Row = (&'static str, Option<u32>, &'static str, u16);

    const NORMAL: [Row; 3] = [
        ("0000:00:1f.0", Some(0), "", 0x8086),
        ("0000:01:00.0", Some(1), "nvidia", NVIDIA),
        ("0000:02:00.0", Some(2), "amdgpu", AMD),
    ];

    const GUEST: [Row; 3] = [NORMAL[0], ("0000:01:00.0", Some(1), VFIO_PCI, NVIDIA), NORMAL[2]];

    const TEXT: &str = "<xml>\n\
        \t<iommu id=\"0\" dev_id=\"0000:00:1f.0\" driver=\"\"/>\n\
        \t<iommu id=\"1\" dev_id=\"0000:01:00.0\" driver=\"nvidia\"/>\n\
        \t<iommu id=\"2\" dev_id=\"0000:02:00.0\" driver=\"amdgpu\"/>\n\
        </xml>\n";

    /// What comes of a machine and what a file holds: the source, the machine, the file, notes.
    fn on(
        rows: &[Row],
        text: Option<&str>,
        file: Option<&str>,
    ) -> Result<(Source, Machine, Option<String>, Vec<String>), Error> {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        let path = file.unwrap_or(FILE);
        if let Some(text) = text {
            draft.write(path, text)?;
        }
        let mut machine = machine(rows);
        let source = consult(&mut draft, &mut machine, file)?;
        let text = draft.text(path)?;
        Ok((source, machine, text, draft.finish("x")?.notes))
    }

    #[test]
    fn b17_the_file_is_written_while_nothing_is_bound_and_read_later() {
        let (source, _, text, _) = on(&NORMAL, None, None).unwrap();
        assert_eq!((source, text.as_deref()), (Source::Machine, Some(TEXT)));
        let (source, machine, text, notes) = on(&GUEST, Some(TEXT), None).unwrap();
        let Source::File { file, drivers } = source else { panic!("{source:?}") };
        assert_eq!((file.as_str(), drivers.len(), notes.len()), (FILE, 1, 0));
        assert_eq!(machine.pci, crate::machine::machine(&NORMAL).pci);
        assert_eq!(text.as_deref(), Some(TEXT), "reading changes nothing");
    }

    #[test]
    fn b17_a_second_run_finds_nothing_to_do() {
        let (source, _, text, notes) = on(&NORMAL, Some(TEXT), None).unwrap();
        assert_eq!((source, text.as_deref(), notes.len()), (Source::Machine, Some(TEXT), 0));
    }

    #[test]
    fn b17_the_machine_is_right_while_nothing_is_bound() {
        let old = TEXT.replace("nvidia", "nouveau");
        let (_, _, text, notes) = on(&NORMAL, Some(&old), None).unwrap();
        assert_eq!((text.as_deref(), notes.len()), (Some(TEXT), 0));
        for broken in ["", "<xml>", "<xml/>"] {
            let (source, _, text, _) = on(&NORMAL, Some(broken), None).unwrap();
            assert_eq!((source, text.as_deref()), (Source::Machine, Some(TEXT)), "{broken}");
        }
        let (.., notes) = on(&NORMAL, Some("<xml>"), None).unwrap();
        let note = "/etc/deploy-vfio/database.xml: line 1, column 6: the file ends too early; \
                    it is written anew";
        assert_eq!(notes, [note]);
    }

    #[test]
    fn a_device_that_is_unbound_for_a_moment_is_not_forgotten() {
        let mut rows = NORMAL;
        rows[1].2 = "";
        assert_eq!(on(&rows, Some(TEXT), None).unwrap().2.as_deref(), Some(TEXT));
    }

    #[test]
    fn without_iommu_there_is_no_file() {
        let off = NORMAL.map(|row| (row.0, None, row.2, row.3));
        assert_eq!(on(&off, None, None).unwrap().2, None);
        assert_eq!(on(&off, Some(TEXT), None).unwrap().2.as_deref(), Some(TEXT));
    }

    #[test]
    fn a_file_of_the_user_is_written_once_and_never_again() {
        let own = Some("home/me/drivers.xml");
        assert_eq!(on(&NORMAL, None, own).unwrap().2.as_deref(), Some(TEXT));
        let fewer =
            TEXT.replace("\t<iommu id=\"2\" dev_id=\"0000:02:00.0\" driver=\"amdgpu\"/>\n", "");
        let (_, _, text, notes) = on(&NORMAL, Some(&fewer), own).unwrap();
        assert_eq!(text.as_deref(), Some(fewer.as_str()));
        assert_eq!(notes, ["came after the database of drivers was made: 0000:02:00.0"]);
        let error = on(&NORMAL, Some("<xml>"), own).unwrap_err();
        assert!(error.to_string().starts_with("/home/me/drivers.xml: line 1"), "{error}");
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[test]
    fn b17_devices_on_vfio_pci_without_a_file_say_what_is_unknown_and_how_to_know_it() {
        let error = on(&GUEST, None, None).unwrap_err();
        assert_eq!(error.to_string(), "what drove 0000:01:00.0 before vfio-pci is unknown");
        assert!(error.because()[0].contains("there is no /etc/deploy-vfio/database.xml"));
        assert!(error.help()[0].starts_with("boot the normal entry once"));
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[test]
    fn a_bound_device_that_the_file_does_not_know_is_named() {
        let mut rows = GUEST.to_vec();
        rows.push(("0000:05:00.0", Some(7), VFIO_PCI, AMD));
        let error = on(&rows, Some(TEXT), None).unwrap_err();
        assert_eq!(error.to_string(), "what drove 0000:05:00.0 before vfio-pci is unknown");
        assert!(
            error.because()[0].ends_with("does not know 0000:05:00.0: added or replaced since")
        );
    }

    #[test]
    fn another_machines_file_is_refused_where_it_is_needed() {
        let foreign = TEXT.replace(":01:", ":0a:").replace(":02:", ":0b:");
        let error = on(&GUEST, Some(&foreign), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/deploy-vfio/database.xml: line 3, column 2: made on another machine"
        );
        assert_eq!(error.because()[0], "there is no 0000:0a:00.0 here");
        let (_, _, text, notes) = on(&NORMAL, Some(&foreign), None).unwrap();
        assert_eq!(text.as_deref(), Some(TEXT));
        assert!(notes[0].ends_with("made on another machine; it is written anew"), "{notes:?}");
    }
}

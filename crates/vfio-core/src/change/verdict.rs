//! What the judge of a trial found, kept for whoever asks after the next boot.

use crate::{
    Result, Root,
    change::{
        Meta, Settings,
        disk::Disk,
        place::{Folder, split},
        store::Store,
    },
    layout::VERDICT,
};

/// Keeps why an attempt failed, one reason a line; what was kept before goes.
///
/// # Errors
///
/// A state directory that cannot be written.
pub fn set_verdict(
    root: &Root,
    attempt: u32,
    because: &[String],
    settings: &Settings<'_>,
) -> Result<()> {
    let disk = Disk::new();
    let _store = Store::open(root, &disk, settings)?;
    let line = |reason: &String| reason.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = because.iter().map(line).collect();
    let text = format!("format=1\nattempt={attempt}\n{}\n", lines.join("\n"));
    let (dir, name) = split(VERDICT);
    let (folder, new) = (Folder::open(root, dir)?, ".trial.tmp");
    disk.unlink(&folder, new)?;
    disk.create(&folder, new, text.as_bytes(), &Meta::new(root, 0o600)?)?;
    disk.rename((&folder, new), (&folder, name))?;
    disk.sync_folder(&folder)
}

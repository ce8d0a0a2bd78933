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

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        change::{NoRebuild, laws::settings},
        host::trial::judged,
    };

    #[test]
    fn the_last_verdict_stays_on_lines_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let settings = settings(&NoRebuild);
        let say = |attempt, because: &[&str]| {
            let because: Vec<_> = because.iter().map(|&reason| reason.to_owned()).collect();
            set_verdict(&root, attempt, &because, &settings).unwrap();
            (judged(&root), fs::read_to_string(dir.path().join(VERDICT)).unwrap())
        };
        let told = say(1, &["no\nformat=1\nattempt=9", "driver"]);
        assert_eq!(told, (1, "format=1\nattempt=1\nnoformat=1attempt=9\ndriver\n".to_owned()));
        assert_eq!(say(2, &["late"]), (2, "format=1\nattempt=2\nlate\n".to_owned()));
        let mode = fs::metadata(dir.path().join(VERDICT)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let names = fs::read_dir(dir.path().join("var/lib/deploy-vfio")).unwrap();
        assert!(names.map(|name| name.unwrap().file_name()).all(|name| name != ".trial.tmp"));
    }
}

//! Boot entries of ours: one file each, which the menu generator reads at every `update-grub`.
//!
//! The format is `key=value`, a line each: `title=`, `arguments=`, and `arguments-before-X.Y=` for
//! what only kernels before version X.Y are given. The file's name is the entry's id.

use std::{collections::BTreeMap, fmt::Write};

use vfio_core::{Cmdline, Result, change::Draft, layout::stem};

use crate::{CHOICE, ENTRIES, Error, forget_trial};

/// One line of the boot menu; older kernels sit in a submenu of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Stable name for `GRUB_DEFAULT`. It begins with a letter: GRUB takes a leading digit for an
    /// index.
    pub id: String,
    /// What the user reads.
    pub title: String,
    /// Its kernel parameters, besides those of every fragment.
    pub arguments: Cmdline,
    /// Further parameters for kernels before a version (major, minor).
    pub arguments_before: BTreeMap<(u32, u32), Cmdline>,
}

impl Entry {
    fn parse(id: &str, text: &str) -> Self {
        let mut entry = Self { id: id.to_owned(), ..Self::default() };
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match (key, key.strip_prefix("arguments-before-").and_then(version)) {
                ("title", _) => entry.title = value.to_owned(),
                ("arguments", _) => entry.arguments = value.into(),
                (_, Some(version)) => drop(entry.arguments_before.insert(version, value.into())),
                _ => {}
            }
        }
        entry
    }

    pub(crate) fn text(&self) -> String {
        let mut text =
            String::from("# Written by deploy-vfio; `deploy-vfio undo` takes it back.\n");
        let title: String = self.title.chars().filter(|c| !c.is_control()).take(120).collect();
        let _ = writeln!(text, "title={title}\narguments={}", self.arguments);
        for ((major, minor), arguments) in &self.arguments_before {
            let _ = writeln!(text, "arguments-before-{major}.{minor}={arguments}");
        }
        text
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the menu generator serves an entry of this id; any other it leaves out.
fn is_served(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
    id.strip_prefix("deploy-vfio-").is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

/// The entries that `draft` will have, in the order of their ids, and the id of the default one.
///
/// # Errors
///
/// A file whose name the menu generator would pass over: the entry would never be in the menu.
pub fn entries(draft: &Draft<'_>) -> Result<(Vec<Entry>, Option<String>), Error> {
    let mut entries = Vec::new();
    for name in draft.names(ENTRIES)? {
        let Some(id) = stem(&name) else { continue };
        if !is_served(id) {
            return Err(Error::EntryName { id: id.to_owned() });
        }
        let text = draft.text(&format!("{ENTRIES}/{name}"))?.unwrap_or_default();
        entries.push(Entry::parse(id, &text));
    }
    let choice = draft.text(CHOICE)?.map(|text| text.trim().to_owned());
    Ok((entries, choice.filter(|id| !id.is_empty())))
}

/// Replaces all entries; `default` is the id of the one that boots by itself, `None` the normal one.
pub fn set_entries(draft: &mut Draft<'_>, entries: &[Entry], default: Option<&str>) -> Result<()> {
    clear_entries(draft)?;
    for entry in entries {
        draft.write(&format!("{ENTRIES}/{}.conf", entry.id), entry.text())?;
    }
    match default {
        Some(id) => draft.write(CHOICE, format!("{id}\n")),
        None => Ok(()),
    }
}

/// Removes all entries, one on trial too, and with them the menu.
pub fn clear_entries(draft: &mut Draft<'_>) -> Result<()> {
    for name in draft.names(ENTRIES)? {
        draft.remove(&format!("{ENTRIES}/{name}"));
    }
    draft.remove(CHOICE);
    forget_trial(draft);
    Ok(())
}

#[cfg(test)]
mod tests {
    use vfio_core::{Advice, Root};

    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let entry = Entry {
            id: "deploy-vfio-0000:01:00.0".into(),
            title: "Desktop on \"A=B\" [0000:01:00.0]".into(),
            arguments: "deploy_vfio.bind=0000:02:00.0=10de:2484 quiet".into(),
            arguments_before: [((6, 1), "initcall_blacklist=sysfb_init".into())].into(),
        };
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        set_entries(&mut draft, std::slice::from_ref(&entry), Some(&entry.id)).unwrap();
        assert_eq!(entries(&draft).unwrap(), (vec![entry.clone()], Some(entry.id)));
        clear_entries(&mut draft).unwrap();
        assert_eq!(entries(&draft).unwrap(), (Vec::new(), None));
    }

    #[test]
    fn a_name_that_the_generator_passes_over_is_refused_with_one_that_it_serves() {
        let refused = |id: &str| {
            let root = Root::empty();
            let mut draft = Draft::new(&root);
            draft.write(&format!("{ENTRIES}/{id}.conf"), "title=A\n").unwrap();
            entries(&draft).err().map(|error| error.help().remove(0))
        };
        for id in ["deploy-vfio-a", "deploy-vfio-0000:01:00.0", "deploy-vfio-A_b", ".hidden"] {
            assert_eq!(refused(id), None, "{id}");
        }
        for (id, better) in [
            ("x", "deploy-vfio-x"),
            ("deploy-vfio-", "deploy-vfio-NAME"),
            ("deploy-vfio-a b", "deploy-vfio-a-b"),
            ("deploy-vfio-\u{1b}[2J", "deploy-vfio-2J"),
            ("deploy-vfiox", "deploy-vfio-deploy-vfiox"),
            ("\u{e9}", "deploy-vfio-NAME"),
        ] {
            let help = refused(id).unwrap();
            assert!(help.contains(&format!("`{ENTRIES}/{better}.conf`")), "{id:?}: {help}");
        }
    }

    #[test]
    fn a_line_break_in_a_title_starts_no_new_key() {
        let entry = Entry { title: "a\narguments=init=/bin/sh".into(), ..Entry::default() };
        assert_eq!(Entry::parse("", &entry.text()).arguments, Cmdline::default());
    }
}

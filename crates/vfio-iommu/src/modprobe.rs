//! What the user's own files tell `modprobe`, as far as it could cross what we write.
//!
//! Two lines do. `options vfio-pci ids=` in another file: the kernel takes the last value, whose
//! ever it is. `install MODULE`: a `softdep` of ours for the module would make kmod pass over the
//! command (`mod->ignorecmd`), and Debian's NVIDIA packages, among others, depend on such lines.

use std::collections::{BTreeMap, BTreeSet};

use vfio_core::{Address, change::Draft, layout::MODPROBE};

use crate::Error;

/// Where `modprobe.d(5)` looks; a file hides those of its name in later directories.
const DIRECTORIES: [&str; 5] = [
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
];

/// A module's name as the kernel writes it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// Refuses lines of the user's that cross ours; `rivals` are the modules we write about.
pub(crate) fn conflicts(
    draft: &Draft<'_>,
    rivals: &BTreeMap<String, Address>,
) -> Result<(), Error> {
    let (mut because, mut seen) = (Vec::new(), BTreeSet::new());
    for dir in DIRECTORIES {
        for name in draft.names(dir)? {
            let path = format!("{dir}/{name}");
            if !name.ends_with(".conf") || path == MODPROBE || !seen.insert(name) {
                continue;
            }
            let text = draft.text(&path)?.unwrap_or_default();
            because.extend(crossing(&text, rivals).map(|what| format!("/{path} {what}")));
        }
    }
    if because.is_empty() {
        return Ok(());
    }
    Err(vfio_core::Error::Refused {
        what: "files of yours tell modprobe something else".to_owned(),
        because,
        help: vec!["take those lines out, or use `deploy-vfio static grub`".to_owned()],
    }
    .into())
}

/// What crosses ours in one file.
fn crossing<'t>(
    text: &'t str,
    rivals: &'t BTreeMap<String, Address>,
) -> impl Iterator<Item = String> + 't {
    let text = text.replace("\\\n", " ");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.into_iter().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (command, module) = (words.next()?, plain(words.next()?));
        match command {
            "options" if module == "vfio_pci" && words.any(|word| word.starts_with("ids=")) => {
                Some("gives vfio-pci ids of its own".to_owned())
            }
            "install" if module == "vfio_pci" || rivals.contains_key(&module) => {
                Some(format!("has a command that installs {module}"))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let rivals = [("nvidia".to_owned(), "0000:01:00.0".parse().unwrap())].into();
        crossing(text, &rivals).collect()
    }

    #[test]
    fn only_lines_that_cross_ours_are_named() {
        assert_eq!(
            found("options vfio_pci disable_vga=1 \\\n  ids=10de:1\ninstall nvidia true\n"),
            ["gives vfio-pci ids of its own", "has a command that installs nvidia"]
        );
        let harmless = "# options vfio-pci ids=1:2\noptions vfio-pci disable_idle_d3=1\n\
                        options\ninstall pcspkr /bin/true\nblacklist nvidia\n\n \u{fffd}\n";
        assert!(found(harmless).is_empty());
        assert_eq!(found("install vfio-pci /bin/false"), ["has a command that installs vfio_pci"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "([\\PC\n\\\\ ]|options |ids=){0,40}") {
            let _ = found(&text);
        }
    }
}

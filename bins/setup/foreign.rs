//! A draft that another program wrote, in JSON: files with their text, and where they may be.
//!
//! Invariant: nothing is written but what [`PLACES`] names. The list has what makes a machine ready
//! for guests, and nothing that decides who may log in, what is trusted, or what others run.

use std::collections::BTreeMap;

use serde::Deserialize;
use vfio_cli::{Failure, Usage};
use vfio_core::change::Draft;

/// What a draft may write: a file, or with a `/` at its end every file below that directory.
pub const PLACES: [&str; 19] = [
    "etc/deploy-vfio/cmdline.d/",
    "etc/deploy-vfio/entries.d/",
    "etc/default/grub",
    "etc/default/grub.d/",
    "etc/modprobe.d/",
    "etc/modules-load.d/",
    "etc/initramfs-tools/",
    "etc/dracut.conf.d/",
    "etc/udev/rules.d/",
    "etc/sysctl.d/",
    "etc/tmpfiles.d/",
    "etc/systemd/",
    "etc/X11/xorg.conf.d/",
    "etc/libvirt/",
    "etc/apparmor.d/local/",
    "etc/security/limits.d/",
    "etc/pipewire/",
    "etc/wireplumber/",
    "etc/pulse/",
];

/// The longest path and the longest name in it, in bytes; a name needs room for those of staging.
const LONGEST: usize = 1000;
const LONGEST_NAME: usize = 200;

/// What another program sends: `{"format":1,"title":"…","files":{"etc/…":"text"|null}}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    format: u32,
    #[serde(default)]
    title: Option<String>,
    files: BTreeMap<String, Option<String>>,
}

impl Foreign {
    /// Reads a draft.
    ///
    /// # Errors
    ///
    /// What is no draft, or one of another format; a file elsewhere than [`PLACES`] says.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let foreign: Self = serde_json::from_str(text).map_err(|error| {
            let help = [r#"a draft is {"format":1,"files":{"etc/…":"text"|null}}"#];
            Usage::new(format!("this is no draft: {error}"), &help)
        })?;
        if foreign.format != 1 {
            let what =
                format!("draft format {} is unknown; this program reads format 1", foreign.format);
            return Err(Usage::new(what, &[]).into());
        }
        foreign.files.keys().try_for_each(|path| allowed(path))?;
        Ok(foreign)
    }

    /// Puts its files into `draft`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn put(self, draft: &mut Draft<'_>) -> Result<(), Failure> {
        for (path, text) in self.files {
            match text {
                Some(text) => draft.write(&path, text)?,
                None => draft.remove(&path),
            }
        }
        if let Some(title) = self.title {
            draft.note(title);
        }
        Ok(())
    }
}

fn allowed(path: &str) -> Result<(), Failure> {
    let plain = path.len() <= LONGEST
        && path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.len() <= LONGEST_NAME)
        && !path.contains(char::is_control);
    let is_in = |place: &&str| match place.ends_with('/') {
        true => path.starts_with(*place),
        false => path == *place,
    };
    if plain && PLACES.iter().any(is_in) {
        return Ok(());
    }
    let what = format!("a draft may not write `{}`", path.escape_debug());
    let help = match plain && path.starts_with("etc/") {
        true => "`deploy-vfio apply --help` names the directories that a draft may write to",
        false => "paths are relative, below etc/, without `..` or control characters",
    };
    Err(Usage::refused(what, &[help]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Result<Foreign, Failure> {
        let files = serde_json::json!({ path: "x" });
        Foreign::parse(&serde_json::json!({ "format": 1, "files": files }).to_string())
    }

    #[test]
    fn a_place_is_whole_words_of_a_path() {
        for path in ["etc/default/grub", "etc/default/grub.d/x.cfg", "etc/libvirt/a/b"] {
            assert!(parsed(path).is_ok(), "{path}");
        }
        for path in ["etc/default/grub/x", "etc/default/grubx", "etc/libvirt", "etc/libvirtx/a"] {
            assert!(parsed(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_page_names_every_place() {
        let page = include_str!("../deploy-vfio-apply.rs");
        for place in PLACES {
            let name = place.trim_start_matches("etc/").trim_end_matches('/');
            assert!(page.contains(name), "{place}");
        }
    }
}

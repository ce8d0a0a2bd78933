//! systemd units of ours: a file, and the link that enables it.

use crate::{Result, change::Draft};

const UNITS: &str = "etc/systemd/system";

/// A unit as its file in `assets/` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name with its kind: `deploy-vfio-hugepages.service`.
    pub name: &'static str,
    /// Its file. The first `WantedBy=` says what starts it; without one it is not enabled.
    pub text: &'static str,
}

impl Unit {
    /// The path of its file.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{UNITS}/{}", self.name)
    }

    /// Puts it in place and enables it, as `systemctl enable` would.
    ///
    /// # Errors
    ///
    /// A tree that cannot be read.
    pub fn enable(&self, draft: &mut Draft<'_>) -> Result<()> {
        draft.write(&self.path(), self.text)?;
        if let Some(link) = self.link() {
            draft.symlink(&link, &format!("/{}", self.path()));
        }
        Ok(())
    }

    /// Takes it away again.
    pub fn disable(&self, draft: &mut Draft<'_>) {
        draft.remove(&self.path());
        if let Some(link) = self.link() {
            draft.remove(&link);
        }
    }

    fn link(&self) -> Option<String> {
        let target = self.text.lines().find_map(|line| line.strip_prefix("WantedBy="))?;
        Some(format!("{UNITS}/{}.wants/{}", target.trim(), self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Root, change::Image};

    #[test]
    fn a_unit_is_enabled_as_systemctl_does_it() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        let text = "[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n";
        let unit = Unit { name: "x.service", text };
        unit.enable(&mut draft).unwrap();
        let link = "etc/systemd/system/multi-user.target.wants/x.service";
        let target = Image::Link("/etc/systemd/system/x.service".to_owned());
        assert_eq!(draft.image(link).unwrap(), target);
        assert_eq!(draft.text("etc/systemd/system/x.service").unwrap().as_deref(), Some(text));
        unit.disable(&mut draft);
        assert!(draft.finish("x").unwrap().is_empty());

        let mut draft = Draft::new(&root);
        Unit { name: "y.service", text: "[Service]\n" }.enable(&mut draft).unwrap();
        assert_eq!(draft.finish("y").unwrap().changes.len(), 1, "no link");
    }
}

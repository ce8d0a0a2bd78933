//! systemd units of ours in the session of one user.
//!
//! They stand in `/etc/systemd/user`, where every session sees them, and say whose they are.

use vfio_core::change::Draft;

use crate::shared_memory::Error;

const UNITS: &str = "etc/systemd/user";

/// A unit as its file in `assets/` has it, with `@USER@` for the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserUnit {
    /// Its name with its kind.
    pub(crate) name: &'static str,
    /// Its file.
    pub(crate) text: &'static str,
}

impl UserUnit {
    fn paths(self) -> [String; 2] {
        let name = self.name;
        [format!("{UNITS}/{name}"), format!("{UNITS}/default.target.wants/{name}")]
    }

    /// Has the sessions of `user` start it, with other `words` of its file replaced.
    pub(crate) fn enable(
        self,
        draft: &mut Draft<'_>,
        user: Option<&str>,
        words: &[(&str, &str)],
    ) -> Result<(), Error> {
        let user = plain(user)?;
        let [path, link] = self.paths();
        let text = self.text.replace("@USER@", user);
        let text = words.iter().fold(text, |text, (word, value)| text.replace(word, value));
        draft.write(&path, text)?;
        draft.symlink(&link, &format!("/{path}"));
        draft.note(format!("it runs from {user}'s next login on"));
        Ok(())
    }

    /// No longer.
    pub(crate) fn disable(self, draft: &mut Draft<'_>) {
        for path in self.paths() {
            draft.remove(&path);
        }
    }
}

/// A name that files of systemd take as it is.
pub(crate) fn plain(user: Option<&str>) -> Result<&str, Error> {
    let user = user.ok_or(Error::NoUser)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'\\%!|".contains(c);
    if user.is_empty() || user.contains(odd) {
        Err(Error::OddUser(user.to_owned()))
    } else {
        Ok(user)
    }
}

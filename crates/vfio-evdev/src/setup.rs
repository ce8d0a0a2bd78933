//! What is deployed, as it stands in a file of ours.
//!
//! The format is a line `format=1`, then `KEY=VALUE` lines in any order; `#` begins a comment. A key
//! that this program does not know is an error, never ignored:
//!
//! | key | value |
//! |---|---|
//! | `form` | `native` or `commandline`: how a guest's XML names the devices |
//! | `toggle` | the keys that switch |
//! | `keyboard` | a keyboard's path; the first is the one whose keys switch |
//! | `pointer` | a mouse's path |
//! | `acl` | a path that was put into a list of the user's own in `/etc/libvirt/qemu.conf` |
//! | `member` | `GROUP:USER`, a user that was put into a group |
//! | `made` | a file that was not there before |

use std::fmt::Write;

use vfio_core::{Error, Result, Root, change::Draft};

use crate::{Device, Toggle};

/// The file that holds what is deployed.
pub const FRAGMENT: &str = vfio_core::layout::EVDEV;

const HEAD: &str = "# Written by `deploy-vfio evdev`; `deploy-vfio evdev off` takes it back.\n";

/// How a guest is given the devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// libvirt's own `<input type='evdev'>`.
    #[default]
    Native,
    /// QEMU's command line, for libvirt before 7.4.
    CommandLine,
}

impl Form {
    fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CommandLine => "commandline",
        }
    }
}

/// What is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// How a guest is given the devices.
    pub form: Form,
    /// The keys that switch.
    pub toggle: Toggle,
    /// The devices; the first keyboard's keys switch.
    pub devices: Vec<Device>,
    /// Paths that were put into a list of the user's own in `/etc/libvirt/qemu.conf`.
    pub acl: Vec<String>,
    /// Groups and the users that were put into them.
    pub members: Vec<(String, String)>,
    /// Files that were not there before, relative to the root.
    pub made: Vec<String>,
}

/// What is deployed below `root`; `None` when nothing is.
pub fn deployed(root: &Root) -> Result<Option<Setup>> {
    in_draft(&Draft::new(root))
}

pub(crate) fn in_draft(draft: &Draft<'_>) -> Result<Option<Setup>> {
    let Some(text) = draft.text(FRAGMENT)? else { return Ok(None) };
    let refused = |why| Error::Refused {
        what: format!("/{FRAGMENT} does not say what is deployed"),
        because: vec![why],
        help: vec![
            "mend what is wrong there".into(),
            "`deploy-vfio undo --restore` takes back the operation that wrote it".into(),
        ],
    };
    Setup::parse(&text).map(Some).map_err(refused)
}

impl Setup {
    /// The error says what is wrong, and where.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut setup = Self::default();
        let mut format = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let wrong = || {
                let line: String = line.escape_debug().take(80).collect();
                format!("line {number} means nothing to this version: {line}")
            };
            let device = |keyboard| Device { path: value.to_owned(), keyboard };
            match key {
                "format" => format = Some(value.to_owned()),
                "form" => {
                    let forms = [Form::Native, Form::CommandLine];
                    let form = forms.into_iter().find(|form| form.word() == value);
                    setup.form = form.ok_or_else(wrong)?;
                }
                "toggle" => setup.toggle = value.parse().map_err(|_| wrong())?,
                "keyboard" => setup.devices.push(device(true)),
                "pointer" => setup.devices.push(device(false)),
                "acl" => setup.acl.push(value.to_owned()),
                "made" => setup.made.push(value.to_owned()),
                "member" => {
                    let (group, user) = value.split_once(':').ok_or_else(wrong)?;
                    setup.members.push((group.to_owned(), user.to_owned()));
                }
                _ => return Err(wrong()),
            }
        }
        match format.as_deref() {
            Some("1") => Ok(setup),
            Some(other) => Err(format!("its format is {}, not 1", other.escape_debug())),
            None => Err("it does not say its format".to_owned()),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("{HEAD}format=1\nform={}\ntoggle={}\n", self.form.word(), self.toggle);
        for device in &self.devices {
            let key = if device.keyboard { "keyboard" } else { "pointer" };
            let _ = writeln!(text, "{key}={}", device.path);
        }
        let mut lines = |key: &str, values: &[String]| {
            for value in values {
                let _ = writeln!(text, "{key}={value}");
            }
        };
        lines("acl", &self.acl);
        let members: Vec<String> =
            self.members.iter().map(|(group, user)| format!("{group}:{user}")).collect();
        lines("member", &members);
        lines("made", &self.made);
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let device = |path: &str, keyboard| Device { path: path.to_owned(), keyboard };
        let setup = Setup {
            form: Form::CommandLine,
            toggle: Toggle::ScrollLock,
            devices: vec![device("/dev/input/by-id/a=b #c", true), device("/dev/input/m", false)],
            acl: vec!["/dev/input/m".to_owned()],
            members: vec![("input".to_owned(), "anna".to_owned())],
            made: vec!["etc/x".to_owned()],
        };
        assert_eq!(Setup::parse(&setup.text()), Ok(setup));
    }

    #[test]
    fn what_it_does_not_know_is_an_error_that_says_where() {
        for (text, error) in [
            ("", "it does not say its format"),
            ("format=2\n", "its format is 2, not 1"),
            ("format=1\n\nnew=1\n", "line 3 means nothing to this version: new=1"),
            ("format=1\ntoggle=x\n", "line 2 means nothing to this version: toggle=x"),
            ("format=1\nmember=x", "line 2 means nothing to this version: member=x"),
        ] {
            assert_eq!(Setup::parse(text).unwrap_err(), error);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "((format|form|toggle|member|acl)?=?[1a:\n]?|\\PC){0,20}") {
            let _ = Setup::parse(&text);
        }
    }
}

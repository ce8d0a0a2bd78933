//! From what is asked for to a draft.

use vfio_core::{
    change::Draft,
    host::{Inputs, Libvirt, User, Version},
};

use crate::{
    Error, FRAGMENT, Form, Setup, Toggle, acl, choice, devices, members, setup::in_draft,
    xml::GRAB_TOGGLE,
};

/// The first libvirt that knows `<input type='evdev'>`.
const NATIVE: Version = Version { major: 7, minor: 4, patch: 0 };

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Share these devices.
    Share(Wish),
    /// Nothing.
    Off,
}

/// How the devices are to be shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Paths below `/dev/input`; all keyboards and mice when empty.
    pub devices: Vec<String>,
    /// The keys that switch.
    pub toggle: Toggle,
    /// Whether to use QEMU's command line even where libvirt could do it by itself.
    pub qemu_conf: bool,
    /// Who runs the guests; only asked for with QEMU's command line.
    pub user: Option<User>,
}

/// Writes or removes what `request` needs, and tells what is deployed then.
///
/// # Errors
///
/// No keyboard to switch by, a name that will not do, a libvirt that is too old for the keys; with
/// QEMU's command line also no user, no group, or no libvirt.
pub fn plan(
    draft: &mut Draft<'_>,
    inputs: &Inputs,
    libvirt: &Libvirt,
    request: &Request,
) -> Result<Option<Setup>, Error> {
    let old = in_draft(draft)?.unwrap_or_default();
    let Request::Share(wish) = request else {
        settle(draft, &Setup::default(), &[], &old, libvirt)?;
        draft.remove(FRAGMENT);
        return Ok(None);
    };
    let form = form(draft, wish, libvirt)?;
    let (mut devices, mut left_out) = devices(inputs, &wish.devices)?;
    if form == Form::CommandLine {
        choice::writable(inputs, &mut devices, &mut left_out, !wish.devices.is_empty())?;
    }
    for left in left_out {
        draft.note(format!("left out: {left}"));
    }
    let users = match (form, &wish.user) {
        (Form::Native, _) => Vec::new(),
        (Form::CommandLine, None) => return Err(Error::NoUser),
        (Form::CommandLine, Some(user)) if user.uid == 0 => return Err(Error::Root),
        (Form::CommandLine, Some(user)) => members::wanted(draft, user)?,
    };
    let setup = Setup { form, toggle: wish.toggle, devices, ..Setup::default() };
    let setup = settle(draft, &setup, &users, &old, libvirt)?;
    draft.write(FRAGMENT, setup.text())?;
    Ok(Some(setup))
}

/// How the devices can be given to guests here.
fn form(draft: &mut Draft<'_>, wish: &Wish, libvirt: &Libvirt) -> Result<Form, Error> {
    let toggle = wish.toggle;
    match libvirt.version {
        _ if wish.qemu_conf => return Ok(Form::CommandLine),
        Some(version) if version < NATIVE => {
            draft.note(format!("libvirt {version} leaves evdev to QEMU's command line"));
            return Ok(Form::CommandLine);
        }
        Some(version) if version < GRAB_TOGGLE && toggle != Toggle::default() => {
            return Err(Error::FixedToggle { version, toggle });
        }
        Some(_) => {}
        None => draft.note(format!(
            "libvirt's version is unknown here (dpkg lists none): this is for {NATIVE} or later, \
             `--qemu-conf` for earlier ones"
        )),
    }
    Ok(Form::Native)
}

/// Brings the files of the system in line with `new`, and tells what of them is ours then.
fn settle(
    draft: &mut Draft<'_>,
    new: &Setup,
    users: &[(User, &str)],
    old: &Setup,
    libvirt: &Libvirt,
) -> Result<Setup, Error> {
    let by_hand = new.form == Form::CommandLine;
    let paths = new.devices.iter().filter(|_| by_hand).map(|device| device.path.clone());
    let paths: Vec<String> = paths.collect();
    Ok(Setup {
        acl: acl::allow(draft, &paths, old, libvirt)?,
        made: acl::confine(draft, by_hand, old)?,
        members: members::join(draft, users, &old.members)?,
        ..new.clone()
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::fs;

    use vfio_core::{
        Advice, Root,
        change::Plan,
        host::{Input, InputKind, Link},
    };

    use super::*;

    fn inputs() -> Inputs {
        let link = Link { path: "by-id/k-event-kbd".to_owned(), shared: false };
        let keyboard = Input {
            name: "Keyboard".to_owned(),
            kind: InputKind::Keyboard,
            pci: None,
            event: "event3".to_owned(),
            port: None,
            serial: None,
            links: vec![link],
        };
        Inputs { devices: vec![keyboard] }
    }

    fn libvirt(version: &str) -> Libvirt {
        Libvirt { version: version.parse().ok(), ..Libvirt::default() }
    }

    fn user(name: &str, groups: &[&str]) -> Option<User> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Some(User { name: name.to_owned(), uid: 1000, groups })
    }

    fn planned(root: &Root, version: &str, wish: Wish) -> Result<Plan, Error> {
        let mut draft = Draft::new(root);
        plan(&mut draft, &inputs(), &libvirt(version), &Request::Share(wish))?;
        Ok(draft.finish("evdev")?)
    }

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn b42_where_libvirt_does_it_only_our_own_file_is_written() {
        for version in ["7.4.0", "9.0.0", "unknown"] {
            let plan = planned(&Root::empty(), version, Wish::default()).unwrap();
            let paths: Vec<&str> = plan.changes.iter().map(|c| c.path.as_str()).collect();
            assert_eq!(paths, [FRAGMENT], "{version}");
            assert_eq!(plan.notes.is_empty(), version != "unknown");
        }
    }

    #[test]
    fn keys_that_this_libvirt_cannot_be_told_are_refused() {
        let wish = || Wish { toggle: Toggle::AltAlt, ..Wish::default() };
        let error = planned(&Root::empty(), "7.5.0", wish()).unwrap_err();
        let what = "libvirt 7.5.0 always switches by ctrl-ctrl, not by alt-alt";
        assert_eq!(error.to_string(), what);
        assert!(error.because()[0].contains("7.6"));
        assert!(planned(&Root::empty(), "7.6.0", wish()).is_ok());
    }

    #[test]
    fn b35_the_user_who_is_meant_joins_and_never_root() {
        let wish = |user| Wish { qemu_conf: true, user, ..Wish::default() };
        let (_dir, root) =
            tree(&[("etc/libvirt/qemu.conf", "# nothing\n"), ("etc/group", "input:x:104:\n")]);
        let error = |user| planned(&root, "9.0.0", wish(user)).unwrap_err();
        assert!(matches!(error(None), Error::NoUser));
        let nobody = User { name: "root".to_owned(), ..User::default() };
        assert!(matches!(error(Some(nobody)), Error::Root));
        let none = error(user("anna", &[]));
        assert!(matches!(&none, Error::NoGroup { group, .. } if group == "libvirt"));
        assert!(none.because()[0].contains("LDAP"));
        // Who is in a group that comes from elsewhere has what they need.
        let plan = planned(&root, "9.0.0", wish(user("anna", &["libvirt"]))).unwrap();
        let group = plan.changes.iter().find(|change| change.path == "etc/group").unwrap();
        assert_eq!(group.after.bytes().unwrap(), b"input:x:104:anna\n");
    }

    #[test]
    fn b43_the_users_rules_for_apparmor_stay() {
        const LOCAL: &str = "etc/apparmor.d/local/abstractions/libvirt-qemu";
        let (_dir, root) = tree(&[
            ("etc/libvirt/qemu.conf", "# nothing\n"),
            ("etc/group", "input:x:104:anna\nlibvirt:x:1:anna\n"),
            ("etc/apparmor.d/abstractions/libvirt-qemu", "include if exists <local/…>\n"),
            (LOCAL, "/dev/mine rw,\n"),
        ]);
        let wish = Wish { qemu_conf: true, user: user("anna", &[]), ..Wish::default() };
        let plan = planned(&root, "9.0.0", wish).unwrap();
        let local = plan.changes.iter().find(|change| change.path == LOCAL).unwrap();
        let text = String::from_utf8_lossy(local.after.bytes().unwrap()).into_owned();
        assert!(text.starts_with("/dev/mine rw,\n# >>> deploy-vfio >>>\n"), "{text}");
        assert!(plan.rebuilds().contains(&vfio_core::change::Rebuild::AppArmor));
        assert!(plan.notes.iter().any(|note| note.contains("`sudo systemctl restart libvirtd`")));
        assert!(plan.changes.iter().all(|change| change.path != "etc/group"), "anna is in both");
    }

    #[test]
    fn off_without_anything_deployed_is_nothing() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, &inputs(), &libvirt("9.0.0"), &Request::Off).unwrap();
        assert!(draft.finish("off").unwrap().is_empty());
    }
}

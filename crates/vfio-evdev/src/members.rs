//! Who may run guests and read event nodes: users in groups, as one word of one line of
//! `/etc/group`, and of `/etc/gshadow` where that has the group.

use vfio_core::{
    Result,
    change::{
        Draft,
        edit::{self, Lists},
    },
    host::User,
};

use crate::{Error, acl::QEMU_CONF};

const GROUP: &str = "etc/group";
const GSHADOW: &str = "etc/gshadow";

/// Users that QEMU runs as when libvirt starts it, by distribution.
const QEMU_USERS: [&str; 2] = ["libvirt-qemu", "qemu"];

/// Who joins which group so that `user` can run guests, and QEMU open event nodes.
pub(crate) fn wanted(
    draft: &mut Draft<'_>,
    user: &User,
) -> Result<Vec<(User, &'static str)>, Error> {
    let mut wanted = vec![(user.clone(), "libvirt"), (user.clone(), "input")];
    for name in runs_qemu(draft)?.iter().filter(|name| **name != user.name) {
        match User::find(draft.root(), name)? {
            // Root opens everything.
            Some(qemu) if qemu.uid == 0 => {}
            Some(qemu) => wanted.push((qemu, "input")),
            None if QEMU_USERS.contains(&name.as_str()) => {}
            None => draft.note(format!(
                "/{QEMU_CONF} has guests run as `{}`, who is not in /etc/passwd: they must be in the \
                 group input",
                name.escape_debug()
            )),
        }
    }
    Ok(wanted)
}

/// Who QEMU may run as: who `qemu.conf` says, else the distribution's own user. A number may have
/// a `+` before it there.
fn runs_qemu(draft: &Draft<'_>) -> Result<Vec<String>, Error> {
    let text = draft.bytes(QEMU_CONF)?.unwrap_or_default();
    let set = edit::conf_value(&text, "user").map_err(|error| error.at(QEMU_CONF))?;
    Ok(match set.as_deref() {
        None | Some("") => QEMU_USERS.map(str::to_owned).to_vec(),
        Some("+0" | "0") => Vec::new(),
        Some(user) => vec![user.to_owned()],
    })
}

/// Puts `wanted` into their groups, takes out who is only in `old`, and tells who is in a group
/// through us.
pub(crate) fn join(
    draft: &mut Draft<'_>,
    wanted: &[(User, &str)],
    old: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let is_wanted = |(group, user): &(String, String)| {
        wanted.iter().any(|(other, into)| other.name == *user && into == group)
    };
    for (group, user) in old.iter().filter(|pair| !is_wanted(pair)) {
        take_out(draft, group, user)?;
    }
    let mut ours = Vec::new();
    for (user, group) in wanted {
        let pair = ((*group).to_owned(), user.name.clone());
        let joins = put_in(draft, group, user)?;
        if joins {
            // The first is who asks for all this.
            let asks = wanted.first().is_some_and(|(first, _)| first.name == user.name);
            let when = if asks { ", from the next login" } else { ": QEMU runs as that user" };
            draft.note(format!("{} joins the group {group}{when}", user.name));
        }
        if joins || old.contains(&pair) {
            ours.push(pair);
        }
    }
    Ok(ours)
}

fn take_out(draft: &mut Draft<'_>, group: &str, user: &str) -> Result<(), Error> {
    for path in [GROUP, GSHADOW] {
        let Some(text) = draft.bytes(path)? else { continue };
        let new = Lists::Groups.remove(&text, group, user);
        if new != text {
            draft.write(path, new)?;
        }
    }
    Ok(())
}

/// Whether that changed something.
fn put_in(draft: &mut Draft<'_>, group: &str, user: &User) -> Result<bool, Error> {
    let text = draft.bytes(GROUP)?.unwrap_or_default();
    let edit = |path: &str, error: vfio_core::change::edit::EditError| error.at(path);
    let there = Lists::Groups.members(&text, group).map_err(|error| edit(GROUP, error))?;
    let is_member = there.as_ref().is_some_and(|users| users.contains(&user.name));
    if is_member || user.groups.iter().any(|other| other == group) {
        return Ok(false);
    }
    if there.is_none() {
        return Err(Error::NoGroup { group: group.to_owned(), user: user.name.clone() });
    }
    for path in [GROUP, GSHADOW] {
        let Some(text) = draft.bytes(path)? else { continue };
        let has = Lists::Groups.members(&text, group).map_err(|error| edit(path, error))?;
        if has.is_some() {
            let new = Lists::Groups.add(&text, group, &user.name);
            draft.write(path, new.map_err(|error| edit(path, error))?)?;
        }
    }
    Ok(true)
}

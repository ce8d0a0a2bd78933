//! Who may run guests and read event nodes: users in groups, as one word of one line of
//! `/etc/group`, and of `/etc/gshadow` where that has the group.

use vfio_core::{
    Result,
    change::{Draft, edit::Lists},
    host::User,
};

use crate::Error;

const GROUP: &str = "etc/group";
const GSHADOW: &str = "etc/gshadow";

/// Users that QEMU runs as when libvirt starts it, by distribution.
const QEMU_USERS: [&str; 2] = ["libvirt-qemu", "qemu"];

/// Who joins which group so that `user` can run guests, and QEMU open event nodes.
pub(crate) fn wanted(draft: &Draft<'_>, user: &User) -> Result<Vec<(User, &'static str)>, Error> {
    let mut wanted = vec![(user.clone(), "libvirt"), (user.clone(), "input")];
    for name in QEMU_USERS.into_iter().filter(|name| *name != user.name) {
        wanted.extend(User::find(draft.root(), name)?.map(|qemu| (qemu, "input")));
    }
    Ok(wanted)
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
        if put_in(draft, group, user)? || old.contains(&pair) {
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
    let name = &user.name;
    draft.note(match QEMU_USERS.contains(&name.as_str()) {
        true => format!("{name} joins the group {group}: QEMU runs as that user"),
        false => format!("{name} joins the group {group}, from the next login"),
    });
    Ok(true)
}

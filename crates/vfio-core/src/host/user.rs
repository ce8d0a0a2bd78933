//! A user of the machine, from its own `/etc/passwd` and `/etc/group`.
//!
//! Users that come from elsewhere (LDAP, systemd-homed) are not in these files; who runs on the
//! machine itself can ask the system for them and fill a [`User`] from its answer.

use crate::{Result, Root};

/// A user and the groups they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Their name.
    pub name: String,
    /// Their number; 0 is root.
    pub uid: u32,
    /// The names of their groups, the first one being theirs.
    pub groups: Vec<String>,
}

impl User {
    /// The user of that name; `None` when `/etc/passwd` has none.
    pub fn find(root: &Root, name: &str) -> Result<Option<Self>> {
        let passwd = root.text("etc/passwd")?.unwrap_or_default();
        let Some((uid, gid)) = passwd.lines().find_map(|line| ids(line, name)) else {
            return Ok(None);
        };
        let group = root.text("etc/group")?.unwrap_or_default();
        let groups: Vec<[&str; 4]> = group.lines().filter_map(fields).collect();
        let own = groups.iter().filter(|[_, _, number, _]| number.parse() == Ok(gid));
        let others = groups.iter().filter(|[.., users]| users.split(',').any(|user| user == name));
        let groups = own.chain(others).map(|[group, ..]| (*group).to_owned()).collect();
        Ok(Some(Self { name: name.to_owned(), uid, groups }))
    }
}

/// User and group number in the line of `name`.
fn ids(line: &str, name: &str) -> Option<(u32, u32)> {
    let [found, _, uid, gid, _, _, _] = fields(line)?;
    (found == name).then_some((uid.parse().ok()?, gid.parse().ok()?))
}

/// The fields of a line, when it has just so many.
fn fields<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    line.trim_end().split(':').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn finds_a_user_and_their_groups() {
        let tree = Tree::new()
            .file("etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:100:A,,:/home:/bin/sh\n+\n")
            .file("etc/group", "root:x:0:\nusers:x:100:\ninput:x:104:bert,anna\nlp:x:7:hanna\n");
        let anna = User::find(&tree.root(), "anna").unwrap().unwrap();
        assert_eq!((anna.uid, anna.groups), (1000, vec!["users".into(), "input".into()]));
        assert_eq!(User::find(&tree.root(), "root").unwrap().unwrap().uid, 0);
        for name in ["", "bert", "ann", "anna:x"] {
            assert_eq!(User::find(&tree.root(), name).unwrap(), None, "{name}");
        }
        assert_eq!(User::find(&Root::empty(), "anna").unwrap(), None);
    }
}

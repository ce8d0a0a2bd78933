//! Members of lists in files that others own: the users of a group, the values of a list in
//! libvirt's configuration. Pure: bytes in, bytes out.
//!
//! Invariants: every other byte stays, and removing a member takes away exactly what adding it
//! put there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{conf, edit::EditError};

/// The kinds of file with lists that can be edited by the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// `/etc/group` and `/etc/gshadow`: a line a group, its users the last field.
    Groups,
    /// libvirt's own configuration: `key = [ "a", "b" ]`.
    Conf,
}

/// One list: where its first member would stand, and those that are there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: usize,
    pub(super) items: Vec<(Range<usize>, String)>,
}

/// Every name in the order of the file, with its list if it is one.
type All = Vec<(String, Option<Found>)>;

impl Lists {
    /// The kind that the file at `path` is; `None` for all others.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "etc/group" | "etc/gshadow" => Some(Self::Groups),
            "etc/libvirt/qemu.conf" => Some(Self::Conf),
            _ => None,
        }
    }

    /// The members of `list`, in order; `None` when there is no such list.
    ///
    /// # Errors
    ///
    /// A text that is not of this kind, or in which `list` is something else than a list.
    pub fn members(self, text: &[u8], list: &str) -> Result<Option<Vec<String>>, EditError> {
        let found = self.find(text, list)?;
        Ok(found.map(|found| found.items.into_iter().map(|(_, value)| value).collect()))
    }

    /// Puts `member` at the end of `list`, which must be there; one that is in it stays as it is.
    pub fn add(self, text: &[u8], list: &str, member: &str) -> Result<Vec<u8>, EditError> {
        if !self.can_hold(member) {
            return Err(EditError::Member);
        }
        let found = self.find(text, list)?.ok_or(EditError::NoList)?;
        if found.items.iter().any(|(_, value)| value == member) {
            return Ok(text.to_vec());
        }
        let quoted = match self {
            Self::Groups => member.to_owned(),
            Self::Conf => format!("\"{member}\""),
        };
        let (at, between) = match found.items.last() {
            None => (found.open, String::new()),
            Some((last, _)) => (last.end, self.between(text, found.open, last)),
        };
        Ok([&text[..at], between.as_bytes(), quoted.as_bytes(), &text[at..]].concat())
    }

    /// Takes `member` out of `list`; a text in which it is not stays as it is.
    #[must_use]
    pub fn remove(self, text: &[u8], list: &str, member: &str) -> Vec<u8> {
        let Ok(Some(found)) = self.find(text, list) else { return text.to_vec() };
        let Some(at) = found.items.iter().position(|(_, value)| value == member) else {
            return text.to_vec();
        };
        let own = &found.items[at].0;
        let gone = match (at.checked_sub(1), found.items.get(at + 1)) {
            (Some(before), _) => found.items[before].0.end..own.end,
            (None, Some((next, _))) => own.start..next.start,
            (None, None) => own.clone(),
        };
        [&text[..gone.start], &text[gone.end..]].concat()
    }

    fn can_hold(self, member: &str) -> bool {
        let bad = |c: char| match self {
            Self::Groups => c.is_whitespace() || c.is_control() || matches!(c, ':' | ','),
            Self::Conf => c.is_control() || c == '"',
        };
        !member.is_empty() && !member.contains(bad)
    }

    /// What stands between the last member and a new one.
    fn between(self, text: &[u8], open: usize, last: &Range<usize>) -> String {
        if self == Self::Groups {
            return ",".to_owned();
        }
        // A list over several lines goes on with a line like its last.
        let start = text[..last.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n + 1);
        if start < open {
            return ", ".to_owned();
        }
        let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t');
        let indent: String = text[start..].iter().take_while(blank).map(|b| *b as char).collect();
        let eol = if text[..start].ends_with(b"\r\n") { "\r\n" } else { "\n" };
        format!(",{eol}{indent}")
    }

    /// The list of that name; of several the first, which is the one that counts.
    fn find(self, text: &[u8], list: &str) -> Result<Option<Found>, EditError> {
        match self.all(text)?.into_iter().find(|(name, _)| name == list) {
            None => Ok(None),
            Some((_, found)) => found.map(Some).ok_or(EditError::NotAList),
        }
    }

    fn all(self, text: &[u8]) -> Result<All, EditError> {
        if text.contains(&0) {
            return Err(EditError::Nul);
        }
        match self {
            Self::Groups => Ok(groups(text)),
            Self::Conf => conf::keys(text),
        }
    }
}

fn groups(text: &[u8]) -> All {
    let mut all = Vec::new();
    let mut start = 0;
    for whole in text.split_inclusive(|byte| *byte == b'\n') {
        let line = whole.trim_ascii_end();
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        if let [name, _, _, users] = fields.as_slice()
            && !name.starts_with(b"#")
        {
            let open = start + line.len() - users.len();
            let (mut items, mut at) = (Vec::new(), open);
            for user in users.split(|byte| *byte == b',') {
                if !user.is_empty() {
                    let value = String::from_utf8_lossy(user).into_owned();
                    items.push((at..at + user.len(), value));
                }
                at += user.len() + 1;
            }
            all.push((String::from_utf8_lossy(name).into_owned(), Some(Found { open, items })));
        }
        start += whole.len();
    }
    all
}

/// `now` with the members joining and leaving that turn `from` into `to`; `None` when these texts
/// differ in more than members of lists, or when a list is gone that one should join.
pub(crate) fn moved(path: &str, from: &[u8], to: &[u8], now: &[u8]) -> Option<Vec<u8>> {
    let kind = Lists::of(path)?;
    let (old, new) = (sets(kind, from)?, sets(kind, to)?);
    // Who leaves and joins again stands at the end, so only one of the two ways may be exact.
    let is_all = || {
        step(kind, &old, &new, from).is_some_and(|text| text == to)
            || step(kind, &new, &old, to).is_some_and(|text| text == from)
    };
    (from != to && old.keys().eq(new.keys()) && is_all()).then(|| step(kind, &old, &new, now))?
}

type Sets = BTreeMap<String, BTreeSet<String>>;

fn sets(kind: Lists, text: &[u8]) -> Option<Sets> {
    let mut sets = Sets::new();
    for (name, found) in kind.all(text).ok()? {
        if let Some(found) = found {
            let values = found.items.into_iter().map(|(_, value)| value);
            sets.entry(name).or_insert_with(|| values.collect());
        }
    }
    Some(sets)
}

fn step(kind: Lists, old: &Sets, new: &Sets, text: &[u8]) -> Option<Vec<u8>> {
    // Nobody could take a member out of a text that cannot be read.
    kind.all(text).ok()?;
    let mut text = text.to_vec();
    for (list, had) in old {
        let has = new.get(list)?;
        for leaves in had.difference(has) {
            text = kind.remove(&text, list, leaves);
        }
        for joins in has.difference(had) {
            text = kind.add(&text, list, joins).ok()?;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUPS: &str =
        "root:x:0:\nlibvirt:x:108:anna,bert\n#libvirt:x:1:no\ninput:x:104:\nbroken\n";

    fn add(kind: Lists, text: &str, list: &str, member: &str) -> String {
        let added = kind.add(text.as_bytes(), list, member).unwrap();
        assert_eq!(kind.remove(&added, list, member), text.as_bytes(), "{text}");
        assert_eq!(kind.add(&added, list, member).unwrap(), added, "twice is once");
        String::from_utf8(added).unwrap()
    }

    #[test]
    fn b35_a_user_joins_a_group_and_leaves_it() {
        let joined = add(Lists::Groups, GROUPS, "libvirt", "carl");
        assert_eq!(joined, GROUPS.replace("anna,bert", "anna,bert,carl"));
        assert_eq!(add(Lists::Groups, "a:x:1:\r\nb:x:2:", "a", "x"), "a:x:1:x\r\nb:x:2:");
        let leave = |who| Lists::Groups.remove(GROUPS.as_bytes(), "libvirt", who);
        assert_eq!(leave("anna"), GROUPS.replace("anna,", "").as_bytes());
        assert_eq!(leave("ann"), GROUPS.as_bytes());
        let error = |list, who| Lists::Groups.add(GROUPS.as_bytes(), list, who).unwrap_err();
        assert_eq!(error("kvm", "anna"), EditError::NoList);
        for bad in ["", "a,b", "a:b", "a b", "a\n"] {
            assert_eq!(error("input", bad), EditError::Member);
        }
    }

    #[test]
    fn a_value_joins_a_list_as_the_list_is_written() {
        let conf = |text: &str| add(Lists::Conf, text, "acl", "/x");
        for (text, wanted) in [
            ("acl = []\n", "acl = [\"/x\"]\n"),
            ("acl=[ \"a\" ] # why\n", "acl=[ \"a\", \"/x\" ] # why\n"),
            ("acl = [\n  \"a\", 'b'\n]\n", "acl = [\n  \"a\", 'b',\n  \"/x\"\n]\n"),
            ("acl = [\r\n\t\"a\",\r\n]", "acl = [\r\n\t\"a\",\r\n\t\"/x\",\r\n]"),
            (
                "#acl = [ \"n\" ]\nb = \"\"\"\nacl = [ \"s\" ]\n\"\"\"\nacl = [ 1 ]\nacl = [ \"c\" ]",
                "#acl = [ \"n\" ]\nb = \"\"\"\nacl = [ \"s\" ]\n\"\"\"\nacl = [ 1, \"/x\" ]\nacl = [ \"c\" ]",
            ),
        ] {
            assert_eq!(conf(text), wanted);
        }
        let add = |text: &str, member| Lists::Conf.add(text.as_bytes(), "acl", member);
        assert_eq!(add("acl = [ \"a\" ]", "b\"c"), Err(EditError::Member));
        assert_eq!(add("acl = \"a\"", "b"), Err(EditError::NotAList));
        assert_eq!(add("b = 1\n", "b"), Err(EditError::NoList));
    }

    #[test]
    fn an_edit_around_our_members_stays() {
        let after = Lists::Groups.add(GROUPS.as_bytes(), "libvirt", "carl").unwrap();
        let edited = String::from_utf8(after.clone()).unwrap();
        let edited = edited.replace("bert,carl", "carl,dora") + "new:x:5:anna\n";
        let back = |path, now: &str| moved(path, &after, GROUPS.as_bytes(), now.as_bytes());
        let wanted = GROUPS.replace("anna,bert", "anna,dora") + "new:x:5:anna\n";
        assert_eq!(back("etc/group", &edited).unwrap(), wanted.as_bytes());
        assert_eq!(back("etc/other", &edited), None, "no such lists are known there");
        // What a forward plan took away comes back.
        let forth = moved("etc/group", GROUPS.as_bytes(), &after, wanted.as_bytes());
        assert_eq!(forth.unwrap(), wanted.replace("dora", "dora,carl").as_bytes());
        let list = |text: &str| text.as_bytes().to_vec();
        let (with, without) = (list("acl = [ \"a\", \"b\" ]\n"), list("acl = [ \"a\" ]\n"));
        let conf = |now: &str| moved("etc/libvirt/qemu.conf", &with, &without, now.as_bytes());
        assert_eq!(conf("x = 1\nacl = [ \"b\" ]\n").unwrap(), b"x = 1\nacl = [  ]\n");
        assert_eq!(conf("acl = [ \"a\", \"b\"\n"), None, "what cannot be read is no list");
        let more = [after.as_slice(), b"x:x:9:\n"].concat();
        assert_eq!(moved("etc/group", &more, GROUPS.as_bytes(), &more), None);
        let middle = GROUPS.replace("anna,bert", "bert");
        let again = moved("etc/group", middle.as_bytes(), GROUPS.as_bytes(), middle.as_bytes());
        assert_eq!(again.unwrap(), GROUPS.replace("anna,bert", "bert,anna").as_bytes());
    }

    proptest! {
        #[test]
        fn every_other_byte_stays(
            before in "([a-z:,#=\\[\\]\"' ]{0,20}\\r?\\n){0,3}",
            users in "([a-z]{1,4},){0,3}",
            after in "(\\n[a-z:,#=\\[\\]\"' \\r]{0,20}){0,3}",
        ) {
            let users = users.trim_end_matches(',');
            let text = format!("{before}zz:x:1:{users}{after}");
            let added = Lists::Groups.add(text.as_bytes(), "zz", "USER").unwrap();
            let comma = if users.is_empty() { "" } else { "," };
            let wanted = format!("{before}zz:x:1:{users}{comma}USER{after}");
            prop_assert_eq!(&added, wanted.as_bytes());
            prop_assert_eq!(Lists::Groups.remove(&added, "zz", "USER"), text.as_bytes());
        }

        #[test]
        fn a_list_of_any_layout_gets_its_member_and_loses_it(
            before in "(#[ -~]{0,20}\n|[a-y]{1,5} = ('[^'\\x00\\r\\n]{0,5}'|[0-9]{1,4}|\\[ \"z\" ])\n){0,4}",
            items in prop::collection::vec("[ \t\n]{0,3}(\"[^\"\\x00\\r\\n]{0,5}\"|'[a-z]{0,5}')[ \n]{0,2}", 0..4),
            after in "([ \t]*\n#[ -~]{0,20})?",
        ) {
            let text = format!("{before}zz = [{}]{after}", items.join(","));
            let added = Lists::Conf.add(text.as_bytes(), "zz", "/dev/NEW").unwrap();
            let members = Lists::Conf.members(&added, "zz").unwrap().unwrap();
            prop_assert_eq!(members.last().unwrap(), "/dev/NEW");
            prop_assert_eq!(members.len(), items.len() + 1);
            prop_assert_eq!(Lists::Conf.remove(&added, "zz", "/dev/NEW"), text.as_bytes());
        }

        #[test]
        fn no_text_makes_them_panic(text in "([acl =\\[\\]\"'#,:0-9\n]|\"\"\"|\\PC){0,60}", b: Vec<u8>) {
            for text in [text.as_bytes(), &b] {
                for kind in [Lists::Groups, Lists::Conf] {
                    let _ = (kind.add(text, "acl", "x"), kind.remove(text, "acl", "a"));
                }
            }
        }
    }
}

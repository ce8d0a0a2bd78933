//! Kernel parameters that the user gave GRUB: a kernel heeds many of them only once.

use crate::{
    Result,
    change::{Draft, edit},
};

const DEFAULTS: &str = "etc/default/grub";
const DROP_INS: &str = "etc/default/grub.d";
const OURS: &str = "deploy-vfio.cfg";

/// The parameters called one of `names` that stand in GRUB's settings and are not ours, each with
/// its value, as they are written there; expressions of the shell are not evaluated.
pub fn by_hand(draft: &Draft<'_>, names: &[&str]) -> Result<Vec<String>> {
    let drop_ins = draft.names(DROP_INS)?.into_iter();
    let drop_ins = drop_ins.filter(|name| name.ends_with(".cfg") && name != OURS);
    let mut found = Vec::new();
    for path in [DEFAULTS.to_owned()].into_iter().chain(drop_ins.map(|n| format!("{DROP_INS}/{n}")))
    {
        let text = edit::remove_block(&draft.bytes(&path)?.unwrap_or_default());
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words =
            lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'".contains(c)));
        let named =
            |word: &&str| word.split_once('=').is_some_and(|(name, _)| names.contains(&name));
        found.extend(words.filter(named).map(str::to_owned));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;

    #[test]
    fn the_users_words_are_found_and_ours_and_comments_are_not() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        let text = b"# isolcpus=1\nGRUB_CMDLINE_LINUX_DEFAULT='quiet isolcpus=2-3'\n";
        let text = edit::set_block(text, "GRUB_CMDLINE_LINUX=\"isolcpus=7\"\n").unwrap();
        draft.write(DEFAULTS, text).unwrap();
        draft.write("etc/default/grub.d/50-x.cfg", "A=\"$A hugepages=3\"\n").unwrap();
        draft.write("etc/default/grub.d/deploy-vfio.cfg", "A=\"isolcpus=8\"\n").unwrap();
        let found = by_hand(&draft, &["isolcpus", "hugepages"]).unwrap();
        assert_eq!(found, ["isolcpus=2-3", "hugepages=3"]);
        assert!(by_hand(&Draft::new(&root), &["isolcpus"]).unwrap().is_empty());
    }
}

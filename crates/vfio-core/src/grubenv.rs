//! GRUB's variables that last from boot to boot: which file they are in, and what it says.
//!
//! Source: GRUB's manual, "The GRUB environment block": a file of 1024 bytes that GRUB writes in
//! place, block by block.

use crate::{
    Result, Root,
    layout::{ESP_GRUBENV, ESPS, GRUBENV, TRIAL},
};

/// The file with the variables of a trial: what the trial names, one that is left of an earlier
/// trial, or the one beside the menu.
pub fn variables(root: &Root) -> Result<String> {
    let mut elsewhere = ESPS.iter().map(|esp| format!("{esp}/{ESP_GRUBENV}"));
    if let Some(named) = root.text(TRIAL)?.as_deref().and_then(|text| value(text, "variables")) {
        return Ok(elsewhere.find(|path| *path == named).unwrap_or_else(|| GRUBENV.to_owned()));
    }
    if !root.exists(TRIAL)? {
        for path in elsewhere {
            if root.exists(&path)? {
                return Ok(path);
            }
        }
    }
    Ok(GRUBENV.to_owned())
}

/// The value of a key of [`TRIAL`], which is in TOML.
pub(crate) fn value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
    Some(value.trim_matches('"').to_owned())
}

/// What a file of GRUB's variables says; `None` where GRUB does not take it for one of its own: it
/// ignores what does not begin like this.
pub(crate) fn block(root: &Root, path: &str) -> Result<Option<String>> {
    let text = root.text(path)?.unwrap_or_default();
    Ok(Some(text).filter(|text| text.starts_with("# GRUB Environment Block\n")))
}

/// What a variable is set to in such a file, which may be nothing.
pub(crate) fn set_to<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The value of a variable of GRUB's; `None` when it is not set, or empty.
pub fn variable(root: &Root, name: &str) -> Result<Option<String>> {
    variable_in(root, &variables(root)?, name)
}

/// The same of the variables in the file at `path`.
pub fn variable_in(root: &Root, path: &str, name: &str) -> Result<Option<String>> {
    let block = block(root, path)?.unwrap_or_default();
    Ok(set_to(&block, name).filter(|value| !value.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    fn env(text: &str) -> String {
        format!("# GRUB Environment Block\n{text}{}", "#".repeat(900))
    }

    #[test]
    fn grub_s_variables_are_read_and_the_padding_is_none() {
        let tree = Tree::new().file(GRUBENV, env("saved_entry=a b\ndv_next=\ndv_tried=x\n"));
        let root = tree.root();
        assert_eq!(variable(&root, "saved_entry").unwrap().as_deref(), Some("a b"));
        assert_eq!(variable(&root, "dv_next").unwrap(), None);
        assert_eq!(variable(&root, "saved").unwrap(), None);
        assert_eq!(variable(&Root::empty(), "x").unwrap(), None);
        let torn = Tree::new().file(GRUBENV, "dv_next=deploy-vfio-trial\n");
        assert_eq!(variable(&torn.root(), "dv_next").unwrap(), None, "GRUB reads nothing either");
    }

    #[test]
    fn the_variables_are_where_the_trial_says_or_where_some_are_left() {
        const ESP: &str = "boot/efi/EFI/deploy-vfio.grubenv";
        let found = |tree: Tree| variables(&tree.root()).unwrap();
        let named = |line: &str| Tree::new().file(TRIAL, format!("entry = \"x\"\n{line}\n"));
        assert_eq!(found(Tree::new()), GRUBENV);
        assert_eq!(found(Tree::new().file(ESP, "")), ESP);
        assert_eq!(found(named("").file(ESP, "")), GRUBENV);
        assert_eq!(found(named(&format!("variables = \"{ESP}\""))), ESP);
        assert_eq!(found(named("variables = \"etc/passwd\"")), GRUBENV);
    }
}

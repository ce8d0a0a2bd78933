//! What vfio-pci is told to take by vendor and device id, by an entry of ours or by a file of ours.

use crate::{Cmdline, Result, Root, layout::MODPROBE};

/// Vendor and device ids, each once, in the order in which they are named.
pub(super) fn promised(root: &Root, line: &Cmdline) -> Result<Vec<(u16, u16)>> {
    let mut lists: Vec<String> = Vec::new();
    // Without an entry of ours the ids are the user's own business.
    if line.value("deploy_vfio.entry").is_some() {
        lists.extend(line.value("vfio-pci.ids").map(str::to_owned));
    }
    let text = root.text(MODPROBE)?.unwrap_or_default();
    let options = text.lines().filter_map(|line| line.strip_prefix("options vfio-pci ids="));
    lists.extend(options.map(str::to_owned));
    let mut ids = Vec::new();
    for pair in lists.iter().flat_map(|list| list.split(',')).filter_map(pair) {
        if !ids.contains(&pair) {
            ids.push(pair);
        }
    }
    Ok(ids)
}

/// `10de:2484` as numbers.
pub(super) fn pair(text: &str) -> Option<(u16, u16)> {
    let (vendor, device) = text.trim().split_once(':')?;
    let hex = |text| u16::from_str_radix(text, 16).ok();
    Some((hex(vendor)?, hex(device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn ids_are_those_of_our_entry_and_of_our_file() {
        let tree = Tree::new().file(
            MODPROBE,
            "# x\noptions vfio-pci ids=10de:2484,10de:228b,junk,:\nsoftdep nouveau pre: vfio-pci\n",
        );
        let line = "deploy_vfio.entry=static-headless vfio-pci.ids=1002:1,10de:2484";
        let found = promised(&tree.root(), &line.into()).unwrap();
        assert_eq!(found, [(0x1002, 1), (0x10de, 0x2484), (0x10de, 0x228b)]);
        let own = promised(&Root::empty(), &"vfio-pci.ids=1002:1".into()).unwrap();
        assert_eq!(own, []);
    }
}

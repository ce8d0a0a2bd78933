//! Whether the keyboards and mice that guests are given are plugged in.

use crate::{Result, Root, host::Finding, layout::EVDEV};

/// One statement for all devices that are there, one for each that is not: a guest that is given
/// it does not start.
pub(super) fn findings(root: &Root) -> Result<Vec<Finding>> {
    let text = root.text(EVDEV)?.unwrap_or_default();
    let path = |line: &str| match line.split_once('=')? {
        ("keyboard" | "pointer", path) => Some(path.trim_start_matches('/').to_owned()),
        _ => None,
    };
    let (mut findings, mut there) = (Vec::new(), 0);
    for path in text.lines().filter_map(path) {
        if root.exists(&path)? {
            there += 1;
            continue;
        }
        let path = path.escape_debug();
        let text = format!("/{path} is not there: a guest that is given it does not start");
        findings.push(Finding { ok: false, text });
    }
    if there > 0 {
        let text = format!("input devices that are there for guests: {there}");
        findings.push(Finding { ok: true, text });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn a_device_that_is_not_plugged_in_is_a_fault() {
        let text = "# x\nformat=1\nkeyboard=/dev/input/by-id/k\npointer=/dev/input/by-id/m\n";
        let tree = Tree::new().file(EVDEV, text).file("dev/input/event3", "");
        let tree = tree.link("dev/input/by-id/k", "../event3");
        let found = findings(&tree.root()).unwrap();
        let told: Vec<_> = found.iter().map(|f| (f.ok, f.text.as_str())).collect();
        let gone = "/dev/input/by-id/m is not there: a guest that is given it does not start";
        assert_eq!(told, [(false, gone), (true, "input devices that are there for guests: 1")]);
        assert!(findings(&Root::empty()).unwrap().is_empty());
    }
}

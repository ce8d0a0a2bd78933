//! Attributes of sysfs and procfs, read leniently: what cannot be read is absent.
//!
//! A driver may answer any error when one of its attributes is read, and a device may go away
//! at any time; neither is a reason to know nothing of the rest of the machine. Only what a fact
//! cannot do without is read by [`essential`], which reports a refusal such as `EACCES`.

use std::{io, str::FromStr};

use crate::{Address, CpuList, Error, Result, Root};

/// Longest text that a device, or a file about devices, may put into ours, in characters.
const LONGEST: usize = 120;

/// The text at `path`, white space around it cut off.
pub(super) fn text(root: &Root, path: &str) -> Option<String> {
    Some(root.text(path).ok()??.trim().to_owned())
}

/// The number at `path`.
pub(super) fn number<T: FromStr>(root: &Root, path: &str) -> Option<T> {
    text(root, path)?.parse().ok()
}

/// The list of processors at `path`; empty for `(null)` and other odd texts.
pub(super) fn cpus(root: &Root, path: &str) -> CpuList {
    number(root, path).unwrap_or_default()
}

/// The names in a directory, sorted.
pub(super) fn names(root: &Root, path: &str) -> Vec<String> {
    root.names(path).unwrap_or_default()
}

/// Those names in a directory that are `prefix` and a number, by number.
pub(super) fn numbered(root: &Root, path: &str, prefix: &str) -> Vec<(u32, String)> {
    let number = |name: &str| name.strip_prefix(prefix)?.parse().ok();
    let mut found: Vec<_> =
        names(root, path).into_iter().filter_map(|name| Some((number(&name)?, name))).collect();
    found.sort();
    found
}

/// Whether something is at `path`.
pub(super) fn exists(root: &Root, path: &str) -> bool {
    root.exists(path).unwrap_or(false)
}

/// Where `path` really is, symbolic links followed.
pub(super) fn real(root: &Root, path: &str) -> Option<String> {
    root.real_path(path).ok().flatten()
}

/// The text at `path`; `None` when there is no such file or something else in its place, an
/// error when it is there and cannot be read.
pub(super) fn essential(root: &Root, path: &str) -> Result<Option<String>> {
    use io::ErrorKind::{FileTooLarge, InvalidInput, IsADirectory};
    match root.text(path) {
        Err(Error::Io { source, .. })
            if matches!(source.kind(), FileTooLarge | InvalidInput | IsADirectory)
                || source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            Ok(None)
        }
        result => result,
    }
}

/// The PCI devices that something at the sysfs path `real` cannot do without.
///
/// That is the last address in it, which the bridges stand before; where a device makes a PCI
/// domain of its own (Intel VMD: `…/0000:00:0e.0/pci10000:e0/…`), that device as well.
pub(super) fn addresses(real: &str) -> Vec<Address> {
    let (mut found, mut last) = (Vec::new(), None);
    for part in real.split('/') {
        if let Ok(address) = part.parse::<Address>() {
            last = Some(address);
        } else if part.starts_with("pci") {
            found.extend(last.take());
        }
    }
    found.extend(last);
    found
}

/// Foreign text made safe to print: [`visible`], at most 120 characters, no white space around it.
pub(super) fn clean(text: &str) -> String {
    let text = text.trim();
    if text.len() <= LONGEST && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let kept: String = visible(text).chars().take(LONGEST).collect();
    kept.trim().to_owned()
}

/// Text without control characters, escapes and tricks with the writing direction.
#[must_use]
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().filter(|c| !hidden(*c)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn finds_the_devices_a_path_leads_through() {
        for (path, expected) in [
            ("sys/devices/virtual/block/dm-0", vec![]),
            ("sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0", vec!["0000:03:00.0"]),
            (
                "sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0/nvme",
                vec!["0000:00:0e.0", "10000:e1:00.0"],
            ),
            (
                "sys/devices/pci0000:00/0000:00:14.0/usb1/1-1:1.0/0003:046D:C31C.0001",
                vec!["0000:00:14.0"],
            ),
        ] {
            let found: Vec<_> = addresses(path).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn cleans_what_a_terminal_would_obey() {
        assert_eq!(clean(" a\x1b[31mb\u{202e}c\r\n"), "a[31mbc");
        assert_eq!(clean(&"x".repeat(500)).len(), 120);
    }

    #[test]
    fn what_is_no_file_is_absent() {
        let tree = Tree::new().file("dir/file", b"1\n").link("loop", "loop");
        let root = tree.root();
        assert_eq!(essential(&root, "dir").unwrap(), None);
        assert_eq!(essential(&root, "loop").unwrap(), None);
        assert_eq!(essential(&root, "dir/file").unwrap().as_deref(), Some("1\n"));
        assert_eq!((text(&root, "dir"), number::<u8>(&root, "dir/file")), (None, Some(1)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", path in "[a-z0-9:./]*") {
            prop_assert!(clean(&text).chars().count() <= LONGEST);
            let _ = addresses(&path);
        }
    }
}

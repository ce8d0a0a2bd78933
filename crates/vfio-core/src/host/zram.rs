//! Whether the compressed swap that is deployed is in use.

use crate::{
    Result, Root,
    host::Finding,
    layout::{ZRAM_GENERATOR, ZRAM_PRIORITY, ZRAM_SWAP},
};

/// What `/proc/swaps` says of it; `None` when none is deployed.
pub(super) fn finding(root: &Root) -> Result<Option<Finding>> {
    if !root.exists(ZRAM_SWAP)? && !root.exists(ZRAM_GENERATOR)? {
        return Ok(None);
    }
    let text = root.text("proc/swaps")?.unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let device = fields.next().filter(|device| device.starts_with("/dev/zram"))?;
        let (size, priority) = (fields.nth(1)?, fields.nth(1)?);
        let size: u64 = size.parse().ok()?;
        (priority.parse() == Ok(ZRAM_PRIORITY)).then(|| (device.to_owned(), size >> 10))
    });
    Ok(Some(match found {
        Some((device, mib)) => Finding {
            ok: true,
            text: format!("{mib} MiB of compressed swap are in use ({device})"),
        },
        None => {
            let text = "the compressed swap is not in use: the next boot makes it".to_owned();
            Finding { ok: false, text }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn swap_of_ours_is_told_from_that_of_others() {
        let head = "Filename\tType\tSize\tUsed\tPriority\n";
        let told = |swaps: &str| {
            let text = format!("{head}{swaps}");
            let tree = Tree::new().file(ZRAM_SWAP, "fraction=1/4\n").file("proc/swaps", text);
            let finding = finding(&tree.root()).unwrap().unwrap();
            (finding.ok, finding.text)
        };
        let line = "/dev/zram1 partition\t2097148\t0\t100\n";
        assert_eq!(
            told(line),
            (true, "2047 MiB of compressed swap are in use (/dev/zram1)".into())
        );
        let lacks = "the compressed swap is not in use: the next boot makes it";
        for others in
            ["", "/dev/zram0 partition 1024 0 5\n", "/dev/sda2 partition 9 0 100\n/dev/zram0\n"]
        {
            assert_eq!(told(others), (false, lacks.to_owned()), "{others}");
        }
        assert!(finding(&Root::empty()).unwrap().is_none());
        let tree = Tree::new().file(ZRAM_GENERATOR, "[zram0]\n");
        assert!(!finding(&tree.root()).unwrap().unwrap().ok);
    }
}

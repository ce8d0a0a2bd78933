//! systemd-zram-generator: a drop-in for its device (`man zram-generator.conf`).
//!
//! It knows `zram-size` since 1.1.0 (Debian 12, Ubuntu 24.04); an older one is left alone. A limit is
//! known to it from 1.2.0 on only, and nothing tells of a word that it does not know: so the limit is
//! set by a drop-in of its unit, after the device is made, whatever the version.

use vfio_core::{
    Result,
    change::Draft,
    host::{Version, installed_version},
    layout::{ZRAM_GENERATOR, ZRAM_PRIORITY},
};

use crate::zram::Sizes;

/// What makes the device.
pub(super) const UNIT: &str = "systemd-zram-setup@zram0.service";

const PACKAGE: &str = "systemd-zram-generator";
/// The limit, for its unit.
const LIMIT: &str = "etc/systemd/system/systemd-zram-setup@zram0.service.d/50-deploy-vfio.conf";
/// The first version that takes a size by an expression of its own.
const LEAST: Version = Version { major: 1, minor: 1, patch: 0 };
/// The main files, of which the first counts, and the directories of drop-ins.
const PLACES: [&str; 4] =
    ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

/// Whether it is installed, new enough, and its device `zram0` is or can be swap.
pub(super) fn is_usable(draft: &Draft<'_>) -> Result<bool> {
    let new_enough = installed_version(draft.root(), PACKAGE)?.is_some_and(|has| has >= LEAST);
    Ok(new_enough && !holds_files(draft)?)
}

/// Whether somebody gave `zram0` a mount point: it is no swap then.
fn holds_files(draft: &Draft<'_>) -> Result<bool> {
    for place in PLACES {
        let main = format!("{place}/zram-generator.conf");
        if has_mount_point(&draft.text(&main)?.unwrap_or_default()) {
            return Ok(true);
        }
        let dir = format!("{place}/zram-generator.conf.d");
        for name in draft.names(&dir)? {
            if has_mount_point(&draft.text(&format!("{dir}/{name}"))?.unwrap_or_default()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn has_mount_point(text: &str) -> bool {
    let mut ours = false;
    text.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            ours = line == "[zram0]";
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        ours && key.trim() == "mount-point" && !value.trim().is_empty()
    })
}

/// Writes the drop-in.
pub(super) fn write(draft: &mut Draft<'_>, sizes: &Sizes) -> Result<()> {
    let (swap, limit) = (sizes.swap_kib >> 10, sizes.limit_kib >> 10);
    let text = format!(
        "# Written by `deploy-vfio zram-swap`: sizes in MiB, {} of the memory that huge pages \
         leave.\n\
         [zram0]\n\
         host-memory-limit = none\n\
         zram-size = {swap}\n\
         compression-algorithm = lz4\n\
         swap-priority = {ZRAM_PRIORITY}\n\
         options = discard\n",
        sizes.fraction
    );
    draft.write(ZRAM_GENERATOR, text)?;
    let limit = format!(
        "# Written by `deploy-vfio zram-swap`: the memory that the device may take.\n\
         [Service]\n\
         ExecStartPost=/bin/sh -c 'echo {limit}M >/sys/block/%i/mem_limit'\n"
    );
    draft.write(LIMIT, limit)?;
    draft.note(format!(
        "systemd-zram-generator makes the swap at every boot; `systemctl restart {UNIT}` does it now"
    ));
    // Drop-ins are read in the order of their names, and the last word counts.
    let dir = ZRAM_GENERATOR.rsplit_once('/').map_or("", |(dir, _)| dir);
    let (_, own) = ZRAM_GENERATOR.rsplit_once('/').unwrap_or_default();
    let later: Vec<String> =
        draft.names(dir)?.into_iter().filter(|name| name.as_str() > own).collect();
    if !later.is_empty() {
        let later = later.join(", ");
        draft.note(format!("/{dir} has files whose words come after ours and count: {later}"));
    }
    Ok(())
}

/// Takes the drop-ins away.
pub(super) fn remove(draft: &mut Draft<'_>) {
    draft.remove(ZRAM_GENERATOR);
    draft.remove(LIMIT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_in_its_section_only() {
        assert!(has_mount_point("[zram0]\n mount-point = /tmp\n"));
        for text in [
            "[zram1]\nmount-point=/tmp",
            "[zram0]\nzram-size=1\n[zram1]\nmount-point=/x",
            "[zram0]\n# mount-point=/x",
            "[zram0]\nmount-point=",
            "",
        ] {
            assert!(!has_mount_point(text), "{text}");
        }
    }
}

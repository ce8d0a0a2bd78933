//! The files of this feature, and which of them a system has.

use vfio_core::{
    Cmdline, Result,
    change::{Draft, Image, Unit, by_hand},
    host::AskedPages,
    layout::RUNTIME_HUGEPAGES,
};

use crate::{Count, PageSize};

/// The fragment that holds the kernel parameters of this feature.
pub const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/20-hugepages.conf";

/// The unit that reserves pages while the system runs.
pub(crate) const SERVICE: Unit = Unit {
    name: "deploy-vfio-hugepages.service",
    text: include_str!("../assets/deploy-vfio-hugepages.service"),
};

const PROGRAM: &str = "usr/local/lib/deploy-vfio/runtime-hugepages";
const PROGRAM_TEXT: &str = include_str!("../assets/runtime-hugepages");

/// systemd's own mount of huge pages, of the default size.
const DEFAULT_MOUNT: &str = "etc/systemd/system/dev-hugepages.mount";

/// The pages that the kernel will reserve when it boots.
pub(crate) fn at_boot(draft: &Draft<'_>) -> Result<Vec<AskedPages>> {
    let text = draft.text(FRAGMENT)?.unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.flat_map(|line| AskedPages::at_boot(&Cmdline::from(line))).collect())
}

/// The pages that the unit will reserve while the system runs.
pub(crate) fn at_runtime(draft: &Draft<'_>) -> Result<Vec<AskedPages>> {
    Ok(AskedPages::at_runtime(&draft.text(RUNTIME_HUGEPAGES)?.unwrap_or_default()))
}

pub(crate) fn write_boot(draft: &mut Draft<'_>, size: PageSize, count: &Count) -> Result<()> {
    // `hugepages=` counts pages of the `hugepagesz=` before it (hugetlbpage.rst).
    let count = count.parameter();
    let text = format!(
        "# Written by `deploy-vfio hugepages`.\n\
         default_hugepagesz={size} hugepagesz={size} hugepages={count}\n"
    );
    draft.write(FRAGMENT, text)
}

pub(crate) fn write_runtime(draft: &mut Draft<'_>, count: &Count) -> Result<()> {
    let mut lines: String = count.nodes().map(|(node, n)| format!("{node} {n}\n")).collect();
    if lines.is_empty() {
        lines = format!("any {}\n", count.total());
    }
    let text = format!("# Written by `deploy-vfio hugepages --runtime`.\n{lines}");
    draft.write(RUNTIME_HUGEPAGES, text)?;
    draft.write_executable(PROGRAM, PROGRAM_TEXT)?;
    SERVICE.enable(draft)
}

pub(crate) fn remove_runtime(draft: &mut Draft<'_>) {
    draft.remove(RUNTIME_HUGEPAGES);
    draft.remove(PROGRAM);
    SERVICE.disable(draft);
}

/// Gives each size that is in use, and that /dev/hugepages will not have, a mount of its own.
/// Returns the mounts that are new.
pub(crate) fn settle_mounts(draft: &mut Draft<'_>) -> Result<Vec<&'static str>> {
    const MOUNTS: [(PageSize, Unit); 2] = [
        (
            PageSize::G1,
            Unit {
                name: "dev-hugepages1G.mount",
                text: include_str!("../assets/dev-hugepages1G.mount"),
            },
        ),
        (
            PageSize::M2,
            Unit {
                name: "dev-hugepages2M.mount",
                text: include_str!("../assets/dev-hugepages2M.mount"),
            },
        ),
    ];
    let usual = usual_mount(draft)?;
    let used: Vec<u64> =
        [at_boot(draft)?, at_runtime(draft)?].concat().iter().map(|p| p.size_kib).collect();
    let mut new = Vec::new();
    for (size, unit) in MOUNTS {
        let now = draft.text(&unit.path())?;
        if used.contains(&size.kib()) && usual != Some(size) {
            if now.is_none() {
                new.push(unit.name);
            }
            unit.enable(draft)?;
        } else if now.is_some_and(|text| text == unit.text) {
            unit.disable(draft);
        }
    }
    Ok(new)
}

/// The size of the pages in /dev/hugepages, once the plan is in force; `None` when nothing is
/// mounted there, or something of the user's whose size is not plain.
fn usual_mount(draft: &Draft<'_>) -> Result<Option<PageSize>> {
    if draft.image(DEFAULT_MOUNT)? != Image::Absent {
        return Ok(None);
    }
    let table = draft.text("etc/fstab")?.unwrap_or_default();
    let mounts = |line: &str| {
        let mut fields = line.split_whitespace();
        !line.trim_start().starts_with('#') && fields.nth(1) == Some("/dev/hugepages")
    };
    if table.lines().any(mounts) {
        return Ok(None);
    }
    // The user's word stands before ours, and the kernel heeds the first.
    let hand = by_hand(draft, &["default_hugepagesz"])?;
    if let Some((_, size)) = hand.first().and_then(|word| word.split_once('=')) {
        return Ok(size.parse().ok());
    }
    let default = at_boot(draft)?.first().map(|pages| pages.size_kib);
    Ok(Some(if default == Some(PageSize::G1.kib()) { PageSize::G1 } else { PageSize::M2 }))
}

//! The words of `deploy-vfio looking-glass`: a guest's screen in a window.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vfio_cli::{Context, Failure};
use vfio_core::change::Draft;
use vfio_post::looking_glass::{self, Screen};

use crate::{Wanted, for_guest::ForGuest, words::maybe};

const MORE: &str = "\
Looking Glass copies what a guest's graphics card draws into memory that the host sees, so its screen
is a window of the host, without a cable. Every boot makes the memory, for who runs the client and for
QEMU; the XML that the guest needs is printed at the end. The client must be of the version of the
host application that runs in the guest, so it is built from source as a rule.

Examples:
  deploy-vfio looking-glass --user anna
      For a screen of 1920x1080, in a window of anna's.
  deploy-vfio looking-glass 3840x2160 --hdr --user anna
      For a large one in high dynamic range.
  deploy-vfio looking-glass off
      Not any more.

Files:
  /etc/tmpfiles.d/50-deploy-vfio-looking-glass.conf
      Who may use the memory.

See also:
  deploy-vfio scream
  deploy-vfio evdev";

/// A guest's screen in a window.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LookingGlass {
    /// The guest's screen [default: 1920x1080]
    #[arg(value_name = "WIDTHxHEIGHT")]
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    /// High dynamic range: twice the memory
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hdr: bool,
    /// Who runs the client; without it, who called sudo or pkexec
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

pub(crate) fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    wanted: &Wanted<LookingGlass>,
) -> Result<Option<ForGuest>, Failure> {
    let Wanted::On(words) = wanted else {
        looking_glass::plan(draft, None)?;
        return Ok(None);
    };
    let user = cx.user(words.user.as_deref())?;
    looking_glass::plan(draft, Some(user.as_ref().map(|user| user.name.as_str())))?;
    let screen = words.screen.unwrap_or_default();
    let mib = screen.mib(words.hdr);
    draft.note(format!("a screen of {screen} takes {mib} MiB of memory while the guest runs"));
    Ok(Some(ForGuest {
        feature: "looking-glass",
        data: json!({ "mib": mib }),
        inside: "devices",
        xml: looking_glass::xml(screen, words.hdr),
    }))
}

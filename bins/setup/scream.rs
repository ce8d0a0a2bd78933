//! The words of `deploy-vfio scream`: a Windows guest's sound.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vfio_cli::{Context, Failure};
use vfio_core::change::Draft;
use vfio_post::scream::{self, Way};

use crate::{Wanted, for_guest::ForGuest};

const MORE: &str = "\
Scream is a sound card for Windows guests that a receiver on the host plays: through memory that both
see, or through the network. The receiver runs in the session of one user; it is not packaged, so the
program `scream` is built from source as a rule. The XML that the guest needs is printed at the end.

Examples:
  deploy-vfio scream --user anna
      Through memory.
  deploy-vfio scream --network virbr0 --user anna
      Through the network that the guest has with the host.
  deploy-vfio scream off
      Not any more.

Files:
  /etc/tmpfiles.d/50-deploy-vfio-scream.conf
      Who may use the memory.
  /etc/systemd/user/deploy-vfio-scream.service
      The receiver.

See also:
  deploy-vfio looking-glass";

/// A Windows guest's sound.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Scream {
    /// Through this network interface instead of memory
    #[arg(long, value_name = "INTERFACE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Who hears it; without it, who called sudo or pkexec
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Scream {
    pub(crate) fn way(&self) -> Way {
        self.network.clone().map_or(Way::Memory, Way::Network)
    }
}

pub(crate) fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    wanted: &Wanted<Scream>,
) -> Result<Option<ForGuest>, Failure> {
    let Wanted::On(words) = wanted else {
        scream::plan(draft, None)?;
        return Ok(None);
    };
    let user = cx.user(words.user.as_deref())?;
    let way = words.way();
    scream::plan(draft, Some((&way, user.as_ref().map(|user| user.name.as_str()))))?;
    let line = scream::in_the_guest(&way);
    if let Some(line) = line {
        draft.note(format!("in the guest, once, as administrator: {line}"));
    }
    Ok(scream::xml(&way).map(|xml| ForGuest {
        feature: "scream",
        data: json!({ "in-the-guest": line }),
        inside: "devices",
        xml,
    }))
}

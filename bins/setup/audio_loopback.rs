//! The words of `deploy-vfio audio-loopback`: what comes in at line-in is heard.

use clap::Args;
use serde::{Deserialize, Serialize};
use vfio_cli::{Context, Failure};
use vfio_core::change::Draft;
use vfio_post::audio_loopback::{self, Loop};

use crate::Wanted;

const MORE: &str = "\
A guest with a sound card of its own, and a cable from that to the host's line-in: what comes in there
is heard where the host is heard. A service of one user does it, by PipeWire, PulseAudio or ALSA,
whichever runs in the session. Devices are named, so they are found again when they were unplugged;
without a name it is the session's own choice of the moment.

Examples:
  deploy-vfio audio-loopback --user anna
      From the usual source to the usual sink of anna's session.
  deploy-vfio audio-loopback --user anna --source alsa_input.pci-0000_00_1f.3.analog-stereo
      From this one; `pactl list short sources` lists them.
  deploy-vfio audio-loopback off
      Not any more.

Files:
  /etc/deploy-vfio/audio-loopback
      What is heard where.
  /etc/systemd/user/deploy-vfio-audio-loopback.service
      The service.

See also:
  deploy-vfio scream";

/// What comes in is heard.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(after_long_help = MORE)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AudioLoopback {
    /// Where sound comes in, by name
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it is heard, by name
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The delay in milliseconds, from 1 to 2000 [default: 50]
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<u32>,
    /// Who hears it; without it, who called sudo or pkexec
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

pub(crate) fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    wanted: &Wanted<AudioLoopback>,
) -> Result<(), Failure> {
    let Wanted::On(words) = wanted else { return Ok(audio_loopback::plan(draft, None)?) };
    let user = cx.user(words.user.as_deref())?;
    let wanted = Loop {
        source: words.source.as_deref(),
        sink: words.sink.as_deref(),
        latency: words.latency,
    };
    let user = user.as_ref().map(|user| user.name.as_str());
    Ok(audio_loopback::plan(draft, Some((wanted, user)))?)
}

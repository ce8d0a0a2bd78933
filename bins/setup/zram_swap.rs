//! The words of `deploy-vfio zram-swap`: how much memory swap may be compressed into.

use serde::{Deserialize, Serialize};
use vfio_cli::{Context, Failure};
use vfio_core::{
    change::Draft,
    host::{Machine, Memory},
};
use vfio_post::zram::{self, Fraction, Request, Sizes};

use crate::{
    Setup, Wanted,
    declared::DECLARED,
    words::{maybe, takes_two_words},
};

const MORE: &str = "\
What the host does not use for a while is compressed and stays in memory, so that a guest and a
desktop fit beside each other. The fraction is of the memory that huge pages leave, and says how
much of it the compressed data may take at most; the swap is twice as large. Without one it is a
half, or a quarter from 16 GiB on.

Where systemd-zram-generator is installed (1.1 and newer), it is told; else a unit of ours makes the
swap.

Examples:
  deploy-vfio zram-swap 1/4
      Of 32 GiB, compress at most into 8 GiB; that is 16 GiB of swap.
  deploy-vfio zram-swap force
      The usual size, even where somebody else's compressed swap is in use.
  deploy-vfio zram-swap off
      None of ours.

Files:
  /etc/deploy-vfio/zram-swap
      The fraction, for the unit.
  /etc/systemd/zram-generator.conf.d/50-deploy-vfio.conf
      The size, for systemd-zram-generator.
  /etc/systemd/system/systemd-zram-setup@zram0.service.d/
      The limit, for its unit.
  /etc/sysctl.d/90-deploy-vfio-zram-swap.conf
      How eagerly the kernel swaps.

See also:
  deploy-vfio hugepages";

/// Compressed swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ZramSwap {
    /// The part of the memory that it may take; `None` for the usual one.
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// Whether to do it where somebody else's is in use.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

takes_two_words!(
    ZramSwap,
    "force|FRACTION|default",
    "`force`: even where somebody else's is in use; the fraction, or `default`",
    MORE
);

impl ZramSwap {
    /// Reads `[force] [FRACTION|default]`.
    ///
    /// # Errors
    ///
    /// What is wrong with a word.
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        let (mut read, mut size) = (Self::default(), None);
        for word in words {
            let again = match word.as_str() {
                "force" => std::mem::replace(&mut read.force, true),
                "default" => size.replace(word).is_some(),
                _ => {
                    let fraction = word.parse().map_err(|error: zram::Error| {
                        format!("{error}: write `1/4`, or `default`, and `force` before it")
                    })?;
                    read.fraction = Some(fraction);
                    size.replace(word).is_some()
                }
            };
            if again {
                return Err(format!("`{}` is one size too many", word.escape_debug()));
            }
        }
        Ok(read)
    }

    fn request(&self) -> Request {
        Request::Swap { fraction: self.fraction, force: self.force }
    }
}

/// What `wanted` makes; where only huge pages change, what is deployed is reckoned anew.
pub(crate) fn plan(
    cx: &Context,
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<ZramSwap>,
) -> Result<(), Failure> {
    let request = wanted.words().map_or(Request::Off, ZramSwap::request);
    let reserved = reserved_kib(cx, draft, &machine.memory)?;
    Ok(zram::plan(draft, &machine.memory, &machine.kernels, reserved, request)?)
}

/// The words that are deployed, where `setup` has none of its own and changes huge pages.
pub(crate) fn deployed(draft: &Draft<'_>, setup: &Setup) -> Result<Option<ZramSwap>, Failure> {
    if setup.zram_swap.is_some() || setup.hugepages.is_none() {
        return Ok(None);
    }
    let text = draft.text(&format!("{DECLARED}/zram-swap.toml"))?.unwrap_or_default();
    let Ok(deployed) = Setup::from_toml(&text, DECLARED) else { return Ok(None) };
    Ok(deployed.zram_swap.and_then(|wanted| wanted.words().copied()))
}

/// What the fraction comes to on this machine, for who asks.
pub(crate) fn sizes(cx: &Context, draft: &Draft<'_>, machine: &Machine) -> Result<Sizes, Failure> {
    let reserved = reserved_kib(cx, draft, &machine.memory)?;
    Ok(Sizes::of(&machine.memory, reserved, None))
}

/// What huge pages will take: those that are planned, or those of somebody else that are there.
fn reserved_kib(cx: &Context, draft: &Draft<'_>, memory: &Memory) -> Result<u64, Failure> {
    let planned = vfio_hugepages::planned_kib(draft)?;
    let ours = vfio_hugepages::planned_kib(&cx.draft())? > 0;
    Ok(if ours { planned } else { planned.max(memory.hugetlb_kib) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b50_the_words_are_read_in_any_order() {
        let read = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            ZramSwap::from_words(&words)
        };
        let quarter = "1/4".parse().ok();
        for (line, fraction, force) in [
            ("", None, false),
            ("default", None, false),
            ("force", None, true),
            ("force default", None, true),
            ("1/4", quarter, false),
            ("force 1/4", quarter, true),
            ("1/4 force", quarter, true),
        ] {
            assert_eq!(read(line).unwrap(), ZramSwap { fraction, force }, "{line}");
        }
        for (line, wrong) in [
            ("2", "`2` is not a fraction between 0 and 1: write `1/4`"),
            ("5/4", "`5/4` is not a fraction"),
            ("Force", "`Force` is not a fraction"),
            ("1/4 1/2", "`1/2` is one size too many"),
            ("default 1/2", "`1/2` is one size too many"),
            ("force force", "`force` is one size too many"),
        ] {
            assert!(read(line).unwrap_err().starts_with(wrong), "{line}: {:?}", read(line));
        }
    }
}

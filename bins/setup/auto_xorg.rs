//! The words of `deploy-vfio auto-xorg`: which card the desktop prefers.

use serde::{Deserialize, Serialize};
use vfio_cli::Failure;
use vfio_core::{change::Draft, host::Machine};
use vfio_post::auto_xorg::{self, Brand, Order, Preference};

use crate::{
    Wanted,
    words::{maybe, takes_two_words},
};

const MORE: &str = "\
With a boot menu the host's card changes from entry to entry. So each boot looks which cards are not
with guests, before the display manager starts, and tells Xorg its address and driver; compositors of
Wayland (KWin, Mutter, those of wlroots, Hyprland) are told to begin with it. A card of the vendor
counts most, then one that a screen is plugged into. Where the host has none of the vendor, any will
do.

Examples:
  deploy-vfio auto-xorg
      The host's first card, whose ever it is.
  deploy-vfio auto-xorg last amd
      The last of AMD's.
  deploy-vfio auto-xorg off
      Leave the choice to Xorg again.

Files:
  /etc/deploy-vfio/auto-xorg
      What is preferred.
  /etc/X11/xorg.conf.d/10-deploy-vfio.conf
      A link to what the boot found out, below /run.

See also:
  deploy-vfio multiboot";

/// The card of the desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AutoXorg {
    /// Which of several that suit equally well; `None` for the first.
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Whose card; `None` for anybody's.
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Brand>,
}

takes_two_words!(
    AutoXorg,
    "first|last|amd|intel|nvidia|other",
    "Which of the host's cards, and whose",
    MORE
);

impl AutoXorg {
    /// Reads `[first|last] [amd|intel|nvidia|other]`.
    ///
    /// # Errors
    ///
    /// What is wrong with a word.
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        let mut read = Self::default();
        for word in words {
            let again = match (word.parse(), word.parse()) {
                (Ok(order), _) => read.order.replace(order).is_some(),
                (_, Ok(vendor)) => read.vendor.replace(vendor).is_some(),
                (Err(error), _) => {
                    let error: auto_xorg::Error = error;
                    return Err(format!(
                        "{error}: write `first` or `last`, `amd`, `intel`, `nvidia` or `other`"
                    ));
                }
            };
            if again {
                return Err(format!("`{word}` is one word too many"));
            }
        }
        Ok(read)
    }
}

pub(crate) fn plan(
    draft: &mut Draft<'_>,
    machine: &Machine,
    wanted: &Wanted<AutoXorg>,
) -> Result<(), Failure> {
    let preference = wanted
        .words()
        .map(|words| Preference { order: words.order.unwrap_or_default(), brand: words.vendor });
    Ok(auto_xorg::plan(draft, machine, preference)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b50_b56_the_words_are_read_in_any_order() {
        let read = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            AutoXorg::from_words(&words)
        };
        let (last, amd) = (Some(Order::Last), Some(Brand::Amd));
        for (line, order, vendor) in [
            ("", None, None),
            ("last", last, None),
            ("amd", None, amd),
            ("last amd", last, amd),
            ("amd last", last, amd),
        ] {
            assert_eq!(read(line).unwrap(), AutoXorg { order, vendor }, "{line}");
        }
        for (line, wrong) in [
            ("ati", "`ati` is neither a place nor a vendor: write `first`"),
            ("first last", "`last` is one word too many"),
            ("amd amd", "`amd` is one word too many"),
        ] {
            assert!(read(line).unwrap_err().starts_with(wrong), "{line}: {:?}", read(line));
        }
    }
}

//! What was asked for, written down beside what it made: one TOML file a feature.
//!
//! Undo takes these files back with everything else, so they always say what is deployed.

use serde::Serialize;
use vfio_cli::{Failure, Usage};
use vfio_core::{Root, change::Draft};

use crate::{Setup, Wanted};

/// The directory of these files, one `<feature>.toml` each.
pub const DECLARED: &str = "etc/deploy-vfio/setup.d";

/// Writes down that a feature is wanted like this, or takes the note away with the feature.
pub(crate) fn declare<T: Serialize>(
    draft: &mut Draft<'_>,
    feature: &str,
    wanted: &Wanted<T>,
) -> Result<(), Failure> {
    match wanted {
        Wanted::Off => forget(draft, feature),
        Wanted::On(words) => {
            let table = toml::to_string(words).map_err(|error| {
                Usage::refused(format!("cannot write down {feature}: {error}"), &[])
            })?;
            draft.write(&format!("{DECLARED}/{feature}.toml"), format!("[{feature}]\n{table}"))?;
        }
    }
    Ok(())
}

/// Takes the note of a feature away that another one takes the place of.
pub(crate) fn forget(draft: &mut Draft<'_>, feature: &str) {
    draft.remove(&format!("{DECLARED}/{feature}.toml"));
}

/// What is deployed below `root`, in the words that would deploy it again.
///
/// # Errors
///
/// A file that cannot be read, or that no version of this program has written.
pub fn declared(root: &Root) -> Result<Setup, Failure> {
    let draft = Draft::new(root);
    let mut text = String::new();
    for name in draft.names(DECLARED)?.iter().filter(|name| name.ends_with(".toml")) {
        let path = format!("{DECLARED}/{name}");
        let table = draft.text(&path)?.unwrap_or_default();
        Setup::from_toml(&table, &format!("/{path}"))?;
        text += &table;
        text.push('\n');
    }
    Setup::from_toml(&text, &format!("/{DECLARED}"))
}

impl Setup {
    /// Reads a setup as `apply` takes it and `log --as-toml` prints it; `from` is named in errors.
    ///
    /// # Errors
    ///
    /// What is no TOML, a table or a key that does not exist, a value that no machine could accept;
    /// each with its line and column.
    pub fn from_toml(text: &str, from: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(String::new(), |span| position(text, span.start));
            Usage::new(format!("{from}{at}: {}", error.message()), &[]).into()
        })
    }

    /// The same setup as text.
    ///
    /// # Errors
    ///
    /// None in practice: every word has a TOML form.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self).map_err(|error| Usage::refused(error.to_string(), &[]).into())
    }
}

/// `:line:column`, counted from 1, the column in characters.
fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = "[hugepages]\nsize = \"1G\"\ncount = 16\n\n\
                    [multiboot]\nentry = \"last\"\nparse = \"no-vga,14\"\nallow = [\"network\"]\n";
        let setup = Setup::from_toml(text, "x.toml").unwrap();
        assert_eq!(setup.to_toml().unwrap(), text);
        let off = Setup::from_toml("hugepages = \"off\"\n", "x.toml").unwrap();
        assert_eq!(off.hugepages, Some(Wanted::Off));
        assert_eq!(off.to_toml().unwrap(), "hugepages = \"off\"\n");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, told) in [
            ("[hugepage]\n", "x.toml:1:2: unknown field `hugepage`"),
            ("[hugepages]\nsize = \"3M\"\ncount = 1\n", "x.toml:2:8: `3M` is not a huge page size"),
            ("[hugepages]\ncount = 1\n", "x.toml:1:1: missing field `size`"),
            ("hugepages = \"on\"\n", "x.toml:1:13: invalid value"),
            ("hugepages = 1\n", "x.toml:1:13: invalid type"),
            ("[multiboot]\nentry = \"x\"\n", "x.toml:2:9: "),
            ("[[[\n", "x.toml:1:"),
        ] {
            let Err(failure) = Setup::from_toml(text, "x.toml") else { panic!("{text}") };
            assert_eq!(failure.exit(), 2, "{text}");
            assert!(failure.to_string().starts_with(told), "{text}: {failure}");
        }
    }
}

//! From fragments and entries to the files that `grub-mkconfig` reads.

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline, Parameter,
    change::{Draft, edit},
    host::{Boot, Loader},
    layout::words,
};

use crate::{
    CHOICE, DEFAULTS, DROP_IN, ENTRIES, Error, FRAGMENTS, GENERATOR, clear_entries, entries,
};

const GENERATOR_TEXT: &str = include_str!("../assets/45_deploy-vfio");

/// What the distribution's own part of a command line takes at most: image, root, console, quiet.
const OTHERS: usize = 256;

/// The kernel parameters of all fragments that `draft` will have, in the order of their names.
pub fn parameters(draft: &Draft<'_>) -> Result<Cmdline, Error> {
    let mut line = Cmdline::default();
    for (path, word) in words(&draft.names(FRAGMENTS)?, |path| draft.text(path))? {
        let parameter: Parameter =
            word.parse().map_err(|source| Error::Fragment { path, source })?;
        line.push(&parameter);
    }
    Ok(line)
}

/// Rewrites GRUB's files from the fragments and entries as `draft` will have them.
///
/// # Errors
///
/// A machine that does not boot through `grub-mkconfig`'s menu, when there is something to tell
/// GRUB; a fragment that holds no kernel parameters; a line longer than a kernel reads.
pub fn render(draft: &mut Draft<'_>, boot: &Boot) -> Result<(), Error> {
    let parameters = parameters(draft)?;
    let (entries, default) = entries(draft)?;
    let longest = entries.iter().map(|entry| entry.arguments.to_string().len() + 1).max();
    let length = OTHERS + parameters.to_string().len() + longest.unwrap_or_default();
    if length > CMDLINE_MAX_LEN {
        return Err(Error::TooLong { length });
    }
    let settings = if entries.is_empty() {
        draft.remove(GENERATOR);
        draft.remove(CHOICE);
        (!parameters.is_empty()).then(|| append(&parameters))
    } else {
        draft.write_executable(GENERATOR, GENERATOR_TEXT)?;
        default.as_deref().map(boot_by_itself)
    };
    if (settings.is_some() || !entries.is_empty()) && boot.loader != Loader::Grub {
        return Err(Error::Loader(boot.loader));
    }
    notes(draft, &parameters, !entries.is_empty())?;
    settle(draft, boot, settings.as_deref())
}

/// Takes a menu away from GRUB's files where another loader is in use; parameters of the normal entry
/// stay.
///
/// # Errors
///
/// GRUB's settings, where they cannot be edited.
pub fn forget(draft: &mut Draft<'_>) -> Result<(), Error> {
    if draft.names(ENTRIES)?.is_empty() {
        return Ok(());
    }
    clear_entries(draft)?;
    draft.remove(GENERATOR);
    settle(draft, &Boot::default(), None)
}

/// How a person gets back from a boot that the parameters of the normal entry spoil.
pub fn way_back(draft: &Draft<'_>) -> Result<String, Error> {
    let mut recovery = true;
    for path in settings(draft)? {
        let text = draft.bytes(&path)?.unwrap_or_default();
        if let Some(value) = edit::shell_assignment(&text, "GRUB_DISABLE_RECOVERY") {
            recovery = value != "true";
        }
    }
    // Where vfio-pci is part of the kernel, no script can keep it from these.
    let change = match parameters(draft)?.value("vfio-pci.ids") {
        Some(_) => "take `vfio-pci.ids=` out of",
        None => "add `deploy_vfio.off` to",
    };
    let by_hand =
        format!("press `e` in GRUB's menu and {change} the line that begins with `linux`");
    Ok(match recovery {
        true => format!(
            "the way back from a dark screen: GRUB's recovery entry, below `Advanced options`, \
             boots without these parameters; or {by_hand}"
        ),
        false => format!(
            "the way back from a dark screen, as GRUB_DISABLE_RECOVERY leaves no recovery entry: \
             {by_hand}"
        ),
    })
}

/// GRUB's settings in the order in which `grub-mkconfig` reads them.
pub(crate) fn settings(draft: &Draft<'_>) -> Result<Vec<String>, Error> {
    let dir = "etc/default/grub.d";
    let drop_ins = draft.names(dir)?.into_iter().filter(|name| name.ends_with(".cfg"));
    let drop_ins = drop_ins.map(|name| format!("{dir}/{name}"));
    Ok([DEFAULTS.to_owned()].into_iter().chain(drop_ins).collect())
}

/// Says when parameters move between the normal entry and our own.
fn notes(draft: &mut Draft<'_>, parameters: &Cmdline, menu: bool) -> Result<(), Error> {
    let was_menu = !draft.root().names(ENTRIES)?.is_empty();
    if menu && !was_menu && !parameters.is_empty() {
        let before = super::parameters(&Draft::new(draft.root()))?;
        draft.note(match before.is_empty() {
            true => "The kernel parameters stand in the new boot entries only; the normal entry stays as it is.",
            false => "The kernel parameters stand in the new boot entries only; the normal entry loses them.",
        });
    } else if was_menu && !menu && !parameters.is_empty() {
        draft.note(
            "Without a boot menu of ours the remaining kernel parameters move to the normal entry.",
        );
    }
    Ok(())
}

/// Puts `settings` where `grub-mkconfig` reads them: a file of ours, or a block in the user's.
fn settle(draft: &mut Draft<'_>, boot: &Boot, settings: Option<&str>) -> Result<(), Error> {
    let (drop_in, block) = if boot.grub_drop_ins { (settings, None) } else { (None, settings) };
    match drop_in {
        Some(text) => draft.write(
            DROP_IN,
            format!("# Written by deploy-vfio; `deploy-vfio undo` takes it back.\n{text}"),
        )?,
        None => draft.remove(DROP_IN),
    }
    let Some(old) = draft.bytes(DEFAULTS)? else {
        // A system without the file gets one that holds the block alone.
        if let Some(text) = block {
            draft
                .write(DEFAULTS, edit::set_block(b"", text).map_err(|error| error.at(DEFAULTS))?)?;
        }
        return Ok(());
    };
    let new = match block {
        Some(text) => edit::set_block(&old, text).map_err(|error| error.at(DEFAULTS))?,
        None => edit::remove_block(&old),
    };
    if new != old {
        draft.write(DEFAULTS, new)?;
    }
    Ok(())
}

/// `GRUB_CMDLINE_LINUX_DEFAULT` as the user has it, and `parameters` after it.
fn append(parameters: &Cmdline) -> String {
    format!(
        "GRUB_CMDLINE_LINUX_DEFAULT=\"${{GRUB_CMDLINE_LINUX_DEFAULT:+$GRUB_CMDLINE_LINUX_DEFAULT }}\
         {parameters}\"\n"
    )
}

/// Makes an entry of ours the default, and the menu reachable: the normal entry is the way out.
fn boot_by_itself(id: &str) -> String {
    let id = shlex::try_quote(id).unwrap_or_default();
    format!(
        "GRUB_DEFAULT={id}\n\
         # The normal entry is the way out, so the menu must not be hidden.\n\
         if [ \"${{GRUB_TIMEOUT:-5}}\" = 0 ] || [ \"${{GRUB_TIMEOUT_STYLE:-menu}}\" = hidden ]; then\n\
         \tGRUB_TIMEOUT=5\n\
         \tGRUB_TIMEOUT_STYLE=menu\n\
         fi\n"
    )
}

//! An entry that is tried at one boot before it becomes the default.
//!
//! The default stays as it is. Besides, the menu gets an entry for the trial, and the menu's script
//! takes it once: where GRUB's variable names it, and only after GRUB has taken the name out again.
//! A kernel that panics there restarts by itself. Two units of ours go with it: one judges the boot
//! of the trial, one tells the story of a failed one at the next.

use vfio_core::{
    Result,
    change::{Draft, Unit},
    layout::{TRIAL, TRIAL_CONF, TRIAL_ENTRY, TRIAL_WORD},
};

use crate::{ENTRIES, Entry};

/// After how many seconds a kernel that panicked on trial starts the machine anew.
const PANIC: u32 = 30;

const UNITS: [Unit; 2] = [
    Unit {
        name: "deploy-vfio-trial.service",
        text: include_str!("../assets/deploy-vfio-trial.service"),
    },
    Unit {
        name: "deploy-vfio-trial-report.service",
        text: include_str!("../assets/deploy-vfio-trial-report.service"),
    },
];

/// Has the next boot try `entry`, which is one of those in `draft`. `about` is what its judge,
/// `program`, needs to know.
pub fn try_once(draft: &mut Draft<'_>, entry: &Entry, program: &str, about: &str) -> Result<()> {
    let mut trial = Entry {
        id: TRIAL_ENTRY.to_owned(),
        title: format!("On trial: {}", entry.title),
        ..entry.clone()
    };
    let words = format!("{TRIAL_WORD}=1 panic={PANIC}");
    trial.arguments.extend(&words.as_str().into());
    draft.write(TRIAL_CONF, trial.text())?;
    draft.write(TRIAL, about)?;
    for unit in UNITS {
        unit.enable(draft)?;
        // A unit's file takes a % for more.
        let program = program.replace('%', "%%");
        draft.write(&unit.path(), unit.text.replace("@PROGRAM@", &program))?;
    }
    Ok(())
}

/// Whether what is on trial is a setup without a menu: its entry is the only one of ours.
pub fn tries_no_menu(draft: &Draft<'_>) -> Result<bool> {
    Ok(draft.names(ENTRIES)? == [format!("{TRIAL_ENTRY}.conf")])
}

/// Takes a trial away, with its entry.
pub fn forget_trial(draft: &mut Draft<'_>) {
    draft.remove(TRIAL_CONF);
    draft.remove(TRIAL);
    UNITS.iter().for_each(|unit| unit.disable(draft));
}

//! What libvirt runs when guests start and stop: a program of ours behind `qemu.d`.
//!
//! Two features need it, each has a file that says so: the comforts ([`plan_comforts`]) and devices
//! that come and go with a guest ([`plan_devices`]). The program goes with the last of them. Nothing
//! else in `/etc/libvirt/hooks` is touched.

use vfio_core::{
    Result,
    change::{Draft, Image, Unit},
};

/// What the comforts are: the user's own from the first time on.
pub const SETTINGS: &str = "etc/deploy-vfio/hooks.toml";
/// That devices come and go with guests.
pub const DYNAMIC: &str = "etc/deploy-vfio/dynamic.toml";
const SETTINGS_TEXT: &str = include_str!("../assets/hooks.toml");
const DYNAMIC_TEXT: &str = "# Written by `deploy-vfio dynamic`: the devices of a guest are taken from the host when it starts.\n";

const HOOK: &str = "etc/libvirt/hooks/qemu.d/50-deploy-vfio";
const HOOK_TEXT: &str = include_str!("../assets/libvirt-hook");
const PROGRAM: &str = "usr/local/lib/deploy-vfio/guest-hook";
const NO_SLEEP: Unit = Unit {
    name: "deploy-vfio-nosleep@.service",
    text: include_str!("../assets/deploy-vfio-nosleep@.service"),
};
/// Where libvirt has a file `GUEST.pid` for each guest that runs.
const RUNNING: &str = "run/libvirt/qemu";
/// A hook of the user's, which runs before those in `qemu.d`.
const OTHER: &str = "etc/libvirt/hooks/qemu";

/// Plans what is done while guests run, with `program` to do it; or takes it away (`None`).
///
/// # Errors
///
/// A tree that cannot be read.
pub fn plan_comforts(draft: &mut Draft<'_>, program: Option<Vec<u8>>) -> Result<()> {
    let Some(program) = program else {
        draft.remove(SETTINGS);
        NO_SLEEP.disable(draft);
        return remove_unused(draft);
    };
    if draft.image(SETTINGS)? == Image::Absent {
        draft.write(SETTINGS, SETTINGS_TEXT)?;
    }
    NO_SLEEP.enable(draft)?;
    put(draft, program)
}

/// Plans that a guest's devices are taken when it starts and given back when it stops.
///
/// # Errors
///
/// A tree that cannot be read.
pub fn plan_devices(draft: &mut Draft<'_>, program: Option<Vec<u8>>) -> Result<()> {
    let Some(program) = program else {
        draft.remove(DYNAMIC);
        return remove_unused(draft);
    };
    draft.write(DYNAMIC, DYNAMIC_TEXT)?;
    put(draft, program)
}

fn put(draft: &mut Draft<'_>, program: Vec<u8>) -> Result<()> {
    draft.write_executable(HOOK, HOOK_TEXT)?;
    draft.write_executable(PROGRAM, program)?;
    if draft.image(OTHER)? != Image::Absent {
        draft.note(format!(
            "/{OTHER} is there: it runs before ours, and stays as it is; where it runs the programs in \
             qemu.d/GUEST too, `scripts = false` in /{SETTINGS} keeps them from running twice"
        ));
    }
    Ok(())
}

/// Takes the program away that nothing needs any more.
fn remove_unused(draft: &mut Draft<'_>) -> Result<()> {
    let is_there = |path: &str| Ok::<_, vfio_core::Error>(draft.image(path)? != Image::Absent);
    if is_there(SETTINGS)? || is_there(DYNAMIC)? {
        return Ok(());
    }
    let deployed = is_there(HOOK)?;
    draft.remove(HOOK);
    draft.remove(PROGRAM);
    let names = draft.root().names(RUNNING)?;
    let guests: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".pid")).collect();
    if deployed && !guests.is_empty() {
        draft.note(format!(
            "guests run: {}; what was done for them stays until the next boot, unless they stop first",
            guests.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vfio_core::{Root, change::Plan};

    use super::*;

    fn changes(draft: &Draft<'_>) -> Vec<String> {
        let plan: Plan = draft.clone().finish("x").unwrap();
        plan.changes.into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn b60_the_program_goes_with_the_last_feature_that_needs_it() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan_comforts(&mut draft, Some(b"program".to_vec())).unwrap();
        plan_devices(&mut draft, Some(b"program".to_vec())).unwrap();
        assert_eq!(changes(&draft).len(), 5);
        plan_comforts(&mut draft, None).unwrap();
        assert_eq!(changes(&draft), [DYNAMIC, HOOK, PROGRAM]);
        plan_devices(&mut draft, None).unwrap();
        assert!(changes(&draft).is_empty());
    }

    #[test]
    fn b61_both_kinds_of_daemon_are_told_and_none_is_restarted() {
        use vfio_core::change::{NoRebuild, Rebuild, Rebuilder};
        let host = Root::open("/").unwrap();
        let mut draft = Draft::new(&host);
        plan_comforts(&mut draft, Some(b"program".to_vec())).unwrap();
        let plan = draft.finish("x").unwrap();
        assert!(plan.is_empty() || plan.rebuilds().contains(&Rebuild::Hooks));
        let by_hand = NoRebuild.by_hand(&host, Rebuild::Hooks).concat();
        assert!(by_hand.contains("libvirtd") && by_hand.contains("virtqemud"), "{by_hand}");
        assert!(by_hand.contains("reload"), "guests that run are left alone: {by_hand}");
    }

    #[test]
    fn what_the_user_wrote_into_the_settings_stays() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        draft.write(SETTINGS, "[all]\ncpus = false\n").unwrap();
        plan_comforts(&mut draft, Some(b"program".to_vec())).unwrap();
        assert_eq!(draft.text(SETTINGS).unwrap().unwrap(), "[all]\ncpus = false\n");
    }
}

//! `/etc/libvirt/qemu.conf`, the one key `cgroup_device_acl`, and what AppArmor must let through.
//!
//! libvirt's own list is replaced by what this key says, so it must hold that list too. Invariants:
//! no other key is touched (a `user` or `nvram` of ours would change what guests run as, and from);
//! a list that the user has set is added to, else ours is a marked block.

use vfio_core::{
    Result,
    change::{
        Draft,
        edit::{self, EditError, Lists},
    },
    host::{Libvirt, Version},
};

use crate::{Error, Setup, setup::Form};

pub(crate) const QEMU_CONF: &str = "etc/libvirt/qemu.conf";
const KEY: &str = "cgroup_device_acl";

const LOCAL: &str = "etc/apparmor.d/local/abstractions/libvirt-qemu";
const ABSTRACTION: &str = "etc/apparmor.d/abstractions/libvirt-qemu";
const RULES: &str = "# keyboards and mice for guests: AppArmor sees where their names lead to\n\
                     /dev/input/event[0-9]* rw,\n";

/// What libvirt allows by itself (`defaultDeviceACL` of its `qemu_cgroup.c`).
const DEFAULTS: [&str; 7] =
    ["/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/kvm"];
/// And since this version.
const USERFAULTFD: (&str, Version) =
    ("/dev/userfaultfd", Version { major: 11, minor: 0, patch: 0 });

/// Lets guests open `devices`, and nothing that only `old` needed; tells which of them went into a
/// list of the user's own.
pub(crate) fn allow(
    draft: &mut Draft<'_>,
    devices: &[String],
    old: &Setup,
    libvirt: &Libvirt,
) -> Result<Vec<String>, Error> {
    if devices.is_empty() && old.form == Form::Native {
        return Ok(Vec::new());
    }
    let Some(text) = draft.bytes(QEMU_CONF)? else {
        return if devices.is_empty() { Ok(Vec::new()) } else { Err(Error::NoQemuConf) };
    };
    let (new, ours) = edited(&text, devices, old, libvirt.version).map_err(|e| e.at(QEMU_CONF))?;
    if new != text {
        draft.write(QEMU_CONF, new)?;
        draft.note(format!(
            "/{QEMU_CONF}, {KEY}: {}",
            match devices {
                [] => "without the devices again".to_owned(),
                devices => format!("with {}", devices.join(", ")),
            }
        ));
        let daemon = libvirt.daemon;
        draft.note(format!("{daemon} reads it when it starts: `sudo systemctl restart {daemon}`"));
    }
    Ok(ours)
}

fn edited(
    text: &[u8],
    devices: &[String],
    old: &Setup,
    libvirt: Option<Version>,
) -> Result<(Vec<u8>, Vec<String>), EditError> {
    let (mut rest, was_ours) = taken_back(text, old, libvirt)?;
    for path in was_ours.iter().filter(|path| !devices.contains(path)) {
        rest = Lists::Conf.remove(&rest, KEY, path);
    }
    if devices.is_empty() {
        return Ok((rest, Vec::new()));
    }
    let Some(theirs) = Lists::Conf.members(&rest, KEY)? else {
        let mut all = defaults(&rest, libvirt);
        all.extend(devices.iter().filter(|path| !all.contains(path)).cloned().collect::<Vec<_>>());
        return Ok((edit::set_block(text, &list(&all)?)?, Vec::new()));
    };
    let is_ours = |path: &&String| was_ours.contains(path) || !theirs.contains(path);
    let ours: Vec<String> = devices.iter().filter(is_ours).cloned().collect();
    for path in &ours {
        rest = Lists::Conf.add(&rest, KEY, path)?;
    }
    Ok((rest, ours))
}

/// The text without our block, and our devices in the list that is left. A block whose list the user
/// has added to is theirs from then on: its marks go, and only our devices leave the list.
fn taken_back(
    text: &[u8],
    old: &Setup,
    libvirt: Option<Version>,
) -> Result<(Vec<u8>, Vec<String>), EditError> {
    let rest = edit::remove_block(text);
    let Some(block) = edit::block(text) else {
        if !old.acl.is_empty() {
            // What cannot be read cannot be taken out either.
            Lists::Conf.members(&rest, KEY)?;
        }
        return Ok((rest, old.acl.clone()));
    };
    let devices: Vec<String> = old.devices.iter().map(|device| device.path.clone()).collect();
    let (userfaultfd, _) = USERFAULTFD;
    let mut known = defaults(&rest, libvirt);
    known.extend(DEFAULTS.into_iter().chain([userfaultfd]).map(str::to_owned));
    let held = Lists::Conf.members(&block, KEY)?.unwrap_or_default();
    if held.iter().all(|path| known.contains(path) || devices.contains(path)) {
        return Ok((rest, old.acl.clone()));
    }
    Ok((edit::release_block(text), [devices, old.acl.clone()].concat()))
}

/// The whole statement, checked by the reader that libvirt's rules are in.
fn list(paths: &[String]) -> Result<String, EditError> {
    let mut text = format!("{KEY} = [\n]\n").into_bytes();
    for path in paths {
        text = Lists::Conf.add(&text, KEY, path)?;
    }
    let lines: Vec<String> = paths.iter().map(|path| format!("    \"{path}\"")).collect();
    Ok(format!("{KEY} = [\n{}\n]\n", lines.join(",\n")))
}

/// The list that this very file shows as the default, else the one of that version.
fn defaults(text: &[u8], libvirt: Option<Version>) -> Vec<String> {
    commented(text).unwrap_or_else(|| {
        let (path, since) = USERFAULTFD;
        let more = libvirt.is_none_or(|version| version >= since).then_some(path);
        DEFAULTS.into_iter().chain(more).map(str::to_owned).collect()
    })
}

fn commented(text: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let bare = |line: &str| line.trim().strip_prefix('#').map(|rest| rest.trim().to_owned());
    let lines = text.lines().map(bare).skip_while(|line| {
        let value = line.as_deref().and_then(|line| line.strip_prefix(KEY));
        !value.is_some_and(|value| value.trim_start().starts_with('='))
    });
    let mut statement = String::new();
    for line in lines {
        statement += &line?;
        statement.push('\n');
        if statement.trim_end().ends_with(']') {
            let found = Lists::Conf.members(statement.as_bytes(), KEY).ok().flatten();
            return found.filter(|found| !found.is_empty());
        }
    }
    None
}

/// Lets AppArmor let guests open event nodes, or takes that back; tells which file is new.
pub(crate) fn confine(
    draft: &mut Draft<'_>,
    wanted: bool,
    old: &Setup,
) -> Result<Vec<String>, Error> {
    let before = draft.bytes(LOCAL)?;
    let made = old.made.iter().any(|path| path == LOCAL);
    if wanted && draft.bytes(ABSTRACTION)?.is_some() {
        let text = before.clone().unwrap_or_default();
        let new = edit::set_block(&text, RULES).map_err(|error| error.at(LOCAL))?;
        if before.as_ref() != Some(&new) {
            draft.write(LOCAL, new)?;
        }
        let is_new = made || before.is_none();
        return Ok(is_new.then(|| LOCAL.to_owned()).into_iter().collect());
    }
    if let Some(text) = before.filter(|_| old.form == Form::CommandLine) {
        match edit::remove_block(&text) {
            rest if rest.is_empty() && made => draft.remove(LOCAL),
            rest if rest != text => draft.write(LOCAL, rest)?,
            _ => {}
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "# Sample.\n#user = \"libvirt-qemu\"\n\nvnc_tls = 1 # mine\n#\n\
        #cgroup_device_acl = [\n#    \"/dev/null\", \"/dev/full\",\n#    \"/dev/kvm\"\n#]\n#\n\
        #   \"/dev/infiniband/rdma_cm\",\n#nvram = [\n#  \"a:b\"\n#]\n";

    const KBD: &str = "/dev/input/by-id/k-event-kbd";

    fn with(text: &str, devices: &[&str], old: &Setup) -> (String, Vec<String>) {
        let devices: Vec<String> = devices.iter().map(|path| (*path).to_owned()).collect();
        let (new, ours) = edited(text.as_bytes(), &devices, old, None).unwrap();
        (String::from_utf8(new).unwrap(), ours)
    }

    fn old(acl: &[String]) -> Setup {
        let device = |path: &str| crate::Device { path: path.to_owned(), keyboard: true };
        let devices = acl.iter().map(|path| device(path)).chain([device(KBD)]).collect();
        Setup { form: Form::CommandLine, devices, acl: acl.to_vec(), ..Setup::default() }
    }

    #[test]
    fn b42_only_the_one_key_is_set_and_every_other_byte_stays() {
        let (new, ours) = with(SAMPLE, &[KBD], &Setup::default());
        let block = format!(
            "# >>> deploy-vfio >>>\ncgroup_device_acl = [\n    \"/dev/null\",\n    \"/dev/full\",\n    \
             \"/dev/kvm\",\n    \"{KBD}\"\n]\n# <<< deploy-vfio <<<\n"
        );
        assert_eq!(new, format!("{SAMPLE}{block}"));
        assert!(ours.is_empty());
        assert_eq!(with(&new, &[KBD], &old(&[])).0, new, "b44: twice is once");
        assert_eq!(with(&new, &[], &old(&[])).0, SAMPLE);
    }

    #[test]
    fn b42_a_list_of_the_users_own_is_added_to() {
        let own = SAMPLE.replace("vnc_tls = 1", "cgroup_device_acl = [ \"/dev/kvm\", \"/dev/x\" ]");
        let (new, ours) = with(&own, &["/dev/x", KBD], &Setup::default());
        assert_eq!(new, own.replace("\"/dev/x\" ]", &format!("\"/dev/x\", \"{KBD}\" ]")));
        assert_eq!(ours, [KBD], "what was there is not ours");
        assert_eq!(with(&new, &["/dev/x", KBD], &old(&ours)), (new.clone(), ours.clone()));
        assert_eq!(with(&new, &[], &old(&ours)).0, own);
        let (other, ours) = with(&new, &["/dev/y"], &old(&ours));
        assert_eq!(other, new.replace(KBD, "/dev/y"));
        assert_eq!(ours, ["/dev/y"]);
    }

    #[test]
    fn b44_a_list_that_the_user_sets_later_takes_the_place_of_our_block() {
        let (new, _) = with(SAMPLE, &[KBD], &Setup::default());
        let (new, ours) = with(&(new + "cgroup_device_acl = []\n"), &[KBD], &old(&[]));
        assert_eq!(new, format!("{SAMPLE}cgroup_device_acl = [\"{KBD}\"]\n"));
        assert_eq!(ours, [KBD]);
    }

    #[test]
    fn b44_a_block_that_the_user_added_to_is_theirs() {
        let (new, _) = with(SAMPLE, &[KBD], &Setup::default());
        let edited = new.replace(KBD, &format!("{KBD}\",\n    \"/dev/mine"));
        let (off, _) = with(&edited, &[], &old(&[]));
        let list = "cgroup_device_acl = [\n    \"/dev/null\",\n    \"/dev/full\",\n    \"/dev/kvm\",\n    \
                    \"/dev/mine\"\n]\n";
        assert_eq!(off, format!("{SAMPLE}{list}"));
        let (again, ours) = with(&edited, &[KBD], &old(&[]));
        assert_eq!(ours, [KBD], "a list of the user's own, with ours in it");
        assert_eq!(with(&again, &[], &old(&ours)).0, off);
    }

    #[test]
    fn b44_what_cannot_be_read_is_not_said_to_be_clean() {
        let broken = format!("cgroup_device_acl = [ \"/dev/x\", \"{KBD}\"\n");
        let off = edited(broken.as_bytes(), &[], &old(&[KBD.to_owned()]), None);
        assert_eq!(off.unwrap_err(), EditError::Grammar);
        let (new, _) = with(SAMPLE, &[KBD], &Setup::default());
        let broken = new.replace("\n]\n# <<<", "\n# <<<");
        let off = edited(broken.as_bytes(), &[], &old(&[]), None);
        assert_eq!(off.unwrap_err(), EditError::Grammar);
    }

    #[test]
    fn without_a_list_in_comments_it_is_that_of_the_version() {
        let version = |text: &str| text.parse::<Version>().ok();
        let has = |libvirt| defaults(b"# nothing\n", libvirt).contains(&"/dev/userfaultfd".into());
        assert!(!has(version("10.0.0")) && has(version("11.3.0")) && has(None));
        assert_eq!(defaults(b"#cgroup_device_acl = [\n# \"/dev/a\"\nx = 1\n#]\n", None).len(), 8);
    }

    #[test]
    fn what_libvirt_could_not_read_is_refused() {
        let error = |text: &str, path: &str| {
            edited(text.as_bytes(), &[path.to_owned()], &Setup::default(), None).unwrap_err()
        };
        assert_eq!(error("cgroup_device_acl = \"x\"\n", KBD), EditError::NotAList);
        assert_eq!(error("user = \n", KBD), EditError::Grammar);
        assert_eq!(error("", "/dev/input/\"x"), EditError::Member);
    }

    proptest! {
        #[test]
        fn every_other_byte_stays(
            before in "(#[ -~]{0,20}\r?\n|[a-b]{1,5} = ('[^'\\x00\\r\\n]{0,5}'|[0-9]{1,4})\n){0,6}",
            own in prop::option::of("[ \n]{0,2}('/dev/[a-z]{1,3}',[ \n]{0,2}){0,3}"),
            after in "(\n#[ -~]{0,20}){0,2}",
            path in "/dev/input/by-id/[!#-~]{1,9}",
        ) {
            let own = own.map(|items| format!("{KEY} = [{items}]"));
            let text = format!("{before}{}{after}", own.unwrap_or_default());
            let (new, ours) = with(&text, &[&path], &Setup::default());
            let members = Lists::Conf.members(new.as_bytes(), KEY).unwrap().unwrap();
            prop_assert!(members.contains(&path));
            let mut deployed = old(&ours);
            deployed.devices[0].path = path.clone();
            prop_assert_eq!(with(&new, &[&path], &deployed).0, new.clone());
            prop_assert_eq!(with(&new, &[], &deployed).0, text);
        }
    }
}

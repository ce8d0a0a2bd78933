//! Files of the user's that we edit: what is not ours stays.

use vfio_core::change::edit::{
    Lists, block as find, conf_value as value, release_block, remove_block, set_block,
    shell_assignment as assigned,
};

/// A block of ours in any file.
pub fn block(text: &[u8]) {
    let _ = (find(text), release_block(text));
    if let Ok(with) = set_block(text, "a=1\n") {
        assert_eq!(find(&with).as_deref(), Some(&b"a=1\n"[..]));
        assert_eq!(set_block(&with, "a=1\n").ok().as_ref(), Some(&with), "twice is once");
        if find(text).is_none() {
            assert_eq!(remove_block(&with), text, "taken back");
        }
    }
}

/// What a shell would make of a variable.
pub fn shell_assignment(text: &[u8]) {
    for key in ["GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_DEFAULT", "A"] {
        if let Some(value) = assigned(text, key) {
            assert!(value.len() <= text.len().saturating_mul(text.len().max(2)), "grew");
        }
    }
}

/// A value of qemu.conf.
pub fn conf_value(text: &[u8]) {
    let _ = value(text, "user");
}

/// A list of qemu.conf.
pub fn qemu_conf(text: &[u8]) {
    member(Lists::Conf, text, "cgroup_device_acl", "/dev/input/by-id/x");
}

/// A group of /etc/group.
pub fn groups(text: &[u8]) {
    member(Lists::Groups, text, "kvm", "anna");
}

/// A member is added once, and taken away again.
fn member(lists: Lists, text: &[u8], list: &str, name: &str) {
    let Ok(Some(before)) = lists.members(text, list) else { return };
    let Ok(with) = lists.add(text, list, name) else { return };
    let now = lists.members(&with, list).ok().flatten().unwrap_or_default();
    assert!(now.iter().any(|member| member == name), "not added: {now:?}");
    assert!(before.iter().all(|member| now.contains(member)), "lost: {before:?} {now:?}");
    assert_eq!(lists.add(&with, list, name).ok().as_ref(), Some(&with), "twice is once");
    if !before.iter().any(|member| member == name) {
        let without = lists.remove(&with, list, name);
        assert_eq!(lists.members(&without, list).ok().flatten(), Some(before), "taken back");
    }
}

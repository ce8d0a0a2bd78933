//! A rebuild that would take along what nobody planned is refused.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::{fs, path::Path};

use vfio_core::{
    Advice, Error, Root,
    change::{Artefact, Draft, Rebuild},
};
use vfio_grub::{Entry, Expected, set_entries, verify};

const LIVE: &str = "boot/grub/grub.cfg";
const STAGED: &str = "boot/grub/.grub.cfg.dv-000001.new~";
const FRAGMENT: &str = "etc/deploy-vfio/cmdline.d/20-pages.conf";
const FIRST: &str = "something besides this plan changed since they were built: run `update-grub` \
                     and `update-initramfs -u -k all`, see that the machine boots, then try again";

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn entry(id: &str, words: &str) -> String {
    format!(
        "menuentry 'x' $menuentry_id_option '{id}' {{\n\tlinux /boot/vmlinuz-6.1 {words}\n\
         \tinitrd /boot/initrd.img-6.1\n}}\n"
    )
}

fn normal(words: &str) -> String {
    entry("gnulinux-simple-u", words)
}

fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("boot/vmlinuz-6.1", "k"),
        ("boot/initrd.img-6.1", "i"),
        ("etc/default/grub", "GRUB_TIMEOUT=5\n"),
    ] {
        write(dir.path(), path, text);
    }
    dir
}

/// What is wrong with `new` in the place of `old`, for the plan that `draft` makes.
fn faults(old: &str, new: &str, plan: impl Fn(&mut Draft<'_>)) -> Vec<String> {
    let dir = machine();
    write(dir.path(), LIVE, old);
    write(dir.path(), STAGED, new);
    let root = Root::open(dir.path()).unwrap();
    let mut draft = Draft::new(&root);
    plan(&mut draft);
    let expected = Expected::of(&draft).unwrap();
    because(&root, &[menu()], &expected)
}

fn menu() -> Artefact {
    Artefact {
        what: Rebuild::BootMenu,
        path: LIVE.to_owned(),
        staged: STAGED.to_owned(),
        listing: None,
        replaces: None,
    }
}

fn because(root: &Root, staged: &[Artefact], expected: &Expected) -> Vec<String> {
    match verify(root, staged, expected) {
        Ok(()) => Vec::new(),
        Err(error @ Error::Unverified { .. }) => error.because(),
        Err(error) => panic!("{error}"),
    }
}

fn pages(draft: &mut Draft<'_>) {
    draft.write(FRAGMENT, "hugepages=2\n").unwrap();
}

#[test]
fn b3_the_normal_entry_changes_by_what_is_planned_and_by_nothing_else() {
    let old = normal("root=UUID=u ro quiet");
    assert!(faults(&old, &normal("root=UUID=u ro quiet hugepages=2"), pages).is_empty());
    let more = normal("root=UUID=u ro quiet nomodeset hugepages=2");
    let told = "the normal entry `x` would boot `/boot/vmlinuz-6.1 root=UUID=u ro quiet nomodeset`, \
                not `/boot/vmlinuz-6.1 root=UUID=u ro quiet`";
    assert_eq!(faults(&old, &more, pages), [told, FIRST]);
    let other = more.replace("UUID=u", "UUID=v").replace("vmlinuz-6.1", "vmlinuz-6.2");
    assert!(faults(&old, &other, pages)[0].contains("vmlinuz-6.2 root=UUID=v"));
}

#[test]
fn parameters_that_go_are_ours_too() {
    let dir = machine();
    write(dir.path(), FRAGMENT, "hugepages=2\n");
    write(dir.path(), LIVE, &normal("root=UUID=u ro hugepages=2"));
    write(dir.path(), STAGED, &normal("root=UUID=u ro"));
    let root = Root::open(dir.path()).unwrap();
    let mut draft = Draft::new(&root);
    draft.remove(FRAGMENT);
    let expected = Expected::of(&draft).unwrap();
    // The engine has put the files in place when it asks.
    fs::remove_file(dir.path().join(FRAGMENT)).unwrap();
    assert!(because(&root, &[menu()], &expected).is_empty());
}

#[test]
fn a_plan_that_changes_grubs_settings_may_change_every_entry() {
    let old = normal("root=UUID=u ro quiet");
    let new = normal("root=UUID=u ro quiet nomodeset");
    let path = "etc/default/grub.d/mine.cfg";
    assert!(faults(&old, &new, |draft| draft.write(path, "A=1\n").unwrap()).is_empty());
    let block = |draft: &mut Draft<'_>| {
        let text = draft.bytes("etc/default/grub").unwrap().unwrap();
        let text = vfio_core::change::edit::set_block(&text, "GRUB_DEFAULT=x\n").unwrap();
        draft.write("etc/default/grub", text).unwrap();
    };
    assert_eq!(faults(&old, &new, block).len(), 2, "a block of ours is no word of the user's");
}

#[test]
fn other_systems_entries_are_nobodys_business() {
    let other = |words| normal("root=UUID=u ro") + &entry("osprober-gnulinux-y", words);
    let faults = faults(&other("root=UUID=o ro"), &other("root=UUID=o ro single"), pages);
    assert_eq!(faults.len(), 1, "the parameter is missing: {faults:?}");
}

#[test]
fn b4_an_entry_of_ours_has_the_root_of_the_normal_ones() {
    let old = normal("root=UUID=u ro");
    let with = |root: &str| old.clone() + &entry("deploy-vfio-one", &format!("root={root} ro a=1"));
    let plan = |draft: &mut Draft<'_>| {
        let one =
            Entry { id: "deploy-vfio-one".to_owned(), arguments: "a=1".into(), ..Entry::default() };
        set_entries(draft, &[one], None).unwrap();
    };
    assert!(faults(&old, &with("UUID=u"), plan).is_empty());
    let told = "entry `deploy-vfio-one` has another root than the normal entries";
    assert_eq!(faults(&old, &with("UUID=v"), plan), [told]);
}

const OLD: &[&str] = &[
    "usr/lib/modules/6.1/kernel/fs/ext4/ext4.ko",
    "usr/lib/modules/6.1/kernel/drivers/block/virtio_blk.ko.xz",
    "usr/lib/modules/6.1/kernel/drivers/usb/storage/uas.ko",
    "usr/lib/modules/6.1/kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko",
    "usr/lib/modules/6.1/kernel/fs/btrfs",
    "usr/sbin/cryptsetup",
];

#[test]
fn b6_an_image_opens_the_disks_that_it_opened() {
    let dir = machine();
    for module in ["ext4", "virtio_blk", "amdgpu"] {
        fs::create_dir_all(dir.path().join("sys/module").join(module)).unwrap();
    }
    write(dir.path(), LIVE, &normal("root=UUID=u ro"));
    let root = Root::open(dir.path()).unwrap();
    let expected = Expected::of(&Draft::new(&root)).unwrap();
    let list = |files: &[&str]| Some(files.iter().map(|file| (*file).to_owned()).collect());
    let faults = |new: &[&str]| {
        let image = Artefact {
            what: Rebuild::Initramfs,
            path: "boot/initrd.img-6.1".to_owned(),
            staged: "boot/.initrd.img-6.1.x.new~".to_owned(),
            listing: list(new),
            replaces: list(OLD),
        };
        because(&root, &[image], &expected)
    };
    let packed_otherwise = [
        "lib/modules/6.1/kernel/fs/ext4/ext4.ko.zst",
        "lib/modules/6.1/kernel/drivers/block/virtio_blk.ko",
        "sbin/cryptsetup",
    ];
    assert!(faults(&packed_otherwise).is_empty(), "what is not loaded, or shows pictures, may go");
    let told = "/boot/initrd.img-6.1 would be without cryptsetup, ext4.ko, virtio_blk.ko, which it \
                has now";
    assert_eq!(faults(&["init"]), [told, FIRST]);
}

/// People copy the normal entry, with its id, to try other words.
#[test]
fn a_copy_of_the_normal_entry_is_the_user_s() {
    let copy = normal("root=UUID=u ro nomodeset");
    let old = normal("root=UUID=u ro quiet") + &copy;
    let pages_in = normal("root=UUID=u ro quiet hugepages=2") + &copy;
    assert_eq!(faults(&old, &pages_in, pages), Vec::<String>::new());
    let moved = normal("root=UUID=u ro quiet hugepages=2") + &normal("root=UUID=u ro");
    assert_eq!(faults(&old, &moved, pages).len(), 2, "what the copy boots is kept too");
}

/// An entry of another system stands before ours, and its files are on another disk.
#[test]
fn another_system_s_entry_may_come_first() {
    let other =
        "menuentry 'Arch' {\n\tlinux /vmlinuz-linux root=UUID=v rw\n\tinitrd /arch.img\n}\n";
    let old = other.to_owned() + &normal("root=UUID=u ro");
    let new = other.to_owned() + &normal("root=UUID=u ro hugepages=2");
    assert_eq!(faults(&old, &new, pages), Vec::<String>::new());
    // With nothing else to look at, it is looked at, and named.
    let found = faults(other, other, |_| ());
    assert!(found.iter().any(|fault| fault.starts_with("entry `Arch` needs /boot/")), "{found:?}");
}

/// The menu's generator leaves what is on trial out where it does not find the disk of its note.
#[test]
fn what_is_on_trial_must_be_in_the_menu() {
    let trial = |draft: &mut Draft<'_>| draft.write("etc/deploy-vfio/trial.toml", "").unwrap();
    let menu = normal("root=UUID=u ro");
    let found = faults(&menu, &menu, trial);
    assert!(found.iter().any(|fault| fault.contains("on trial")), "{found:?}");
    let takes = format!("if [ \"${{dv_next}}\" ] ; then\n\ttrue\nfi\n{menu}");
    assert_eq!(faults(&menu, &takes, trial), Vec::<String>::new());
}

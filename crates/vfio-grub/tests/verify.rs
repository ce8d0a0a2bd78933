//! Generated menus and images of a setup without a menu of ours, held against what was planned.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees")]

use std::fs;

use vfio_core::{
    Advice, Error, Result, Root,
    change::{Artefact, Draft, Rebuild},
    layout::MODPROBE,
};
use vfio_grub::{Expected, verify, way_back};

const WORDS: &str = "deploy_vfio.entry=static-headless deploy_vfio.bind=0000:01:00.0=10de:2484";

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in
        files.iter().chain(&[("boot/vmlinuz-6.1", "k"), ("boot/initrd.img-6.1", "i")])
    {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// What Debian's 10_linux makes, a recovery entry and a memory test beside it.
fn menu(normal: &str, recovery: &str, memory_test: &str) -> String {
    let entry = |id: &str, kernel: &str, words: &str| {
        format!(
            "menuentry 'x' $menuentry_id_option '{id}' {{\n\tlinux {kernel} {words}\n\
             \tinitrd /boot/initrd.img-6.1\n}}\n"
        )
    };
    let (linux, root) = ("/boot/vmlinuz-6.1", "root=UUID=u ro quiet");
    entry("gnulinux-simple-u", linux, &format!("{root} {normal}"))
        + &entry("gnulinux-6.1-recovery-u", linux, &format!("root=UUID=u ro single {recovery}"))
        + &entry("memtest86+", "/boot/memtest86+x64.bin", memory_test)
}

fn because(result: Result<()>) -> Vec<String> {
    match result {
        Ok(()) => Vec::new(),
        Err(error @ Error::Unverified { .. }) => error.because(),
        Err(error) => panic!("{error}"),
    }
}

/// The faults of a menu for a setup without a menu of ours.
fn faults(cfg: &str) -> Vec<String> {
    let (_dir, root) =
        tree(&[("etc/deploy-vfio/cmdline.d/15-static.conf", WORDS), ("boot/grub/grub.cfg", cfg)]);
    because(verify(&root, &[], &Expected::of(&Draft::new(&root)).unwrap()))
}

#[test]
fn the_normal_entry_has_the_parameters_and_nothing_else_needs_them() {
    assert!(faults(&menu(WORDS, "", "")).is_empty());
    let lacking = faults(&menu("", "", ""));
    assert_eq!(lacking.len(), 2, "{lacking:?}");
    assert!(lacking[0].contains("lacks `deploy_vfio.entry=static-headless`"), "{lacking:?}");
    let foreign = ["the normal entry `x` would bind devices"];
    assert_eq!(faults(&menu(WORDS, WORDS, "")), foreign, "the recovery entry is the way back");
    let other = format!("{WORDS} deploy_vfio.bind=0000:09:00.0=1:2");
    assert_eq!(faults(&menu(&other, "", "")), foreign);
}

fn image(files: &[&str]) -> Artefact {
    Artefact {
        what: Rebuild::Initramfs,
        path: "boot/initrd.img-6.1".to_owned(),
        staged: "boot/.initrd.img-6.1.x.new~".to_owned(),
        listing: Some(files.iter().map(|file| (*file).to_owned()).collect()),
        replaces: None,
    }
}

const MODULE: &str = "usr/lib/modules/6.1/kernel/drivers/vfio/pci/vfio-pci.ko";

#[test]
fn the_image_of_the_normal_entry_holds_script_and_module() {
    let cfg = menu(WORDS, "", "");
    let (_dir, root) =
        tree(&[("etc/deploy-vfio/cmdline.d/15-static.conf", WORDS), ("boot/grub/grub.cfg", &cfg)]);
    let expected = Expected::of(&Draft::new(&root)).unwrap();
    let faults = |files: &[&str]| because(verify(&root, &[image(files)], &expected));
    assert!(faults(&["scripts/init-top/deploy-vfio", MODULE]).is_empty());
    assert_eq!(
        faults(&["scripts/init-top/ORDER"]),
        [
            "/boot/initrd.img-6.1 for entry `gnulinux-simple-u` lacks scripts/init-top/deploy-vfio vfio-pci"
        ]
    );
}

#[test]
fn an_older_kernel_without_vfio_pci_is_left_alone() {
    let old = "menuentry 'old' $menuentry_id_option 'gnulinux-5.4-advanced-u' {\n\
               \tlinux /boot/vmlinuz-5.4 root=UUID=u WORDS\n\tinitrd /boot/initrd.img-5.4\n}\n";
    let cfg = menu(WORDS, "", "") + &old.replace("WORDS", WORDS);
    let (_dir, root) = tree(&[
        ("etc/deploy-vfio/cmdline.d/15-static.conf", WORDS),
        ("boot/grub/grub.cfg", &cfg),
        ("boot/vmlinuz-5.4", "k"),
        ("lib/modules/5.4/modules.dep", "kernel/fs/ext4/ext4.ko:\n"),
    ]);
    let expected = Expected::of(&Draft::new(&root)).unwrap();
    let old = Artefact { path: "boot/initrd.img-5.4".to_owned(), ..image(&["scripts/x"]) };
    let new = image(&["scripts/init-top/deploy-vfio", MODULE]);
    assert!(because(verify(&root, &[old, new], &expected)).is_empty());
}

#[test]
fn with_files_the_image_holds_options_and_module_whatever_boots_it() {
    let (_dir, root) = tree(&[(MODPROBE, "options vfio-pci ids=10de:2484\n")]);
    let expected = Expected::of(&Draft::new(&root)).unwrap();
    let faults = |files: &[&str]| because(verify(&root, &[image(files)], &expected));
    assert!(faults(&[MODPROBE, MODULE]).is_empty(), "no menu of GRUB's is needed");
    assert_eq!(
        faults(&["etc/modprobe.d/local.conf"]),
        ["/boot/initrd.img-6.1 lacks etc/modprobe.d/deploy-vfio.conf vfio-pci"]
    );
    let unlisted = Artefact { listing: None, ..image(&[]) };
    assert!(because(verify(&root, &[unlisted], &expected)).is_empty(), "nobody can tell");
}

#[test]
fn the_way_back_is_one_that_is_there() {
    let of = |files: &[(&str, &str)]| {
        let (_dir, root) = tree(files);
        way_back(&Draft::new(&root)).unwrap()
    };
    let off = ("etc/default/grub", "GRUB_DISABLE_RECOVERY=\"true\"\n");
    assert!(of(&[]).contains("GRUB's recovery entry") && of(&[]).contains("deploy_vfio.off"));
    assert!(of(&[off]).contains("GRUB_DISABLE_RECOVERY leaves no recovery entry"));
    let on = ("etc/default/grub.d/x.cfg", "GRUB_DISABLE_RECOVERY=false\n");
    assert!(of(&[off, on]).contains("GRUB's recovery entry"));
    let by_id = ("etc/deploy-vfio/cmdline.d/15-static.conf", "vfio-pci.ids=10de:2484");
    assert!(of(&[by_id]).contains("take `vfio-pci.ids=` out of"));
}

//! The hook that looks at every new initramfs, run by the real shell with a stand-in for lsinitramfs.
#![allow(clippy::disallowed_methods, reason = "a test makes its own trees and runs the real shell")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

const SCRIPT: &str = include_str!("../assets/post-update-deploy-vfio");
const HOOK: &str = "etc/initramfs/post-update.d/deploy-vfio";
const NOTE: &str = "var/lib/deploy-vfio/unfit/6.1.0-9-amd64";
const WHOLE: &str = "usr/lib/modules/6.1.0-9-amd64/kernel/drivers/vfio/pci/vfio-pci.ko.xz\n\
                     scripts/init-top/deploy-vfio\n";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for dir in ["bin", "etc/initramfs/post-update.d", "var/lib/deploy-vfio", "boot"] {
            fs::create_dir_all(tree.at(dir)).unwrap();
        }
        fs::create_dir_all(tree.at("etc/initramfs-tools/scripts/init-top")).unwrap();
        fs::create_dir_all(tree.at("lib/modules/6.1.0-9-amd64")).unwrap();
        fs::write(tree.at("etc/initramfs-tools/scripts/init-top/deploy-vfio"), "").unwrap();
        tree.program("bin/lsinitramfs", "#!/bin/sh\nexec cat \"$1\"\n");
        tree.program(HOOK, SCRIPT);
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn program(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new("/bin/sh");
        command.arg(self.at(HOOK)).args(words).env_clear().env("PATH", path);
        command.output().unwrap()
    }

    /// Runs it on an initramfs with these files; what it says.
    fn made(&self, list: &str) -> String {
        let image = self.at("boot/initrd.img-6.1.0-9-amd64");
        fs::write(&image, list).unwrap();
        let output = self.run(&["6.1.0-9-amd64", image.to_str().unwrap()]);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn what_is_lacking_is_noted_and_said_until_it_is_there() {
    let tree = Tree::new();
    assert_eq!(tree.made(WHOLE), "");
    assert!(!tree.at(NOTE).exists());
    let said = tree.made("scripts/init-top/deploy-vfio\n");
    assert!(said.contains("of Linux 6.1.0-9-amd64 lacks vfio-pci:"), "{said}");
    assert_eq!(fs::read_to_string(tree.at(NOTE)).unwrap(), "vfio-pci\n");
    tree.made("conf/initramfs.conf\n");
    let lacks = "the script that binds devices and vfio-pci\n";
    assert_eq!(fs::read_to_string(tree.at(NOTE)).unwrap(), lacks);
    assert_eq!(tree.made(WHOLE), "");
    assert!(!tree.at(NOTE).exists());
}

#[test]
fn a_module_that_is_part_of_the_kernel_is_there() {
    let tree = Tree::new();
    let builtin = tree.at("lib/modules/6.1.0-9-amd64/modules.builtin");
    fs::write(builtin, "kernel/drivers/vfio/pci/vfio-pci.ko\n").unwrap();
    assert_eq!(tree.made("scripts/init-top/deploy-vfio\n"), "");
}

#[test]
fn nothing_is_said_where_nothing_is_deployed_or_known() {
    let tree = Tree::new();
    for words in [&[][..], &["6.1"], &["../x", "/etc/passwd"], &["6.1", "/nowhere"], &["", ""]] {
        let output = tree.run(words);
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    }
    fs::remove_file(tree.at("etc/initramfs-tools/scripts/init-top/deploy-vfio")).unwrap();
    assert_eq!(tree.made(""), "");
    assert!(!tree.at("var/lib/deploy-vfio/unfit").exists());
}

/// dracut has no hooks of its own; those of kernels run after it.
#[test]
fn a_kernel_s_hook_looks_at_what_dracut_made() {
    let tree = Tree::new();
    let hook = "etc/kernel/postinst.d/zy-deploy-vfio";
    fs::create_dir_all(tree.at("etc/kernel/postinst.d")).unwrap();
    fs::create_dir_all(tree.at("usr/lib/dracut/modules.d/90deploy-vfio")).unwrap();
    fs::write(tree.at("usr/lib/dracut/modules.d/90deploy-vfio/bind"), "").unwrap();
    fs::remove_dir_all(tree.at("etc/initramfs-tools")).unwrap();
    fs::remove_file(tree.at("bin/lsinitramfs")).unwrap();
    tree.program(
        "bin/lsinitrd",
        "#!/bin/sh\nsed 's,^,-rw-r--r-- 1 root root 9 Jan 1 1970 ,' \"$1\"\n",
    );
    tree.program(hook, SCRIPT);
    for (list, noted) in [("usr/bin/true\n", true), (WHOLE, false)] {
        fs::write(tree.at("boot/initrd.img-6.1.0-9-amd64"), list).unwrap();
        let path = format!("{}:/usr/bin:/bin", tree.at("bin").display());
        let mut command = Command::new("/bin/sh");
        command.arg(tree.at(hook)).args(["6.1.0-9-amd64", "/boot/vmlinuz-6.1.0-9-amd64"]);
        assert!(command.env_clear().env("PATH", path).status().unwrap().success());
        assert_eq!(tree.at(NOTE).exists(), noted, "{list}");
    }
}

//! The trees and operations that faults are tried on.
//!
//! One small Debian-like tree serves all; what differs is what is done to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tree::{FileNode, Node, Tree};

/// One operation on a prepared tree.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What is done before, without faults.
    pub before: &'static [Step],
    /// What the faults happen to.
    pub verb: Verb,
    /// Part of the quick run.
    pub quick: bool,
}

impl Scenario {
    /// Every scenario there is.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        ALL.iter().chain(super::commands::ALL)
    }

    /// Whether it is a command of ours on a described machine, and not a draft on a small tree.
    pub fn is_command(&self) -> bool {
        let first = self.before.first().map_or(Run(self.verb), |step| *step);
        matches!(first, Run(Verb::Words(_)))
    }

    /// Whether programs of the tree rebuild initramfs and boot menu.
    pub fn rebuilds(&self) -> bool {
        self.name.starts_with("boot-")
    }
}

/// A command of the program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Apply(&'static str),
    Undo,
    /// Undo of every operation.
    UndoAll,
    /// Undo around what a user edited.
    UndoKeep,
    Redo,
    Recover,
    /// A command as it is typed.
    Words(&'static str),
}

impl Verb {
    /// Whether the same again finds nothing to do, or does it once more on a tree that is as before.
    pub fn repeats(self) -> bool {
        self == Self::UndoAll || (self.is_fresh() && self != Self::Redo)
    }

    /// Whether it writes files with the time of the run.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Apply(_) | Self::Redo | Self::Words(_))
    }
}

/// One step of preparation.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Run(Verb),
    /// A user appends a line to a file.
    Edit(&'static str),
}

use Step::{Edit, Run};
use Verb::{Apply, Redo, Undo, UndoAll, UndoKeep};

/// Drafts on a small tree.
const ALL: &[Scenario] = &[
    Scenario { name: "drop-ins-apply", before: &[], verb: Apply("drop-ins"), quick: false },
    Scenario { name: "replace-apply", before: &[], verb: Apply("replace"), quick: false },
    Scenario { name: "delete-apply", before: &[], verb: Apply("delete"), quick: false },
    Scenario { name: "link-apply", before: &[], verb: Apply("link"), quick: false },
    Scenario { name: "mixed-apply", before: &[], verb: Apply("mixed"), quick: true },
    Scenario {
        name: "second-apply",
        before: &[Run(Apply("mixed"))],
        verb: Apply("second"),
        quick: false,
    },
    Scenario { name: "drop-ins-undo", before: &[Run(Apply("drop-ins"))], verb: Undo, quick: false },
    Scenario { name: "mixed-undo", before: &[Run(Apply("mixed"))], verb: Undo, quick: false },
    Scenario {
        name: "all-undo",
        before: &[Run(Apply("mixed")), Run(Apply("second"))],
        verb: UndoAll,
        quick: true,
    },
    Scenario {
        name: "second-undo",
        before: &[Run(Apply("mixed")), Run(Apply("second"))],
        verb: Undo,
        quick: false,
    },
    Scenario {
        name: "edited-undo",
        before: &[Run(Apply("mixed")), Edit("etc/modprobe.d/thing.conf")],
        verb: Undo,
        quick: false,
    },
    Scenario {
        name: "kept-undo",
        before: &[
            Run(Apply("mixed")),
            Edit("etc/modprobe.d/thing.conf"),
            Edit("etc/libvirt/new/deep/one.conf"),
        ],
        verb: UndoKeep,
        quick: false,
    },
    Scenario {
        name: "mixed-redo",
        before: &[Run(Apply("mixed")), Run(Undo)],
        verb: Redo,
        quick: false,
    },
    Scenario { name: "boot-apply", before: &[], verb: Apply("boot"), quick: true },
    Scenario { name: "boot-undo", before: &[Run(Apply("boot"))], verb: Undo, quick: false },
    Scenario {
        name: "boot-all-undo",
        before: &[Run(Apply("boot")), Run(Apply("mixed"))],
        verb: UndoAll,
        quick: false,
    },
];

/// Paths and their new text; `None` deletes.
type Plan = &'static [(&'static str, Option<&'static str>)];

const PLANS: &[(&str, Plan)] = &[
    (
        "drop-ins",
        &[
            ("etc/modprobe.d/dv-test.conf", Some("options vfio-pci disable_idle_d3=1\n")),
            ("etc/libvirt/new/deep/one.conf", Some("one\n")),
            ("etc/libvirt/new/two.conf", Some("two\n")),
        ],
    ),
    (
        "replace",
        &[
            ("etc/modprobe.d/thing.conf", Some("NEW=1\n# thing\n")),
            ("etc/sysctl.d/odd.conf", Some("odd, new\n")),
        ],
    ),
    ("delete", &[("etc/modules-load.d/old.conf", None), ("etc/sysctl.d/odd.conf", None)]),
    ("link", &[("etc/sysctl.d/linked.conf", Some("seen through the link, new\n"))]),
    (
        "mixed",
        &[
            ("etc/modprobe.d/thing.conf", Some("NEW=1\n# thing\n")),
            ("etc/sysctl.d/linked.conf", Some("seen through the link, new\n")),
            ("etc/modprobe.d/dv-test.conf", Some("options vfio-pci disable_idle_d3=1\n")),
            ("etc/libvirt/new/deep/one.conf", Some("one\n")),
            ("etc/sysctl.d/odd.conf", Some("odd, new\n")),
            ("etc/modules-load.d/old.conf", None),
        ],
    ),
    (
        "second",
        &[
            ("etc/modprobe.d/thing.conf", Some("NEW=2\n# thing\n")),
            ("etc/libvirt/new/deep/one.conf", None),
            ("etc/libvirt/new/three.conf", Some("three\n")),
        ],
    ),
    (
        "boot",
        &[
            ("etc/default/grub.d/dv-test.cfg", Some("GRUB_TIMEOUT=7\n")),
            ("etc/initramfs-tools/conf.d/dv-test", Some("# marker\n")),
        ],
    ),
];

/// The document that `apply` reads.
pub fn document(plan: &str) -> String {
    let files = PLANS.iter().find(|(name, _)| *name == plan).map_or(&[][..], |(_, files)| files);
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    serde_json::json!({ "format": 1, "files": files }).to_string()
}

/// The tree that every scenario starts from.
pub fn tree() -> Tree {
    let mut tree = Tree::new();
    file(&mut tree, "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=Test\n");
    file(&mut tree, "etc/fstab", "");
    file(&mut tree, "etc/modprobe.d/other.conf", "# not ours\n");
    file(&mut tree, "etc/modprobe.d/thing.conf", "OLD=1\n# thing");
    file(&mut tree, "etc/modules-load.d/old.conf", "old\n");
    file(&mut tree, "usr/share/thing/real.conf", "seen through the link\n");
    file(&mut tree, "var/lib/dpkg/lock", "");
    file(&mut tree, "var/lib/dpkg/lock-frontend", "");
    file(&mut tree, "var/lib/keep", "");
    let link = Node::Link { target: "../../usr/share/thing/real.conf".into(), owner: (0, 0) };
    add(&mut tree, "etc/sysctl.d/linked.conf", link);
    let odd = FileNode {
        bytes: b"odd\0\xff\r\nold".to_vec(),
        mode: 0o640,
        owner: (1000, 24),
        mtime: (1_000_000_001, 123_456_789),
        xattrs: BTreeMap::from([("user.origin".into(), b"a\0b".to_vec())]),
    };
    add(&mut tree, "etc/sysctl.d/odd.conf", Node::File(odd));
    tree
}

/// Adds what makes programs of the tree rebuild initramfs and boot menu when they are run in it.
pub fn add_generators(tree: &mut Tree) {
    for (path, text) in [
        ("usr/sbin/grub-mkconfig", GRUB),
        ("usr/sbin/update-grub", "#!/bin/sh\nexec grub-mkconfig -o /boot/grub/grub.cfg \"$@\"\n"),
        ("usr/sbin/mkinitramfs", INITRAMFS),
        ("usr/sbin/update-initramfs", "#!/bin/sh\nexit 0\n"),
        ("usr/bin/grub-script-check", "#!/bin/sh\ntest -s \"$1\"\n"),
        ("usr/bin/lsinitramfs", "#!/bin/sh\nbusybox cat \"$1\"\n"),
    ] {
        program(tree, path, text);
    }
    file(tree, "boot/grub/grub.cfg", "menuentry 'Debian' --id 'old' {\n\tlinux /vmlinuz-6.1\n}\n");
    file(tree, "boot/vmlinuz-6.1.0-1-amd64", "kernel");
    file(tree, "boot/initrd.img-6.1.0-1-amd64", "initrd, old\n");
    file(tree, "etc/default/grub", "GRUB_TIMEOUT=5\n");
    file(tree, "etc/grub.d/10_linux", "#!/bin/sh\n");
    file(tree, "etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
    file(tree, "lib/modules/6.1.0-1-amd64/modules.dep", "");
    for dir in ["proc", "sys", "dev", "run", "tmp"] {
        add(tree, dir, Node::Dir { mode: 0o755, owner: (0, 0) });
    }
}

const GRUB: &str = "#!/bin/sh
set -e
while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift;; esac; shift; done
{ echo '### BEGIN /etc/grub.d/00_header ###'
  for f in /etc/default/grub /etc/default/grub.d/*.cfg; do if test -f $f; then cat $f; fi; done
  echo '### END /etc/grub.d/00_header ###'
  echo \"menuentry 'Debian' --id 'new' {\"
  echo '	linux /boot/vmlinuz-6.1.0-1-amd64 root=UUID=x'
  echo '	initrd /boot/initrd.img-6.1.0-1-amd64'
  echo '}'
} > \"$out.new\"
cat \"$out.new\" > \"$out\"
rm -f \"$out.new\"
";

const INITRAMFS: &str = "#!/bin/sh
set -e
while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift;; esac; shift; done
{ echo 'initrd, new'
  for f in /etc/initramfs-tools/conf.d/*; do if test -f $f; then cat $f; fi; done
} > \"$out\"
";

fn file(tree: &mut Tree, path: &str, text: &str) {
    program(tree, path, text);
    if let Some(Node::File(file)) = tree.get_mut(Path::new(path)) {
        file.mode = 0o644;
    }
}

fn program(tree: &mut Tree, path: &str, text: &str) {
    let file = FileNode {
        bytes: text.as_bytes().to_vec(),
        mode: 0o755,
        owner: (0, 0),
        mtime: (1_600_000_000, 42),
        xattrs: BTreeMap::new(),
    };
    add(tree, path, Node::File(file));
}

fn add(tree: &mut Tree, path: &str, node: Node) {
    let path = PathBuf::from(path);
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        let plain = Node::Dir { mode: 0o755, owner: (0, 0) };
        tree.entry(dir.to_path_buf()).or_insert(plain);
    }
    tree.insert(path, node);
}

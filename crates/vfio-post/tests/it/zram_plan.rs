//! Plans of the swap over small machines.

use vfio_core::{
    Advice, Exit, Root,
    change::Draft,
    host::{Kernel, Kernels, Memory},
    layout::{ZRAM_GENERATOR, ZRAM_SWAP},
};
use vfio_post::zram::{Request, Sizes, plan};

use super::write;

const GIB: u64 = 1 << 20;

fn memory(gib: u64) -> Memory {
    Memory { total_kib: gib * GIB, ..Memory::default() }
}

fn swap(fraction: &str) -> Request {
    Request::Swap { fraction: fraction.parse().ok(), force: false }
}

struct Tree(tempfile::TempDir);

impl Tree {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(path, text)| write(dir.path(), path, text));
        Self(dir)
    }

    fn root(&self) -> Root {
        Root::open(self.0.path()).unwrap()
    }
}

fn package(version: &str) -> String {
    format!(
        "Package: systemd-zram-generator\nStatus: install ok installed\nVersion: {version}\n\n\
         Package: x\nVersion: 9\n"
    )
}

#[test]
fn b70_a_quarter_of_32_gib_is_8_gib_of_memory_and_16_of_swap() {
    let sizes = Sizes::of(&memory(32), 0, "1/4".parse().ok());
    assert_eq!((sizes.limit_kib, sizes.swap_kib), (8 * GIB, 16 * GIB));
    assert_eq!(Sizes::of(&memory(32), 0, None), sizes, "the usual part of so much");
    assert_eq!(Sizes::of(&memory(8), 0, None).limit_kib, 4 * GIB);
}

#[test]
fn b71_huge_pages_are_no_memory_to_compress_into() {
    let sizes = Sizes::of(&memory(32), 24 * GIB, "1/2".parse().ok());
    assert_eq!((sizes.left_kib, sizes.limit_kib, sizes.swap_kib), (8 * GIB, 4 * GIB, 8 * GIB));
    assert_eq!(Sizes::of(&memory(4), 5 * GIB, None).limit_kib, 0);
}

#[test]
fn b74_everything_goes_again_with_off() {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    plan(&mut draft, &memory(16), &Kernels::default(), 0, swap("1/4")).unwrap();
    assert_eq!(draft.text(ZRAM_SWAP).unwrap().unwrap().lines().last(), Some("fraction=1/4"));
    assert!(
        draft
            .text("etc/sysctl.d/90-deploy-vfio-zram-swap.conf")
            .unwrap()
            .unwrap()
            .contains("vm.swappiness = 180\n")
    );
    assert!(draft.text(ZRAM_GENERATOR).unwrap().is_none());
    let done = draft.clone().finish("x").unwrap();
    assert_eq!(done.changes.len(), 5, "fraction, program, unit, link, sysctl");
    let sums = "1/4 of the 16.0 GiB that huge pages leave is 4.0 GiB";
    assert!(done.notes.iter().any(|note| note.starts_with(sums)), "{:?}", done.notes);
    plan(&mut draft, &memory(16), &Kernels::default(), 0, Request::Off).unwrap();
    let gone = draft.finish("x").unwrap();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(gone.notes.iter().any(|note| note.contains("systemctl stop")), "{:?}", gone.notes);

    let mut draft = Draft::new(&root);
    plan(&mut draft, &memory(16), &Kernels::default(), 0, Request::Off).unwrap();
    assert!(draft.finish("x").unwrap().notes.is_empty(), "nothing there, nothing to say");
}

#[test]
fn b73_the_generator_is_told_where_it_is_installed() {
    let status = package("1.1.2-3");
    let tree = Tree::with(&[("var/lib/dpkg/status", &status)]);
    let root = tree.root();
    let mut draft = Draft::new(&root);
    plan(&mut draft, &memory(32), &Kernels::default(), 24 * GIB, swap("1/2")).unwrap();
    let text = draft.text(ZRAM_GENERATOR).unwrap().unwrap();
    assert!(text.contains("[zram0]\n") && text.contains("\nzram-size = 8192\n"), "{text}");
    let unit = "etc/systemd/system/systemd-zram-setup@zram0.service.d/50-deploy-vfio.conf";
    let text = draft.text(unit).unwrap().unwrap();
    assert!(text.contains("echo 4096M >/sys/block/%i/mem_limit"), "{text}");
    plan(&mut draft, &memory(32), &Kernels::default(), 0, Request::Off).unwrap();
    assert!(draft.clone().finish("x").unwrap().is_empty());
    plan(&mut draft, &memory(32), &Kernels::default(), 24 * GIB, swap("1/2")).unwrap();
    assert!(draft.text(ZRAM_SWAP).unwrap().is_none());

    for (path, text) in [
        ("var/lib/dpkg/status", package("0.3.2-1")),
        ("usr/lib/systemd/zram-generator.conf", "[zram0]\nmount-point = /tmp\n".to_owned()),
        ("etc/systemd/zram-generator.conf.d/9.conf", "[zram0]\nmount-point=/tmp\n".to_owned()),
    ] {
        let tree = Tree::with(&[("var/lib/dpkg/status", &status), (path, &text)]);
        let root = tree.root();
        let mut draft = Draft::new(&root);
        plan(&mut draft, &memory(32), &Kernels::default(), 0, swap("1/2")).unwrap();
        assert!(draft.text(ZRAM_GENERATOR).unwrap().is_none(), "{path}");
        assert!(draft.text(ZRAM_SWAP).unwrap().is_some(), "{path}");
    }
}

#[test]
fn b73_swap_of_others_takes_force_and_ours_does_not() {
    let swaps =
        "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 5\n/dev/sda2 x 1 0 -2\n";
    let tree = Tree::with(&[("proc/swaps", swaps)]);
    let root = tree.root();
    let mut draft = Draft::new(&root);
    let error = plan(&mut draft, &memory(8), &Kernels::default(), 0, swap("1/4")).unwrap_err();
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.to_string().ends_with("/dev/zram0"), "{error}");
    let force = Request::Swap { fraction: None, force: true };
    plan(&mut draft, &memory(8), &Kernels::default(), 0, force).unwrap();

    let tree = Tree::with(&[("proc/swaps", swaps), (ZRAM_SWAP, "fraction=1/2\n")]);
    let root = tree.root();
    let mut draft = Draft::new(&root);
    plan(&mut draft, &memory(8), &Kernels::default(), 0, swap("1/4")).unwrap();
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |memory: &Memory, kernels: &Kernels, reserved: u64| {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, memory, kernels, reserved, swap("1/4"))
            .map_err(|e| (e.exit(), e.to_string()))
    };
    let kernel = |options: &[&str]| Kernel {
        release: "6.1".to_owned(),
        config: options.iter().map(|o| ((*o).to_owned(), "m".to_owned())).collect(),
        ..Kernel::default()
    };
    let kernels = |all: &[&[&str]]| Kernels {
        installed: all.iter().map(|options| kernel(options)).collect(),
        running: None,
    };
    let without = refused(&memory(8), &kernels(&[&["VFIO"], &["VFIO"]]), 0).unwrap_err();
    assert_eq!(without, (Exit::Refused, "no installed kernel has zram".to_owned()));
    refused(&memory(8), &kernels(&[&["VFIO"], &["ZRAM"]]), 0).unwrap();
    refused(&memory(8), &kernels(&[&[]]), 0).unwrap();
    assert!(refused(&memory(8), &Kernels::default(), 8 * GIB).is_err());
}

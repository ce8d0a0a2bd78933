//! Kernel parameters and files.

use vfio_core::{
    Root,
    change::{Draft, Rebuild},
    host::{Initramfs, Machine, Vendor},
};
use vfio_iommu::{Binding, FRAGMENT, arguments, bind, unbind};

use crate::describe::{Uses, at, desktop, entries, explain, machine};

fn line(machine: &Machine, words: &str, how: Binding) -> String {
    arguments(&entries(machine, words, &[])[0], how, machine).unwrap().always.to_string()
}

#[test]
fn by_address_names_each_device_with_its_ids() {
    assert_eq!(
        line(&desktop(), "2", Binding::ByAddress),
        "deploy_vfio.entry=deploy-vfio-0000:00:02.0 \
         deploy_vfio.bind=0000:01:00.0=10de:2484,0000:01:00.1=10de:228b"
    );
}

#[test]
fn b15_by_id_is_refused_for_twins() {
    let entry = &entries(&desktop(), "2", &[])[0];
    let refused = arguments(entry, Binding::ById, &desktop()).unwrap_err();
    insta::assert_snapshot!(explain(&refused), @"
    binding by id cannot tell 0000:01:00.0 from 0000:03:00.0, which stays with the host
    because: both are 10de:2484
    help: leave out `--by-id`: binding by address tells them apart
    ");
    assert_eq!(
        line(&desktop(), "2,21", Binding::ById),
        "deploy_vfio.entry=deploy-vfio-0000:00:02.0 vfio-pci.ids=10de:228b,10de:2484",
        "twins that both go are no trouble"
    );
}

#[test]
fn the_framebuffer_is_switched_off_for_old_kernels_and_the_boot_display_only() {
    let machine = machine("01:00.0 0300 10de:1 g1 boot\n02:00.0 0300 1002:1 g2");
    let of = |at: usize| {
        let entries = entries(&machine, "vga", &[]);
        arguments(&entries[at], Binding::ByAddress, &machine).unwrap().before_6_1.to_string()
    };
    assert_eq!(of(0), "");
    assert_eq!(of(1), "initcall_blacklist=sysfb_init");
}

#[test]
fn more_devices_than_fit_are_refused() {
    let many: String = (0..120).map(|n| format!("{n:02x}:00.0 0c03 1912:{n:04x} g{n}\n")).collect();
    let machine = machine(&many);
    let entry = &entries(&machine, "all", &[])[0];
    let refused = arguments(entry, Binding::ByAddress, &machine).unwrap_err();
    assert!(explain(&refused).contains("there is room for 2048"), "{}", explain(&refused));
    assert!(arguments(entry, Binding::ById, &machine).is_err(), "the module has 1023 bytes");
}

/// The IOMMU fragment for a machine, `None` when it is not written.
fn fragment(machine: &Machine, words: &str) -> Option<String> {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    bind(&mut draft, machine, &entries(machine, words, &[]), Binding::ByAddress).unwrap();
    draft.text(FRAGMENT).unwrap()
}

#[test]
fn b18_intel_iommu_is_switched_on_where_a_kernel_leaves_it_off() {
    let on = Some("# Managed by deploy-vfio: switches the IOMMU on.\nintel_iommu=on\n".to_owned());
    let ubuntu = ["INTEL_IOMMU", "INTEL_IOMMU_DEFAULT_ON"];
    let debian = ["INTEL_IOMMU", "INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF"];
    assert_eq!(fragment(&desktop(), "vga"), on, "nothing is known of its kernels");
    assert_eq!(fragment(&desktop().kernel(&ubuntu).kernel(&debian), "vga"), None);
    assert_eq!(fragment(&desktop().kernel(&ubuntu).kernel(&["INTEL_IOMMU"]), "vga"), on);
    assert_eq!(fragment(&desktop().kernel(&debian).kernel(&[]), "vga"), on);
    assert_eq!(fragment(&desktop().kernel(&debian), "1"), on, "its own graphics go");
    let mut amd = desktop();
    amd.cpu.vendor = Vendor::Amd;
    assert_eq!(fragment(&amd, "vga"), None, "never amd_iommu=on, never iommu=pt");
}

#[test]
fn unbind_takes_away_all_that_bind_writes() {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    let desktop = desktop();
    bind(&mut draft, &desktop, &entries(&desktop, "vga", &[]), Binding::ByAddress).unwrap();
    let plan = draft.clone().finish("bind").unwrap();
    let paths: Vec<_> = plan.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "etc/deploy-vfio/cmdline.d/10-iommu.conf",
            "etc/initramfs-tools/hooks/deploy-vfio",
            "etc/initramfs-tools/scripts/init-top/deploy-vfio",
            "etc/initramfs/post-update.d/deploy-vfio",
        ]
    );
    assert!(plan.rebuilds().contains(&Rebuild::Initramfs));
    unbind(&mut draft).unwrap();
    assert!(draft.finish("unbind").unwrap().is_empty());
}

#[test]
fn other_initramfs_generators_are_refused_rather_than_ignored() {
    let root = Root::empty();
    for initramfs in [Initramfs::Mkinitcpio, Initramfs::Unknown] {
        let mut other = desktop();
        other.boot.initramfs = initramfs;
        let entries = entries(&other, "vga", &[]);
        let mut draft = Draft::new(&root);
        assert!(bind(&mut draft, &other, &entries, Binding::ByAddress).is_err());
        assert!(draft.finish("refused").unwrap().is_empty());
    }
}

#[test]
fn dracut_gets_a_module_in_the_place_of_what_initramfs_tools_had() {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    let mut desktop = desktop();
    let entries = entries(&desktop, "vga", &[]);
    bind(&mut draft, &desktop, &entries, Binding::ByAddress).unwrap();
    desktop.boot.initramfs = Initramfs::Dracut;
    bind(&mut draft, &desktop, &entries, Binding::ByAddress).unwrap();
    let plan = draft.clone().finish("bind").unwrap();
    let paths: Vec<_> = plan.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "etc/deploy-vfio/cmdline.d/10-iommu.conf",
            "etc/kernel/postinst.d/zy-deploy-vfio",
            "usr/lib/dracut/modules.d/90deploy-vfio/bind",
            "usr/lib/dracut/modules.d/90deploy-vfio/deploy-vfio.sh",
            "usr/lib/dracut/modules.d/90deploy-vfio/module-setup.sh",
        ]
    );
    assert!(plan.rebuilds().contains(&Rebuild::Initramfs));
    unbind(&mut draft).unwrap();
    assert!(draft.finish("unbind").unwrap().is_empty());
}

#[test]
fn what_an_entry_binds_is_found_again_and_what_moved_is_told() {
    let machine = machine(
        "01:00.0 0300 10de:0001 g1 boot
         01:00.1 0403 10de:0002 g1
         02:00.0 0300 1002:0003 g2
         02:00.1 0403 10de:0002 g2",
    );
    for entry in entries(&machine, "all", &[]) {
        let words = arguments(&entry, Binding::ByAddress, &machine).unwrap().always;
        let wanted: Vec<_> = entry.bind.iter().map(|(address, ..)| *address).collect();
        assert_eq!(vfio_iommu::bound(&words, &machine), (wanted, Vec::new()));
    }
    for (words, found, gone) in [
        ("deploy_vfio.bind=0000:01:00.0=10de:0003,junk,", &[][..], "0000:01:00.0=10de:0003 junk"),
        ("vfio-pci.ids=10de:0002,8086:0001", &["01:00.1", "02:00.1"], "8086:0001"),
        ("quiet", &[], ""),
    ] {
        let (addresses, told) = vfio_iommu::bound(&words.into(), &machine);
        let found: Vec<_> = found.iter().map(|address| at(address)).collect();
        assert_eq!((addresses, told.join(" ")), (found, gone.to_owned()), "{words}");
    }
}

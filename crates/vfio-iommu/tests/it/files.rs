//! A setup without a menu as files of modprobe and the initramfs.

use vfio_core::{
    Root,
    change::{Draft, Plan, Rebuild},
    host::{
        Availability::{self, BuiltIn, Missing, Module},
        Initramfs, Machine,
    },
};
use vfio_iommu::{
    Error, INITRAMFS_MODULES, MODPROBE, MODULES_LOAD, Request, bind_by_file, fixed, unbind_fixed,
};

use crate::describe::{Uses, explain, machine};

/// A card for a guest beside the host's, each with its sound, and a USB controller.
fn cards() -> Machine {
    machine(
        "00:14.0 0c03 8086:7ae0 g3 xhci_hcd
         00:1f.3 0403 8086:7ad0 g5 snd_hda_intel
         01:00.0 0300 10de:2484 g14 nouveau boot
         01:00.1 0403 10de:228b g14 snd_hda_intel
         02:00.0 0300 1002:73df g16 amdgpu
         02:00.1 0403 1002:ab28 g16 snd_hda_intel
         02:00.2 0c03 1002:73a6 g16 xhci_hcd",
    )
    .drivers("00:14.0", &["xhci_pci"], &[])
    .drivers("00:1f.3", &["snd-hda-intel", "snd_sof_pci_intel_tgl"], &[])
    .drivers("01:00.0", &["nvidiafb", "nouveau"], &[])
    .drivers("01:00.1", &["snd_hda_intel"], &[])
    .drivers("02:00.0", &["amdgpu"], &[])
    .drivers("02:00.1", &["snd_hda_intel"], &[])
    .drivers("02:00.2", &["xhci_pci"], &[])
}

fn modern() -> Machine {
    cards().release("6.12.107-amd64", Module, Module).release("6.1.0-28-amd64", Module, Module)
}

/// What `static file` makes of a machine over files of the user's.
fn plan(
    machine: &Machine,
    host: u32,
    blacklist: bool,
    user: &[(&str, &str)],
) -> Result<Plan, Error> {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    for (path, text) in user {
        draft.write(path, *text).unwrap();
    }
    let request = Request { host: Some(host), ..Request::default() };
    let (entry, _) = fixed(machine, &|device| device.ids(), &request)?;
    bind_by_file(&mut draft, machine, &entry, blacklist)?;
    Ok(draft.finish("static file").unwrap())
}

fn text(plan: &Plan, path: &str) -> String {
    let change = plan.changes.iter().find(|change| change.path == path);
    let bytes = change.and_then(|change| change.after.bytes()).unwrap_or_default();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refusal(machine: &Machine, blacklist: bool, user: &[(&str, &str)]) -> String {
    explain(&plan(machine, 14, blacklist, user).unwrap_err())
}

#[test]
fn b16_modules_are_ordered_by_their_own_names_and_nothing_is_blacklisted() {
    let plan = plan(&modern(), 14, false, &[]).unwrap();
    insta::assert_snapshot!(text(&plan, MODPROBE), @"
    # Managed by deploy-vfio: Desktop on 10de:2484 [0000:01:00.0]; guests: 3 devices.
    options vfio-pci ids=1002:73a6,1002:73df,1002:ab28
    # It comes before every driver that could take them.
    softdep amdgpu pre: vfio-pci
    softdep snd_hda_intel pre: vfio-pci
    softdep xhci_pci pre: vfio-pci
    ");
    assert!(plan.rebuilds().contains(&Rebuild::Initramfs));
}

#[test]
fn b16_only_modules_that_no_device_of_the_host_needs_are_blacklisted() {
    let some = plan(&modern(), 14, true, &[]).unwrap();
    let lines = text(&some, MODPROBE);
    let banned: Vec<_> = lines.lines().filter(|line| line.starts_with("blacklist")).collect();
    assert_eq!(banned, ["blacklist amdgpu"]);
    assert_eq!(
        some.notes[..2],
        [
            "not blacklisted: 0000:00:1f.3, which stays, needs snd_hda_intel",
            "not blacklisted: 0000:00:14.0, which stays, needs xhci_pci"
        ]
    );
    // The host's card is of the same maker.
    let twins = modern().drivers("01:00.0", &["amdgpu"], &[]);
    insta::assert_snapshot!(refusal(&twins, true, &[]), @"
    no module can be blacklisted without harm to the host
    because: 0000:01:00.0, which stays, needs amdgpu
    because: 0000:00:1f.3, which stays, needs snd_hda_intel
    because: 0000:00:14.0, which stays, needs xhci_pci
    help: leave out `--blacklist`: vfio-pci comes first without it
    ");
    // A driver that is in use counts, whatever the aliases say.
    let odd = modern().drivers("01:00.0", &[], &[]).drivers("02:00.0", &["nouveau"], &[]);
    let said = refusal(&odd, true, &[]);
    assert!(said.contains("0000:01:00.0, which stays, needs nouveau"), "{said}");
}

#[test]
fn b36_b38_the_initramfs_gets_vfio_modules_that_all_kernels_have_and_no_driver() {
    let user = "# mine\nthinkpad_acpi fan_control=1\nvhost_net";
    let of = |machine: &Machine| {
        let plan = plan(machine, 14, false, &[(INITRAMFS_MODULES, user)]).unwrap();
        (text(&plan, INITRAMFS_MODULES), text(&plan, MODULES_LOAD))
    };
    let (initramfs, _) = of(&modern());
    let block = "\n# >>> deploy-vfio >>>\nvfio_pci\nvfio_iommu_type1\n# <<< deploy-vfio <<<";
    assert_eq!(initramfs, format!("{user}{block}"));
    let mixed = modern().release("5.15.0-204-generic", Module, BuiltIn);
    assert_eq!(of(&mixed).0, format!("{user}{}", block.replace("vfio_iommu_type1\n", "")));
}

#[test]
fn b37_what_is_loaded_at_start_are_names_of_modules() {
    let load = text(&plan(&modern(), 14, false, &[]).unwrap(), MODULES_LOAD);
    let names: Vec<_> = load.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(names, ["vfio_pci", "vfio_iommu_type1"]);
}

#[test]
fn b15_ids_that_the_host_has_too_are_refused() {
    let twins = machine(
        "01:00.0 0300 10de:2484 g14 boot
         02:00.0 0300 10de:2484 g16",
    )
    .release("6.1.0", Module, Module);
    insta::assert_snapshot!(refusal(&twins, false, &[]), @"
    binding by id cannot tell 0000:02:00.0 from 0000:01:00.0, which stays with the host
    because: both are 10de:2484
    help: `deploy-vfio static grub` and `deploy-vfio multiboot` bind by address
    ");
}

#[test]
fn a_driver_in_a_kernel_s_image_is_refused() {
    let usb = modern().drivers("02:00.2", &["xhci_pci"], &["xhci_pci"]);
    insta::assert_snapshot!(refusal(&usb, false, &[]), @"
    vfio-pci cannot be made to come before the driver of 0000:02:00.2
    because: `xhci_pci` is part of a kernel's image
    help: `deploy-vfio static grub` takes a device back from any driver
    ");
    let unknown = modern().drivers("02:00.0", &[], &[]);
    let said = refusal(&unknown, false, &[]);
    assert!(said.contains("no module is known for its driver `amdgpu`"), "{said}");
}

#[test]
fn a_kernel_that_reads_no_options_for_vfio_pci_is_refused() {
    let of = |vfio_pci: Availability| {
        refusal(&modern().release("5.15.0-204-generic", vfio_pci, Module), false, &[])
    };
    assert!(of(BuiltIn).contains("vfio-pci is part of the kernel 5.15.0-204-generic"));
    assert!(of(Missing).contains("the kernel 5.15.0-204-generic has no vfio-pci"));
    assert!(refusal(&cards(), false, &[]).contains("no kernel is installed"));
    let mut dracut = modern();
    dracut.boot.initramfs = Initramfs::Dracut;
    assert!(refusal(&dracut, false, &[]).contains("dracut builds"));
}

#[test]
fn lines_of_the_user_s_that_cross_ours_are_refused() {
    let own = ("etc/modprobe.d/vfio.conf", "options vfio-pci ids=1002:73df\n");
    let debian = ("usr/lib/modprobe.d/x.conf", "install amdgpu modprobe -i amdgpu-pro\n");
    insta::assert_snapshot!(refusal(&modern(), false, &[own, debian]), @"
    files of yours tell modprobe something else
    because: /etc/modprobe.d/vfio.conf gives vfio-pci ids of its own
    because: /usr/lib/modprobe.d/x.conf has a command that installs amdgpu
    help: take those lines out, or use `deploy-vfio static grub`
    ");
    let hidden = ("etc/modprobe.d/x.conf", "");
    assert!(plan(&modern(), 14, false, &[hidden, debian]).is_ok(), "the first of a name counts");
    let said = refusal(&modern(), false, &[(INITRAMFS_MODULES, "a\r\nb\r\n")]);
    assert!(said.contains("CR LF"), "{said}");
    let said = refusal(&modern().cmdline("ro vfio_pci.ids=1002:73df quiet"), false, &[]);
    assert!(said.contains("comes after every file"), "{said}");
    let ours = "deploy_vfio.entry=static-headless vfio-pci.ids=1002:73df";
    assert!(plan(&modern().cmdline(ours), 14, false, &[]).is_ok(), "they go with this plan");
}

#[test]
fn parameters_that_no_file_replaces_stay_on_the_command_line() {
    let old = cards().release("5.10.0-32-amd64", Module, Module);
    let plan = plan(&old, 16, false, &[]).unwrap();
    let fragment = text(&plan, "etc/deploy-vfio/cmdline.d/15-static.conf");
    assert_eq!(fragment.lines().last(), Some("initcall_blacklist=sysfb_init"));
    let iommu = text(&plan, "etc/deploy-vfio/cmdline.d/10-iommu.conf");
    assert_eq!(iommu.lines().last(), Some("intel_iommu=on"));
    let paths: Vec<_> = plan.changes.iter().map(|change| change.path.as_str()).collect();
    assert!(!paths.iter().any(|path| path.contains("init-top")), "{paths:?}");
}

#[test]
fn off_takes_all_files_away() {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    let request = Request { host: Some(14), ..Request::default() };
    let (entry, _) = fixed(&modern(), &|device| device.ids(), &request).unwrap();
    bind_by_file(&mut draft, &modern(), &entry, true).unwrap();
    unbind_fixed(&mut draft).unwrap();
    let left = draft.finish("off").unwrap().changes;
    let paths: Vec<_> = left.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, [INITRAMFS_MODULES], "a file that was not there is left empty");
}

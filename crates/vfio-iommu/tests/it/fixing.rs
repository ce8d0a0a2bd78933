//! A setup without a menu: which display the host keeps, and the parameters that follow.

use vfio_core::{
    Root,
    change::Draft,
    host::{Availability::Module, Device, Machine},
};
use vfio_iommu::{
    Allow, Binding, Chosen, Entry, Error, FIXED, FRAGMENT, Request, bind, bind_by_parameters,
    fixed, is_fixed, unbind, unbind_fixed,
};

use crate::describe::{Uses, desktop, entries, explain, machine, shown};

const TWO_CARDS: &str = "01:00.0 0300 10de:2484 g14
     01:00.1 0403 10de:228b g14
     02:00.0 0300 1002:73df g16 boot
     02:00.1 0403 1002:ab28 g17
     03:00.0 0c03 1912:0014 g18";

fn ask(
    machine: &Machine,
    words: &str,
    host: Option<u32>,
    allow: &[Allow],
) -> Result<(Entry, Chosen), Error> {
    let selection = words.parse().unwrap();
    let request = Request { selection, allow: allow.to_vec(), host };
    fixed(machine, &|device: &Device| device.ids(), &request)
}

/// The host's display and what is bound, or the error in full.
fn told(machine: &Machine, words: &str, host: Option<u32>, allow: &[Allow]) -> String {
    match ask(machine, words, host, allow) {
        Ok((entry, _)) => shown(&[entry]).remove(0),
        Err(error) => explain(&error),
    }
}

#[test]
fn the_firmware_s_card_stays_when_the_words_mean_all() {
    let two = machine(TWO_CARDS);
    assert_eq!(told(&two, "vga", None, &[]), "02:00.0: 01:00.0 01:00.1");
    assert_eq!(told(&two, "all", None, &[]), "02:00.0: 01:00.0 01:00.1 03:00.0");
    let (entry, chosen) = ask(&two, "vga", None, &[]).unwrap();
    assert_eq!(entry.id, "static-0000:02:00.0");
    assert!(!entry.gives_away_boot_vga);
    assert_eq!(chosen.groups, [14]);
    assert_eq!(chosen.left_out[0].to_string(), "groups 16-17: 0000:02:00.0 drives the desktop");
    assert_eq!(chosen.notes, ["`--host 14` keeps another display"]);
}

#[test]
fn b14_integrated_graphics_stay_and_all_cards_go() {
    let expected = "00:02.0: 01:00.0 01:00.1 03:00.0 03:00.1";
    assert_eq!(told(&desktop(), "vga", None, &[]), expected);
    assert_eq!(told(&desktop(), "vga", Some(2), &[]), "01:00.0: 03:00.0 03:00.1");
    assert_eq!(told(&desktop(), "vga", Some(1), &[]), expected, "it stays anyway");
}

#[test]
fn the_user_may_say_which_card_stays() {
    let two = machine(TWO_CARDS);
    assert_eq!(told(&two, "vga", Some(14), &[]), "01:00.0: 02:00.0 02:00.1");
    assert_eq!(told(&two, "vga", Some(17), &[]), "02:00.0: 01:00.0 01:00.1", "its sound's group");
    assert_eq!(told(&two, "14", Some(16), &[]), "02:00.0: 01:00.0 01:00.1");
    insta::assert_snapshot!(told(&two, "vga", Some(18), &[]), @"
    no display that the host can keep is in IOMMU group 18; there are 14, 16
    help: `deploy-vfio groups` shows what is in each
    ");
    insta::assert_snapshot!(told(&two, "14", Some(14), &[]), @"
    IOMMU group 14 stays with the host
    because: 0000:01:00.0: drives the desktop
    ");
    insta::assert_snapshot!(told(&desktop(), "21", Some(21), &[]), @"
    IOMMU group 21 stays with the host
    because: 0000:03:00.0: drives the desktop
    ");
}

#[test]
fn a_card_that_is_named_is_handed_over_or_refused() {
    let two = machine(TWO_CARDS);
    assert_eq!(told(&two, "16", None, &[]), "01:00.0: 02:00.0 02:00.1");
    assert_eq!(told(&two, "16,vga", None, &[]), "01:00.0: 02:00.0 02:00.1", "not the firmware's");
    insta::assert_snapshot!(told(&two, "14,16", None, &[]), @"
    the host would be left without a display
    because: 0000:01:00.0 is to go to a guest
    because: 0000:02:00.0 is to go to a guest
    help: leave one display out of the selection, or add `--allow headless`
    ");
    let headless = told(&two, "14,16", None, &[Allow::Headless]);
    assert_eq!(headless, "none: 01:00.0 01:00.1 02:00.0 02:00.1");
    assert_eq!(ask(&two, "vga", None, &[Allow::Headless]).unwrap().0.id, "static-headless");
}

#[test]
fn b13_what_the_host_needs_stays() {
    insta::assert_snapshot!(told(&desktop(), "24", None, &[]), @"
    IOMMU group 24 stays with the host
    because: 0000:05:00.0: carries / and swap
    ");
    assert_eq!(told(&desktop(), "no-vga", None, &[]), "00:02.0: 06:00.0 09:00.0");
    let single = machine("01:00.0 0300 10de:13ba g1 boot\n02:00.0 0c03 1912:0014 g2");
    insta::assert_snapshot!(told(&single, "vga", None, &[]), @"
    nothing selected by `vga` can go to a guest
    because: group 1: 0000:01:00.0 the host's only display
    help: `--parse no-vga` hands over other devices and keeps the display
    help: `--allow headless` hands over group 1 all the same
    ");
    insta::assert_snapshot!(told(&single, "vga", Some(1), &[Allow::Headless]), @"
    nothing selected by `vga` can go to a guest
    because: group 1: 0000:01:00.0 drives the desktop
    ");
}

/// The parameters of a setup, and what is said beside the plan.
fn parameters(machine: &Machine, host: Option<u32>, how: Binding) -> (String, Vec<String>) {
    let (root, entry) = (Root::empty(), ask(machine, "vga", host, &[]).unwrap().0);
    let mut draft = Draft::new(&root);
    bind_by_parameters(&mut draft, machine, &entry, how).unwrap();
    let text = draft.text(FIXED).unwrap().unwrap();
    (text.lines().nth(1).unwrap().to_owned(), draft.finish("static").unwrap().notes)
}

#[test]
fn the_normal_entry_gets_addresses_or_ids() {
    let two = machine(TWO_CARDS);
    let of = |how| parameters(&two, None, how).0;
    assert_eq!(
        of(Binding::ByAddress),
        "deploy_vfio.entry=static-0000:02:00.0 \
         deploy_vfio.bind=0000:01:00.0=10de:2484,0000:01:00.1=10de:228b"
    );
    assert_eq!(
        of(Binding::ById),
        "deploy_vfio.entry=static-0000:02:00.0 vfio-pci.ids=10de:228b,10de:2484"
    );
}

#[test]
fn the_framebuffer_is_switched_off_only_where_a_kernel_needs_it() {
    let given = |machine: Machine| parameters(&machine, Some(14), Binding::ByAddress);
    let has = |line: &str| line.ends_with(" initcall_blacklist=sysfb_init");
    let two = || machine(TWO_CARDS);
    assert!(!has(&given(two()).0), "nothing is known of its kernels");
    let (new, said) = given(two().release("6.1.0-28-amd64", Module, Module));
    assert!(!has(&new) && said.is_empty());
    let old = || two().release("5.10.0-32-amd64", Module, Module);
    let (line, said) = given(old());
    assert!(has(&line) && said.is_empty(), "{line} {said:?}");
    let (line, said) = given(old().release("6.12.1", Module, Module));
    assert!(has(&line) && said[0].contains("stands for all"), "{line} {said:?}");
    assert!(!has(&parameters(&old(), None, Binding::ByAddress).0), "the firmware's card stays");
}

#[test]
fn a_menu_and_a_setup_without_one_take_each_other_s_place_and_share_the_script() {
    let (root, two) = (Root::empty(), machine(TWO_CARDS));
    let entry = ask(&two, "vga", None, &[]).unwrap().0;
    let mut draft = Draft::new(&root);
    bind_by_parameters(&mut draft, &two, &entry, Binding::ByAddress).unwrap();
    assert!(is_fixed(&draft).unwrap() && draft.text(FRAGMENT).unwrap().is_some());

    // `multiboot off` leaves alone what is not its own.
    let before = draft.clone().finish("x").unwrap().changes;
    let mut off = draft.clone();
    unbind(&mut off).unwrap();
    assert_eq!(off.finish("x").unwrap().changes, before);

    // `multiboot` takes its place.
    let menu = entries(&two, "vga", &[]);
    let mut replaced = draft.clone();
    bind(&mut replaced, &two, &menu, Binding::ByAddress).unwrap();
    assert!(!is_fixed(&replaced).unwrap());
    assert!(replaced.finish("x").unwrap().notes[0].contains("takes the place of"));

    // `static off` leaves a menu's script where it is.
    let script = "etc/initramfs-tools/scripts/init-top/deploy-vfio";
    draft.write("etc/deploy-vfio/entries.d/x.conf", "title=x\n").unwrap();
    unbind_fixed(&mut draft).unwrap();
    assert!(draft.text(FIXED).unwrap().is_none() && draft.text(script).unwrap().is_some());
    draft.remove("etc/deploy-vfio/entries.d/x.conf");
    unbind_fixed(&mut draft).unwrap();
    assert!(draft.finish("x").unwrap().is_empty());
}

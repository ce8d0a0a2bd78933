//! Boot entries, their order, and the choice of the default.

use vfio_core::{Advice, Exit};
use vfio_iommu::{Allow, Choice, choose, everything, prompt_warning, screen_note};

use crate::describe::{Uses, at, desktop, entries, explain, machine, select, shown};

const TWO_CARDS: &str = "01:00.0 0300 10de:2484 g14 boot
     01:00.1 0403 10de:228b g14
     02:00.0 0300 1002:73df g16
     02:00.1 0403 1002:ab28 g17
     03:00.0 0c03 1912:0014 g18";

#[test]
fn each_card_is_the_hosts_in_one_entry() {
    assert_eq!(
        shown(&entries(&machine(TWO_CARDS), "vga", &[])),
        ["01:00.0: 02:00.0 02:00.1", "02:00.0: 01:00.0 01:00.1"]
    );
    assert_eq!(
        shown(&entries(&machine(TWO_CARDS), "all", &[])),
        ["01:00.0: 02:00.0 02:00.1 03:00.0", "02:00.0: 01:00.0 01:00.1 03:00.0"]
    );
    assert_eq!(
        shown(&entries(&desktop(), "vga", &[])),
        [
            "00:02.0: 01:00.0 01:00.1 03:00.0 03:00.1",
            "01:00.0: 03:00.0 03:00.1",
            "03:00.0: 01:00.0 01:00.1",
        ]
    );
}

#[test]
fn an_unselected_card_is_the_hosts() {
    assert_eq!(shown(&entries(&machine(TWO_CARDS), "16", &[])), ["01:00.0: 02:00.0 02:00.1"]);
    assert_eq!(shown(&entries(&machine(TWO_CARDS), "18", &[])), ["01:00.0: 03:00.0"]);
    assert_eq!(shown(&entries(&desktop(), "no-vga", &[])), ["00:02.0: 06:00.0 09:00.0"]);
    let firmware_chose_the_second = machine(
        "01:00.0 0300 10de:2484 g14
         02:00.0 0300 1002:73df g16 boot
         03:00.0 0c03 1912:0014 g18",
    );
    let entries = entries(&firmware_chose_the_second, "no-vga", &[]);
    assert_eq!(shown(&entries), ["02:00.0: 03:00.0"]);
}

#[test]
fn b14_integrated_graphics_count_as_the_hosts_display() {
    let machine = machine(
        "00:02.0 0300 8086:4680 g1
         01:00.0 0300 10de:2484 g2 boot",
    );
    let one = entries(&machine, "vga", &[]);
    assert_eq!(shown(&one), ["00:02.0: 01:00.0"]);
    assert!(one[0].gives_away_boot_vga);
    let other = entries(&machine, "1", &[]);
    assert_eq!(shown(&other), ["01:00.0: 00:02.0"]);
    assert!(!other[0].gives_away_boot_vga);
    assert_eq!(shown(&entries(&machine, "1,2", &[])), ["00:02.0: 01:00.0", "01:00.0: 00:02.0"]);
}

#[test]
fn two_cards_in_one_group_go_together() {
    let machine = machine(
        "00:02.0 0300 8086:4680 g1 boot
         01:00.0 0300 10de:2484 g2
         02:00.0 0300 1002:73df g2",
    );
    assert_eq!(shown(&entries(&machine, "vga", &[])), ["00:02.0: 01:00.0 02:00.0"]);
}

#[test]
fn a_host_without_display_is_an_entry_only_when_allowed() {
    let single = machine("01:00.0 0300 10de:13ba g1 boot\n02:00.0 0c03 1912:0014 g2");
    let headless = entries(&single, "all", &[Allow::Headless]);
    assert_eq!(shown(&headless), ["01:00.0: 02:00.0", "none: 01:00.0 02:00.0"]);
    assert_eq!(headless[1].id, "deploy-vfio-headless");
    assert_eq!(headless[1].title, "No desktop; guests: 2 devices");
    for choice in [Choice::First, Choice::Last] {
        let chosen = choose(&headless, &single, choice).unwrap().unwrap();
        assert_eq!(chosen.host, Some(at("01:00.0")), "{choice}");
        assert!(choose(&headless[1..], &single, choice).unwrap().is_some(), "{choice}");
    }

    let two = machine(TWO_CARDS);
    let chosen = select(&two, "vga", &[]).unwrap();
    let refused = everything(&two, &|device| device.ids(), &chosen).unwrap_err();
    insta::assert_snapshot!(explain(&refused), @"
    the host would be left without a display
    because: 0000:01:00.0 is to go to a guest
    because: 0000:02:00.0 is to go to a guest
    help: leave one display out of the selection, or add `--allow headless`
    ");
    let serial = machine("02:00.0 0c03 1912:0014 g2");
    assert_eq!(shown(&entries(&serial, "2", &[])), ["none: 02:00.0"]);
}

#[test]
fn titles_and_ids_hold_the_address_and_no_group() {
    let entry = &entries(&machine(TWO_CARDS), "vga", &[])[1];
    assert_eq!(entry.id, "deploy-vfio-0000:02:00.0");
    assert_eq!(entry.title, "Desktop on 1002:73df [0000:02:00.0]; guests: 2 devices");
    assert_eq!(entry.host_group, Some(16));
    assert_eq!(entry.bind[0], (at("01:00.0"), 0x10de, 0x2484));
    let chosen = select(&machine(TWO_CARDS), "vga", &[]).unwrap();
    let long = |_: &vfio_core::host::Device| format!("\n\x1b{}", "Ä".repeat(500));
    let entries = vfio_iommu::entries(&machine(TWO_CARDS), &long, &chosen).unwrap();
    assert!(entries[0].title.starts_with("Desktop on ÄÄ"), "{}", entries[0].title);
    assert!(entries[0].title.ends_with("Ä [0000:01:00.0]; guests: 2 devices"));
}

#[test]
fn a_choice_is_a_word_or_a_group() {
    let machine = machine(TWO_CARDS);
    let entries = entries(&machine, "vga", &[]);
    let picked = |text: &str| {
        let entry = choose(&entries, &machine, text.parse().unwrap()).unwrap();
        entry.and_then(|entry| entry.host)
    };
    assert_eq!(picked("first"), Some(at("01:00.0")));
    assert_eq!(picked("last"), Some(at("02:00.0")));
    assert_eq!(picked("14"), Some(at("01:00.0")));
    assert_eq!(picked("16"), Some(at("02:00.0")));
    assert_eq!(picked("17"), Some(at("02:00.0")), "the group of the card's sound");
    assert_eq!(picked("default"), None);
    let refused = choose(&entries, &machine, Choice::Group(18)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no boot entry has the host's display in IOMMU group 18; there are 14, 16"
    );
    for bad in ["", "second", "-1", "1 4", "14-16"] {
        assert_eq!(bad.parse::<Choice>().unwrap_err().exit(), Exit::Usage, "{bad}");
    }
}

#[test]
fn a_dark_card_is_noted_when_another_has_the_screen() {
    let dark = machine(TWO_CARDS).screen("01:00.0", true).screen("02:00.0", false);
    let entries = entries(&dark, "vga", &[]);
    assert_eq!(screen_note(&dark, &entries[0]), None);
    assert_eq!(
        screen_note(&dark, &entries[1]).unwrap(),
        "plug a screen into 0000:02:00.0 before that boot: now only 0000:01:00.0 has one"
    );
    assert_eq!(screen_note(&machine(TWO_CARDS), &entries[1]), None, "nothing is known");
}

#[test]
fn a_passphrase_prompt_that_nobody_would_see_is_warned_of() {
    let locked = |mut machine: vfio_core::host::Machine| {
        machine.storage.usages.iter_mut().for_each(|usage| usage.passphrase = true);
        machine
    };
    let cards = || machine(TWO_CARDS).disk("03:00.0", &["/", "/home", "swap"]);
    let warning = |machine: &vfio_core::host::Machine, words: &str, allow: &[Allow]| {
        let warning = prompt_warning(machine, &entries(machine, words, allow))?;
        let help = warning.help.iter().map(|line| format!("\nhelp: {line}"));
        Some(format!("{}{}", warning.what, help.collect::<String>()))
    };
    insta::assert_snapshot!(warning(&locked(cards()), "vga", &[]).unwrap(), @"
    `deploy-vfio-0000:02:00.0` gives away the card that shows the prompt for the passphrase of / and swap: the prompt may be invisible there
    help: try it once: with `default` as the entry the normal one still starts by itself, and `sudo grub-reboot deploy-vfio-0000:02:00.0 && sudo reboot` starts this one; typing blind works too
    help: with `14` as the entry, the one that keeps that card starts by itself
    help: `console=ttyS0` in GRUB_CMDLINE_LINUX brings it to a serial console
    ");
    insta::assert_snapshot!(warning(&locked(desktop()), "1,2", &[Allow::Headless]).unwrap(), @"
    `deploy-vfio-0000:01:00.0` and `deploy-vfio-0000:03:00.0` give away the card that shows the prompt for the passphrase of / and swap: the prompt may be invisible there
    help: try it once: with `default` as the entry the normal one still starts by itself, and `sudo grub-reboot deploy-vfio-0000:01:00.0 && sudo reboot` starts this one; typing blind works too
    help: with `1` as the entry, the one that keeps that card starts by itself
    help: `console=ttyS0` in GRUB_CMDLINE_LINUX brings it to a serial console
    ");
    let headless = locked(machine(&TWO_CARDS.replace(" boot", "")).disk("03:00.0", &["/usr"]));
    insta::assert_snapshot!(warning(&headless, "vga", &[Allow::Headless]).unwrap(), @"
    `deploy-vfio-headless` gives away the card that shows the prompt for the passphrase of /usr: the prompt may be invisible there
    help: try it once: with `default` as the entry the normal one still starts by itself, and `sudo grub-reboot deploy-vfio-headless && sudo reboot` starts this one; typing blind works too
    help: with `14` as the entry, the one that keeps that card starts by itself
    help: `console=ttyS0` in GRUB_CMDLINE_LINUX brings it to a serial console
    ");

    let none = |machine, words| assert_eq!(warning(&machine, words, &[]), None, "{words}");
    none(cards(), "vga");
    none(locked(cards()), "16");
    none(locked(machine(TWO_CARDS).disk("03:00.0", &["/home", "/boot"])), "vga");
    none(locked(cards()).cmdline("console=tty0 console=ttyS0,115200"), "vga");
    assert!(warning(&locked(cards()).cmdline("console=ttyS0 console=tty0"), "vga", &[]).is_some());
    none(
        locked(
            machine("02:00.0 0c03 1912:0014 g2\n03:00.0 0108 144d:a808 g3").disk("03:00.0", &["/"]),
        ),
        "2",
    );
}

//! T4, T5: names of devices and of the system, from files that anybody may have written.

use std::fs;

use super::*;
use crate::tools::has;

/// Names that are something else to a shell, to GRUB, udev, systemd, XML or a terminal.
const HOSTILE: [&str; 16] = [
    "'; touch PWNED; '",
    "\"; touch PWNED; \"",
    "$(touch PWNED)",
    "`touch PWNED`",
    "${PATH}",
    "}\nmenuentry x {",
    "a > b",
    "a & b < c",
    "--><x/>",
    "%n %i %%",
    "\\x27",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "\u{202e}drawkcab",
    "\u{200b}\u{feff}",
    "\u{85}\u{9b}31m",
    "a'b\\'c\\\\'d",
];

/// A machine whose first card, and whose distribution, is called so.
fn called(name: &str) -> Stage {
    let stage = stage();
    let line = name.replace('\n', " ");
    let ids = format!("10de  {line}\n\t1f02  {line} [{line}]\n1002  {line}\n\t67df  {line}\n");
    for path in ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"] {
        let path = stage.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &ids).unwrap();
    }
    stage
}

fn deployed(name: &str) -> Stage {
    let stage = called(name);
    said(&run(stage.path(), &["multiboot", "last", "--yes", "--no-rebuild"]), 0);
    stage
}

#[test]
fn sec_t4_a_name_makes_no_entry_of_its_own() {
    let plain = vfio_testkit::boot_menu(deployed("plain").path()).unwrap();
    let count = |menu: &str| menu.lines().filter(|line| line.contains("menuentry '")).count();
    for name in HOSTILE {
        let stage = deployed(name);
        let menu = vfio_testkit::boot_menu(stage.path()).unwrap();
        assert_eq!(menu.code, 0, "{name:?}: {}", menu.stderr);
        let cfg =
            fs::read_to_string(stage.path().join("boot/grub/grub.cfg")).unwrap_or(menu.stdout);
        let expected = fs::read_to_string(deployed("plain").path().join("boot/grub/grub.cfg"));
        assert_eq!(count(&cfg), count(&expected.unwrap_or(plain.stdout.clone())), "{name:?}");
        assert!(!stage.path().join("PWNED").exists());
    }
}

#[test]
fn sec_t4_grub_reads_the_menu_whatever_names_it_shows() {
    if !has("grub-script-check") {
        return;
    }
    for name in HOSTILE {
        let stage = deployed(name);
        let menu = vfio_testkit::boot_menu(stage.path()).unwrap();
        let file = stage.path().join("menu");
        let text =
            fs::read_to_string(stage.path().join("boot/grub/grub.cfg")).unwrap_or(menu.stdout);
        fs::write(&file, text).unwrap();
        let check = Command::new("grub-script-check").arg(&file).output().unwrap();
        assert!(check.status.success(), "{name:?}: {check:?}");
    }
}

#[test]
fn sec_t4_the_shell_reads_grub_s_settings_as_they_were_meant() {
    for name in HOSTILE {
        let stage = deployed(name);
        let file = stage.path().join("etc/default/grub.d/deploy-vfio.cfg");
        let line = ". \"$1\"; printf %s \"$GRUB_DEFAULT\"";
        let output = Command::new("/bin/sh")
            .args(["-uec", &format!("GRUB_TIMEOUT=5 GRUB_TIMEOUT_STYLE=menu; {line}"), "sh"])
            .arg(&file)
            .env_clear()
            .current_dir(stage.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(told, "deploy-vfio-0000:04:00.0", "{name:?}: {output:?}");
        assert!(!stage.path().join("PWNED").exists(), "{name:?}");
    }
}

#[test]
fn sec_t5_a_terminal_gets_no_control_characters() {
    for name in HOSTILE {
        let stage = called(name);
        for words in
            [&["groups"][..], &["multiboot", "last", "--dry-run"], &["doctor"], &["status"]]
        {
            let output = run(stage.path(), words);
            let text = [&output.stdout[..], &output.stderr[..]].concat();
            let text = String::from_utf8_lossy(&text);
            let bad = |c: &char| {
                (c.is_control() && *c != '\n' && *c != '\t')
                    || matches!(*c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert_eq!(text.chars().find(bad), None, "{words:?} {name:?}: {}", text.escape_debug());
        }
    }
}

#[test]
fn sec_t5_json_is_json_whatever_a_name_is() {
    for name in HOSTILE {
        let stage = called(name);
        for words in [&["groups", "--json"][..], &["host", "--json"], &["status", "--json"]] {
            let output = run(stage.path(), words);
            let json: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
            assert!(json.is_ok(), "{words:?} {name:?}: {output:?}");
        }
    }
}

#[test]
fn sec_t5_files_that_are_written_have_no_line_of_a_name_s_own() {
    for name in HOSTILE {
        let stage = deployed(name);
        for entry in fs::read_dir(stage.path().join("etc/deploy-vfio/entries.d")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let known = ["title=", "arguments=", "arguments-before-"];
                assert!(known.iter().any(|key| line.starts_with(key)), "{name:?}: {text}");
            }
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{name:?}: {text}");
        }
    }
}

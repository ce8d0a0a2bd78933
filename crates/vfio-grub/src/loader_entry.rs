//! Entries as systemd-boot and the GRUB of Fedora read them: a file for each, of lines `key value`
//! (<https://uapi-group.org/specifications/specs/boot_loader_specification/>).
//!
//! Ours is made from one that the system has, so kernel, initial RAM file system and root are what boots
//! there already. Nothing here is put in place: a person does that.

use std::fmt::Write;

use vfio_core::Cmdline;

use crate::Entry;

/// A file of such an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderEntry {
    /// Its name; the directory is that of the entry that it was made from.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl LoaderEntry {
    /// The entry for `entry` with the parameters that all of them share, beside the system's own entry
    /// of this name and text; `None` where that starts no Linux kernel by a command line, or is written in
    /// characters that no terminal should be shown.
    #[must_use]
    pub fn beside(name: &str, text: &str, entry: &Entry, shared: &Cmdline) -> Option<Self> {
        // `.conf` may follow the number of tries that are left.
        let stem = name.strip_suffix(".conf")?;
        let stem = stem.rsplit_once('+').map_or(stem, |(stem, tries)| match tries.as_bytes() {
            [b'0'..=b'9', ..] => stem,
            _ => name.trim_end_matches(".conf"),
        });
        let lines: Vec<(&str, &str)> = text.lines().filter_map(field).collect();
        let value = |key: &str| lines.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        let is_ours = stem.starts_with("deploy-vfio-");
        if is_ours || !stem.chars().all(plain) || text.contains(odd) || value("linux").is_none() {
            return None;
        }
        let mut words = shared.clone();
        words.extend(&entry.arguments);
        let version = version(value("version").or(value("linux")).unwrap_or_default());
        for (_, more) in entry.arguments_before.iter().filter(|(before, _)| version < **before) {
            words.extend(more);
        }
        let title: String = entry.title.chars().filter(|c| !c.is_control()).take(120).collect();
        let mut new = format!("# Made by deploy-vfio from {name}\ntitle {title}\n");
        for (key, value) in lines.iter().filter(|(key, _)| !matches!(*key, "title" | "options")) {
            let _ = writeln!(new, "{key} {value}");
        }
        let options = lines.iter().filter(|(key, _)| *key == "options").map(|(_, value)| *value);
        let options: Vec<&str> = options.filter(|value| !value.is_empty()).collect();
        let _ = writeln!(new, "options {} {words}", options.join(" "));
        let id = entry.id.replace(':', "-");
        Some(Self { name: format!("{id}-{stem}.conf"), text: new.replace("options  ", "options ") })
    }
}

/// A line's key and value; `None` for a comment or an empty line.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Some(line.split_once(char::is_whitespace).map_or((line, ""), |(k, v)| (k, v.trim())))
}

/// Major and minor version of a kernel; 0.0, which no parameter for older kernels is kept from, where
/// there is none.
fn version(text: &str) -> (u32, u32) {
    let Some(start) = text.find(|c: char| c.is_ascii_digit()) else { return (0, 0) };
    let mut numbers = text[start..].split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            id: "deploy-vfio-0000:01:00.0".into(),
            title: "Desktop on a card\n".into(),
            arguments: "deploy_vfio.bind=0000:04:00.0=10de:2484".into(),
            arguments_before: [((6, 1), "initcall_blacklist=sysfb_init".into())].into(),
        }
    }

    const FEDORA: &str = "title Fedora Linux (6.11.4) 41\nversion 6.11.4-301.fc41.x86_64\n\
        linux /vmlinuz-6.11.4\ninitrd /initramfs-6.11.4.img $tuned_initrd\n\
        options root=UUID=1 ro rhgb quiet $tuned_params\ngrub_users $grub_users\ngrub_class fedora\n";

    #[test]
    fn ours_boots_what_the_system_s_own_boots() {
        let shared = "intel_iommu=on".into();
        let made = LoaderEntry::beside("0123-6.11.4.conf", FEDORA, &entry(), &shared).unwrap();
        assert_eq!(made.name, "deploy-vfio-0000-01-00.0-0123-6.11.4.conf");
        assert_eq!(
            made.text,
            "# Made by deploy-vfio from 0123-6.11.4.conf\ntitle Desktop on a card\n\
             version 6.11.4-301.fc41.x86_64\nlinux /vmlinuz-6.11.4\n\
             initrd /initramfs-6.11.4.img $tuned_initrd\ngrub_users $grub_users\ngrub_class fedora\n\
             options root=UUID=1 ro rhgb quiet $tuned_params intel_iommu=on \
             deploy_vfio.bind=0000:04:00.0=10de:2484\n"
        );
        // Names hold what the specification lets them hold.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        assert!(made.name.chars().all(plain));
        let again = LoaderEntry::beside(&made.name, &made.text, &entry(), &shared);
        assert_eq!(again, None, "ours is no base for ours");
    }

    #[test]
    fn odd_entries_are_served_or_left_out() {
        let shared = Cmdline::default();
        let of = |name: &str, text: &str| LoaderEntry::beside(name, text, &entry(), &shared);
        let arch = "# ours\n\ntitle\tArch\nlinux   /vmlinuz-linux\ninitrd /a.img\ninitrd /b.img\n\
                    options root=LABEL=a\noptions rw";
        let made = of("arch+3-1.conf", arch).unwrap();
        assert_eq!(made.name, "deploy-vfio-0000-01-00.0-arch.conf");
        assert!(made.text.contains("initrd /a.img\ninitrd /b.img\n"), "{}", made.text);
        // An unknown version may be an old one.
        let last = "options root=LABEL=a rw deploy_vfio.bind=0000:04:00.0=10de:2484 \
                    initcall_blacklist=sysfb_init\n";
        assert!(made.text.ends_with(last), "{}", made.text);
        assert!(of("a+b.conf", "linux /x").unwrap().text.ends_with(
            "options deploy_vfio.bind=0000:04:00.0=10de:2484 initcall_blacklist=sysfb_init\n"
        ));
        for (name, text) in [
            ("a.conf", "title A\nefi /shell.efi\n"),
            ("a.conf", ""),
            ("a.txt", "linux /x"),
            ("a\n.conf", "linux /x"),
            ("a.conf", "linux /x\noptions \x1b[2J"),
        ] {
            assert_eq!(of(name, text), None, "{name} {text}");
        }
    }
}

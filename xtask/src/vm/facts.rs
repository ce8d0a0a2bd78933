//! What scenarios ask a running machine.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::guest::Guest;

/// One line of the GRUB menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the user reads.
    pub title: String,
    /// What `grub-reboot` takes; submenus and their entries joined by `>`.
    pub id: String,
    /// The arguments of its `linux` command; empty for a submenu.
    pub linux: String,
}

impl Guest {
    /// The driver a device is bound to; empty when it has none.
    pub fn driver_of(&mut self, address: &str) -> Result<String> {
        let link = format!("/sys/bus/pci/devices/{address}/driver");
        self.ok(&format!(
            "test -d /sys/bus/pci/devices/{address} && basename \"$(readlink {link})\""
        ))
    }

    /// Every PCI device's driver by address; empty for those that have none.
    pub fn drivers(&mut self) -> Result<BTreeMap<String, String>> {
        let text = self.ok(
            "cd /sys/bus/pci/devices; for d in *; do echo \"$d $(basename \"$(readlink $d/driver)\")\"; done",
        )?;
        Ok(text.lines().filter_map(pair).collect())
    }

    /// The other devices in a device's IOMMU group, sorted.
    pub fn group_mates(&mut self, address: &str) -> Result<Vec<String>> {
        let text = self.ok(&format!("ls /sys/bus/pci/devices/{address}/iommu_group/devices"))?;
        Ok(text.lines().filter(|mate| *mate != address).map(str::to_owned).collect())
    }

    /// The running kernel's command line.
    pub fn cmdline(&mut self) -> Result<String> {
        self.ok("cat /proc/cmdline")
    }

    /// Everything below /etc: path to type, mode, owner, time, size, link target and checksum.
    ///
    /// Two equal fingerprints mean that not a byte, a bit or a nanosecond differs.
    pub fn etc_fingerprint(&mut self) -> Result<BTreeMap<String, String>> {
        self.fingerprint("/etc")
    }

    /// The same of another directory.
    pub fn fingerprint(&mut self, directory: &str) -> Result<BTreeMap<String, String>> {
        let facts =
            self.ok(&format!("find {directory} -printf '%p\\t%y %m %U:%G %T@ %s %l\\n'"))?;
        let sums = self.ok(&format!("find {directory} -type f -exec sha256sum {{}} +"))?;
        let split = |line: &str| line.split_once('\t').map(|(p, f)| (p.to_owned(), f.to_owned()));
        let mut prints: BTreeMap<String, String> = facts.lines().filter_map(split).collect();
        for line in sums.lines() {
            let (sum, path) = line.split_once("  ").context("no checksum")?;
            prints.entry(path.to_owned()).or_default().push_str(sum);
        }
        Ok(prints)
    }

    /// The entries of /boot/grub/grub.cfg in the order of the menu.
    pub fn grub_menu(&mut self) -> Result<Vec<Entry>> {
        Ok(menu(&self.ok("cat /boot/grub/grub.cfg")?))
    }

    /// Boots an entry once: `grub-reboot ID`, then a reboot.
    pub fn reboot_into(&mut self, id: &str) -> Result<()> {
        self.ok(&format!("grub-reboot '{id}'"))?;
        self.reboot()
    }

    /// The paths inside the running kernel's initrd, sorted.
    pub fn initrd_list(&mut self) -> Result<Vec<String>> {
        let text = self.ok("lsinitramfs /boot/initrd.img-$(uname -r) | sort")?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// What differs between two fingerprints, one line a path; empty when nothing does.
pub fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let mut lines = Vec::new();
    for (path, print) in before {
        match after.get(path) {
            Some(now) if now == print => {}
            Some(now) => lines.push(format!("{path}: {print} became {now}")),
            None => lines.push(format!("{path}: gone")),
        }
    }
    let new = after.keys().filter(|path| !before.contains_key(*path));
    lines.extend(new.map(|path| format!("{path}: new")));
    lines.join("\n")
}

fn pair(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(' ')?;
    Some((key.to_owned(), value.to_owned()))
}

/// Reads the menu entries of a grub.cfg: blocks open at the end of a line and close at the start of one.
fn menu(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // The ids of the open blocks; `None` for blocks that are not submenus.
    let mut open: Vec<Option<String>> = Vec::new();
    for line in text.lines().map(str::trim) {
        let submenu = line.starts_with("submenu ");
        if submenu || line.starts_with("menuentry ") {
            let words = quoted(line);
            let title = words.first().cloned().unwrap_or_default();
            let named = line.contains("menuentry_id_option");
            let own = if named { words.last().cloned().unwrap_or_default() } else { title.clone() };
            let path: Vec<&str> =
                open.iter().flatten().map(String::as_str).chain([&*own]).collect();
            entries.push(Entry { title, id: path.join(">"), linux: String::new() });
            open.push(submenu.then_some(own));
        } else if line.starts_with('}') {
            open.pop();
        } else if line.ends_with('{') {
            open.push(None);
        } else if let Some(rest) = line.strip_prefix("linux")
            && let Some(entry) = entries.last_mut()
        {
            entry.linux = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    entries
}

/// The words in single quotes, GRUB's `'\''` read as an apostrophe.
fn quoted(text: &str) -> Vec<String> {
    let text = text.replace("'\\''", "\u{1}");
    let inside = text.split('\'').skip(1).step_by(2);
    inside.map(|word| word.replace('\u{1}', "'")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_has_titles_ids_and_arguments() {
        let text = "function load {\n  true\n}\n\
            menuentry 'Debian' --class os $menuentry_id_option 'simple-1' {\n\
            \tlinux\t/boot/vmlinuz root=x  quiet\n}\n\
            submenu 'It'\\''s more' $menuentry_id_option 'more-1' {\n\
            \tmenuentry 'Old' $menuentry_id_option 'old-1' {\n\t}\n}\n\
            menuentry 'Last' {\n}\n";
        let menu = menu(text);
        let ids: Vec<&str> = menu.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["simple-1", "more-1", "more-1>old-1", "Last"]);
        assert_eq!(menu[0].linux, "/boot/vmlinuz root=x quiet");
        assert_eq!(menu[1].title, "It's more");
    }

    #[test]
    fn a_difference_names_every_path() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(p, f)| (p.to_owned(), f.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let before = of(&[("/etc/a", "1"), ("/etc/b", "2"), ("/etc/c", "3")]);
        let after = of(&[("/etc/a", "1"), ("/etc/b", "9"), ("/etc/d", "4")]);
        assert_eq!(difference(&before, &before), "");
        assert_eq!(difference(&before, &after), "/etc/b: 2 became 9\n/etc/c: gone\n/etc/d: new");
    }
}

//! Entries as systemd-boot and the GRUB of Fedora read them: a file for each, of lines `key value`
//! (<https://uapi-group.org/specifications/specs/boot_loader_specification/>).
//!
//! Ours is made from one that the system has, so kernel, initial RAM file system and root are what boots
//! there already. Nothing here is put in place: a person does that.

use std::{cmp::Ordering, fmt::Write};

use vfio_core::{
    CMDLINE_MAX_LEN, Cmdline,
    host::{Kernel, compare_releases, visible},
};

use crate::{Entry, version};

/// What the names of all entries of ours begin with.
const OURS: &str = "deploy-vfio-";

/// An entry of ours, as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderEntry {
    /// Its name; the directory is that of the entry that it was made from.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl LoaderEntry {
    /// Whether a file of this name is an entry of ours.
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        name.starts_with(OURS) && name.ends_with(".conf")
    }
}

/// The installation that entries are wanted for; `None` is what nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// What `/etc/machine-id` says.
    pub machine_id: Option<String>,
    /// The `root=` that its kernel was started with.
    pub root: Option<String>,
}

/// An entry that the system has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemEntry {
    name: String,
    /// The name without `.conf`, and without a count of tries.
    stem: String,
    lines: Vec<(String, String)>,
    version: Option<String>,
    /// Whether it holds what a terminal would obey, or what is no text.
    hides: bool,
}

impl SystemEntry {
    /// Reads the entry of this name and text; `None` where the name is no entry's, or one of ours. Where
    /// it does not say its kernel's version, the one of `kernels` with that image does.
    #[must_use]
    pub fn read(name: &str, text: &str, kernels: &[Kernel]) -> Option<Self> {
        let stem = name
            .strip_suffix(".conf")
            .filter(|_| !LoaderEntry::is_ours(name) && !name.starts_with('.'))?;
        let plain = |line: &str| visible(line) == line.trim_end_matches('\r').replace('\t', "");
        let hides = !text.lines().all(plain) || text.contains('\u{fffd}');
        let lines = text.lines().filter_map(field).collect();
        let stem = counted(stem).map_or(stem, |(stem, _)| stem).to_owned();
        let mut entry = Self { name: name.to_owned(), stem, lines, version: None, hides };
        let image = entry.value("linux").map(file_name);
        let kernel = kernels.iter().find(|kernel| image == Some(file_name(&kernel.image)));
        let version = entry.value("version").or(kernel.map(|kernel| kernel.release.as_str()));
        entry.version = version.map(str::to_owned);
        Some(entry)
    }

    /// The name of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What loaders call it: its name without a count of tries.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.conf", self.stem)
    }

    /// Whether a loader has it in its menu: it starts a kernel or a program, and its name can be typed.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        let is_shown = is_plain(&self.name) && !self.name.starts_with("auto-");
        is_shown && ["linux", "efi", "uki"].iter().any(|key| self.value(key).is_some())
    }

    /// What tells it from the system's other entries: the name before `.conf`.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The version of its kernel; `None` where nothing says it.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The value of the first line with this key; `None` where there is none, or nothing in it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.lines.iter().find(|(k, value)| k == key && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Names entries of ours by the count of tries as well; `false` where there is none.
    pub fn keep_count(&mut self) -> bool {
        let stem = self.name.trim_end_matches(".conf");
        let Some((stem, count)) = counted(stem).filter(|(stem, _)| *stem == self.stem) else {
            return false;
        };
        // After `+` it would be a count again.
        self.stem = format!("{stem}.{count}");
        true
    }

    /// Gives it the parameters that GRUB takes for an entry without any.
    pub fn set_options(&mut self, options: &str) {
        self.hides |= visible(options) != options;
        self.lines.push(("options".to_owned(), options.to_owned()));
    }

    /// Why no entry of ours can be made from it; `None` where one can.
    #[must_use]
    pub fn unfit(&self, here: &Installation) -> Option<String> {
        let why = |text: &str| Some(text.to_owned());
        if self.hides || !is_plain(&self.name) {
            return why("it is written in characters that no terminal should be shown");
        }
        if self.value("linux").is_none() {
            let other = ["efi", "uki"].iter().find_map(|key| self.value(key));
            return why(match other {
                Some(_) => "it starts a program of the firmware, which takes no parameters from us",
                None => "no line `linux` names a kernel",
            });
        }
        if self.stem.starts_with("0-rescue") || self.stem.contains("-0-rescue") {
            return why("it is a rescue entry");
        }
        let differ = |own: Option<&str>, here: &Option<String>| {
            own.zip(here.as_deref()).is_some_and(|(own, here)| own != here)
        };
        if differ(self.value("machine-id"), &here.machine_id) {
            return why("it is another installation's, by its `machine-id`");
        }
        let options = Cmdline::from(self.options().as_str());
        let root = options.value("root").filter(|root| !root.contains('$'));
        differ(root, &here.root).then(|| "it is another installation's, by its `root=`".to_owned())
    }

    /// The entry of ours for `entry` beside this one, with the parameters that all of ours share; `label`
    /// tells it from those for other kernels.
    ///
    /// # Errors
    ///
    /// The reason why there is none: a command line that no kernel would read to its end.
    pub fn beside(
        &self,
        entry: &Entry,
        shared: &Cmdline,
        label: Option<&str>,
    ) -> Result<LoaderEntry, String> {
        let mut words = shared.clone();
        words.extend(&entry.arguments);
        let version = numbers(self.version().or(self.value("linux")).unwrap_or_default());
        for (_, more) in entry.arguments_before.iter().filter(|(before, _)| version < **before) {
            words.extend(more);
        }
        let options = format!("{} {words}", self.options());
        let options = options.trim();
        if options.len() >= CMDLINE_MAX_LEN {
            let (length, most) = (options.len(), CMDLINE_MAX_LEN - 1);
            return Err(format!(
                "a kernel reads {most} bytes of ours' {length} on the command line"
            ));
        }
        let title: String = visible(&entry.title).chars().take(120).collect();
        let label = label.map(|label| format!(" ({label})")).unwrap_or_default();
        let mut text = format!("# Made by deploy-vfio from {}\ntitle {title}{label}\n", self.name);
        let kept = |key: &str| !matches!(key, "title" | "options");
        for (key, value) in self.lines.iter().filter(|(key, _)| kept(key)) {
            let _ = writeln!(text, "{}", format!("{key} {value}").trim());
        }
        let _ = writeln!(text, "options {options}");
        let id = entry.id.replace(':', "-");
        Ok(LoaderEntry { name: format!("{id}-{}.conf", self.stem), text })
    }

    fn options(&self) -> String {
        let options =
            self.lines.iter().filter(|(key, value)| key == "options" && !value.is_empty());
        options.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Whether all tries to boot it failed.
    fn is_spent(&self) -> bool {
        let stem = self.name.trim_end_matches(".conf");
        let left = counted(stem).and_then(|(_, count)| count.split('-').next());
        left.is_some_and(|left| left.trim_start_matches('0').is_empty())
    }

    /// The order of kernels, the newest first; one that failed at every try, or whose version nobody
    /// knows, comes after the others.
    #[must_use]
    pub fn newest_first(a: &Self, b: &Self) -> Ordering {
        let versions = match (a.version(), b.version()) {
            (Some(a), Some(b)) => compare_releases(b, a),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        let names = || version::compare(&lower(b), &lower(a));
        a.is_spent().cmp(&b.is_spent()).then(versions).then_with(names)
    }

    /// The order of systemd-boot's menu, whose first entry starts by itself where nothing else is said.
    #[must_use]
    pub fn menu_order(a: &Self, b: &Self) -> Ordering {
        let both = |key| (a.value(key), b.value(key));
        let sorted = match both("sort-key") {
            (Some(key), Some(other)) => {
                let (machine, other_machine) = both("machine-id");
                let (a, b) = both("version");
                let newer = || version::compare(b.unwrap_or_default(), a.unwrap_or_default());
                key.cmp(other).then(machine.cmp(&other_machine)).then_with(newer)
            }
            (key, other) => key.is_none().cmp(&other.is_none()),
        };
        let names = || version::compare(&lower(b), &lower(a));
        a.is_spent().cmp(&b.is_spent()).then(sorted).then_with(names)
    }
}

/// A line's key and value; `None` for a comment or an empty line.
fn field(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((key.to_owned(), value.trim().to_owned()))
}

/// What is before and in the count of tries at the end of a name: `+LEFT` or `+LEFT-DONE`.
fn counted(stem: &str) -> Option<(&str, &str)> {
    let (stem, count) = stem.rsplit_once('+').filter(|(stem, _)| !stem.is_empty())?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (left, done) = count.split_once('-').unwrap_or((count, "0"));
    (number(left) && number(done)).then_some((stem, count))
}

/// Whether a name holds nothing but what the specification lets it hold.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c))
}

/// The id as loaders compare it.
fn lower(entry: &SystemEntry) -> String {
    entry.id().to_lowercase()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Major and minor version of a kernel; 0.0, which no parameter for older kernels is kept from, where
/// there is none.
fn numbers(text: &str) -> (u32, u32) {
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
            title: "Desktop on a \u{202e}card\n".into(),
            arguments: "deploy_vfio.bind=0000:04:00.0=10de:2484".into(),
            arguments_before: [((6, 1), "initcall_blacklist=sysfb_init".into())].into(),
        }
    }

    fn read(name: &str, text: &str) -> SystemEntry {
        SystemEntry::read(name, text, &[]).unwrap()
    }

    fn beside(name: &str, text: &str) -> LoaderEntry {
        read(name, text).beside(&entry(), &Cmdline::default(), None).unwrap()
    }

    const FEDORA: &str = "title Fedora Linux (6.11.4) 41\nversion 6.11.4-301.fc41.x86_64\n\
        linux /vmlinuz-6.11.4\ninitrd /initramfs-6.11.4.img $tuned_initrd\n\
        options root=UUID=1 ro rhgb quiet $tuned_params\ngrub_users $grub_users\ngrub_class fedora\n";

    #[test]
    fn ours_boots_what_the_system_s_own_boots() {
        let shared = "intel_iommu=on".into();
        let own = read("0123-6.11.4.conf", FEDORA);
        let made = own.beside(&entry(), &shared, Some("6.11.4")).unwrap();
        assert_eq!(made.name, "deploy-vfio-0000-01-00.0-0123-6.11.4.conf");
        assert_eq!(
            made.text,
            "# Made by deploy-vfio from 0123-6.11.4.conf\ntitle Desktop on a card (6.11.4)\n\
             version 6.11.4-301.fc41.x86_64\nlinux /vmlinuz-6.11.4\n\
             initrd /initramfs-6.11.4.img $tuned_initrd\ngrub_users $grub_users\ngrub_class fedora\n\
             options root=UUID=1 ro rhgb quiet $tuned_params intel_iommu=on \
             deploy_vfio.bind=0000:04:00.0=10de:2484\n"
        );
        assert!(is_plain(&made.name), "{}", made.name);
        assert_eq!(
            SystemEntry::read(&made.name, &made.text, &[]),
            None,
            "ours is no base for ours"
        );
        assert_eq!(beside("a.conf", &FEDORA.replace('\n', "\r\n")).text.matches('\r').count(), 0);
    }

    #[test]
    fn odd_entries_are_served() {
        let arch = "# ours\n\ntitle\tArch\nlinux   /vmlinuz-linux\ninitrd /a.img\ninitrd /b.img\n\
                    options root=LABEL=a\noptions rw";
        let made = beside("arch+3-1.conf", arch);
        assert_eq!(made.name, "deploy-vfio-0000-01-00.0-arch.conf");
        assert!(made.text.contains("initrd /a.img\ninitrd /b.img\n"), "{}", made.text);
        // An unknown version may be an old one.
        let last = "options root=LABEL=a rw deploy_vfio.bind=0000:04:00.0=10de:2484 \
                    initcall_blacklist=sysfb_init\n";
        assert!(made.text.ends_with(last), "{}", made.text);
        assert!(beside("a+b.conf", "linux /x").text.ends_with(
            "options deploy_vfio.bind=0000:04:00.0=10de:2484 initcall_blacklist=sysfb_init\n"
        ));
        let kernel = Kernel {
            release: "6.11.5-arch1-1".into(),
            image: "boot/vmlinuz-linux".into(),
            ..Kernel::default()
        };
        let known = SystemEntry::read("arch.conf", arch, &[kernel]).unwrap();
        assert_eq!(known.version(), Some("6.11.5-arch1-1"));
        let made = known.beside(&entry(), &Cmdline::default(), None).unwrap();
        assert!(!made.text.contains("sysfb_init"), "{}", made.text);
    }

    #[test]
    fn what_is_not_fit_is_told() {
        let here = Installation { machine_id: Some("0123".into()), root: Some("UUID=1".into()) };
        for (name, text, why) in [
            ("a.conf", "title A\nefi /shell.efi\n", "a program of the firmware"),
            ("a.conf", "uki /EFI/Linux/a.efi\n", "a program of the firmware"),
            ("a.conf", "", "no line `linux`"),
            ("a.conf", "linux\noptions root=UUID=1", "no line `linux`"),
            ("a\n.conf", "linux /x", "characters"),
            ("a.conf", "linux /x\noptions \x1b[2J", "characters"),
            ("a.conf", "title \u{202e}A\nlinux /x", "characters"),
            ("a.conf", "linux /x\roptions a", "characters"),
            ("a.conf", "linux /\u{fffd}", "characters"),
            ("0123-0-rescue.conf", "linux /x", "rescue"),
            ("0123-0-rescue-4567.conf", "linux /x", "rescue"),
            ("a.conf", "linux /x\nmachine-id 4567\noptions root=UUID=1", "by its `machine-id`"),
            ("a.conf", "linux /x\nmachine-id 0123\noptions root=UUID=2", "by its `root=`"),
        ] {
            let told = read(name, text).unfit(&here).unwrap_or_default();
            assert!(told.contains(why), "{name} {text}: {told}");
        }
        for text in [
            FEDORA,
            "linux\t/x\r\nmachine-id\t0123\r\noptions root=UUID=1 \r",
            "linux /x",
            "linux /x\noptions root=$root",
        ] {
            assert_eq!(read("a.conf", text).unfit(&here), None, "{text}");
        }
        let other = read("a.conf", "linux /x\nmachine-id 4567\noptions root=UUID=2");
        assert_eq!(other.unfit(&Installation::default()), None, "nothing is known");
        for name in ["a.txt", ".conf", ".a.conf"] {
            assert_eq!(SystemEntry::read(name, "linux /x", &[]), None, "{name}");
        }
    }

    #[test]
    fn a_command_line_that_no_kernel_would_read_is_left_out() {
        let of = |length: usize| {
            let options = "x".repeat(length - " deploy_vfio.bind=0000:04:00.0=10de:2484".len());
            let text = format!("version 6.12\nlinux /x\noptions {options}\n");
            read("a.conf", &text).beside(&entry(), &Cmdline::default(), None)
        };
        assert!(of(2047).is_ok());
        assert!(of(2048).unwrap_err().contains("2048"));
    }

    #[test]
    fn only_a_count_of_tries_is_none_of_the_name() {
        let stem = |name: &str| read(name, "linux /x").stem().to_owned();
        assert_eq!(stem("deb-6.12.0+5-rpi.conf"), "deb-6.12.0+5-rpi");
        assert_eq!(stem("deb-6.12.0+6-rpi+3.conf"), "deb-6.12.0+6-rpi");
        assert_eq!((stem("a+3-0.conf"), stem("a+0.conf")), ("a".to_owned(), "a".to_owned()));
        for whole in ["a+", "a+3-", "a+-3", "a+3x", "+3", "a+3-1-2"] {
            assert_eq!(stem(&format!("{whole}.conf")), whole);
        }
        let mut counted = read("a+3-1.conf", "linux /x");
        assert!(counted.keep_count() && !counted.keep_count());
        assert_eq!(counted.stem(), "a.3-1");
        assert!(!read("a.conf", "linux /x").keep_count());
    }

    #[test]
    fn kernels_are_in_order_of_their_versions() {
        let by = |order: fn(&SystemEntry, &SystemEntry) -> Ordering, entries: &[(&str, &str)]| {
            let mut entries: Vec<_> =
                entries.iter().map(|(name, text)| read(&format!("{name}.conf"), text)).collect();
            entries.sort_by(order);
            entries.iter().map(|entry| entry.stem().to_owned()).collect::<Vec<_>>()
        };
        let newest = |entries: &[(&str, &str)]| by(SystemEntry::newest_first, entries);
        assert_eq!(newest(&[("0-6.9.9", ""), ("0-6.11.4", ""), ("0-6.11-rc3", "")])[0], "0-6.11.4");
        assert_eq!(
            newest(&[
                ("z", ""),
                ("c", "version 6.9.9"),
                ("a", "version 6.11.4"),
                ("b+0-3", "version 6.12")
            ]),
            ["a", "c", "z", "b"]
        );
        assert_eq!(newest(&[("arch-fallback", ""), ("arch", ""), ("arch-lts", "")])[0], "arch");
        let menu = |entries: &[(&str, &str)]| by(SystemEntry::menu_order, entries);
        assert_eq!(menu(&[("shell", ""), ("0-6.9.9", ""), ("0-6.11.4", "")])[0], "0-6.11.4");
        assert_eq!(
            menu(&[
                ("z", "version 7"),
                ("b", "sort-key b\nversion 6.12"),
                ("a", "sort-key a\nversion 6.9"),
                ("c", "sort-key a\nversion 6.11")
            ]),
            ["c", "a", "b", "z"]
        );
    }
}

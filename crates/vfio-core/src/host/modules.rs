//! Which kernel modules may drive a device: the aliases in `/lib/modules/RELEASE/modules.alias`,
//! and in `modules.builtin.modinfo` those of the drivers that are part of the kernel's image.
//!
//! The first has some ten thousand patterns for PCI devices. Nearly all begin with a vendor's id,
//! so they are kept by that beginning and a device is matched against its own vendor's only.

use std::collections::BTreeMap;

use crate::{Result, Root, host::attr::text};

/// As much of a pattern as names the vendor: `pci:v000010DE`.
const VENDOR: usize = "pci:v000010DE".len();

/// The aliases for PCI devices of one kernel; none when its modules are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    loadable: Aliases,
    built_in: Aliases,
}

/// The patterns of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Aliases {
    /// Pattern and module, in the file's order.
    aliases: Vec<(String, String)>,
    /// Which of them begin with a vendor; those for any vendor stand under the empty text.
    by_vendor: BTreeMap<String, Vec<usize>>,
}

impl Modules {
    /// Reads the aliases of the kernel `release`; empty when it has no modules.
    pub fn read(root: &Root, release: &str) -> Result<Self> {
        let dirs = ["lib/modules", "usr/lib/modules"];
        let file = |name: &str| {
            let paths = dirs.map(|dir| format!("{dir}/{release}/{name}"));
            paths.iter().find_map(|path| text(root, path)).unwrap_or_default()
        };
        Ok(Self {
            loadable: Aliases::parse(&file("modules.alias")),
            built_in: Aliases::of_image(&file("modules.builtin.modinfo")),
        })
    }

    /// The modules that may drive the device with this modalias, each once, in the order in which
    /// `modprobe` would load them.
    #[must_use]
    pub fn candidates(&self, modalias: &str) -> Vec<String> {
        self.loadable.matching(modalias)
    }

    /// The same for drivers that are part of the kernel's image, and so come before any module.
    #[must_use]
    pub fn built_in(&self, modalias: &str) -> Vec<String> {
        self.built_in.matching(modalias)
    }
}

impl Aliases {
    /// Lines `alias PATTERN MODULE`.
    fn parse(text: &str) -> Self {
        let mut aliases = Self::default();
        for line in text.lines() {
            let rest = line.strip_prefix("alias ");
            if let Some((pattern, module)) = rest.and_then(|rest| rest.trim_end().rsplit_once(' '))
            {
                aliases.add(pattern, module);
            }
        }
        aliases
    }

    /// `MODULE.alias=PATTERN` among others, each ended by a NUL byte.
    fn of_image(text: &str) -> Self {
        let mut aliases = Self::default();
        for (module, pattern) in text.split('\0').filter_map(|item| item.split_once(".alias=")) {
            aliases.add(pattern.trim_end(), module);
        }
        aliases
    }

    fn add(&mut self, pattern: &str, module: &str) {
        if !pattern.starts_with("pci:") {
            return;
        }
        let vendor = pattern.get(..VENDOR).filter(|vendor| !vendor.contains(['*', '?', '[']));
        let key = vendor.unwrap_or_default().to_owned();
        self.by_vendor.entry(key).or_default().push(self.aliases.len());
        self.aliases.push((pattern.to_owned(), module.to_owned()));
    }

    fn matching(&self, modalias: &str) -> Vec<String> {
        let of = |key: &str| self.by_vendor.get(key).map_or(&[][..], Vec::as_slice).iter().copied();
        let mut at: Vec<_> = of(modalias.get(..VENDOR).unwrap_or_default()).chain(of("")).collect();
        at.sort_unstable();
        at.dedup();
        let mut found = Vec::new();
        for (pattern, module) in at.iter().map(|at| &self.aliases[*at]) {
            if !found.contains(module) && matches(pattern.as_bytes(), modalias.as_bytes()) {
                found.push(module.clone());
            }
        }
        found
    }
}

/// Whether a shell pattern (`*`, `?`, `[…]`, as in `fnmatch(3)`) matches all of `text`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star did not match: one byte further.
    let mut star = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(_) => text.get(t).and_then(|byte| one(&pattern[p..], *byte)),
            None if t == text.len() => return true,
            None => None,
        };
        match (step, star) {
            (Some(width), _) => (p, t) = (p + width, t + 1),
            (None, Some((after, from))) if from < text.len() => {
                (p, t) = (after, from + 1);
                star = Some((after, from + 1));
            }
            _ => return false,
        }
    }
}

/// How much of the pattern `byte` uses up; `None` when it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => match set(rest) {
            Some(set) => {
                let negated = matches!(set.first(), Some(b'!' | b'^'));
                let listed = contains(&set[usize::from(negated)..], byte);
                (listed != negated).then_some(set.len() + 2)
            }
            None => (byte == b'[').then_some(1),
        },
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

/// What stands in brackets; a `]` that comes first is one of the characters.
fn set(rest: &[u8]) -> Option<&[u8]> {
    let first = 1 + usize::from(matches!(rest.first(), Some(b'!' | b'^')));
    let end = rest.iter().skip(first).position(|byte| *byte == b']')?;
    Some(&rest[..first + end])
}

fn contains(mut set: &[u8], byte: u8) -> bool {
    loop {
        let found;
        (found, set) = match set {
            [from, b'-', to, rest @ ..] => ((from..=to).contains(&&byte), rest),
            [first, rest @ ..] => (*first == byte, rest),
            [] => return false,
        };
        if found {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    const GPU: &str = "pci:v000010DEd00002484sv00001462sd00003909bc03sc00i00";

    #[test]
    fn finds_the_modules_of_a_device_in_order() {
        let tree = Tree::new().file(
            "usr/lib/modules/6.1.0/modules.alias",
            b"# Aliases\nalias pci:v000010DEd*sv*sd*bc03sc0[0-2]i00* nvidia\n\
              alias pci:v00008086d*sv*sd*bc*sc*i* e1000\n\
              alias pci:v*d*sv*sd*bc03sc00i0? generic\xff\n\
              alias pci:v000010DEd*sv*sd*bc03sc*i* nouveau\n\
              alias pci:v000010DEd00002484* nvidia\nalias usb:v10DE* x\nalias pci:broken\n",
        );
        let modules = Modules::read(&tree.root(), "6.1.0").unwrap();
        assert_eq!(modules.candidates(GPU), ["nvidia", "generic\u{fffd}", "nouveau"]);
        assert_eq!(modules.candidates("pci:v"), Vec::<String>::new());
        let none = Modules::read(&tree.root(), "6.2.0").unwrap();
        assert_eq!(none.candidates(GPU), Vec::<String>::new());
    }

    #[test]
    fn drivers_of_the_kernel_s_image_stand_apart() {
        let usb = "pci:v000010DEd00001ADAsv00001462sd00003909bc0Csc03i30";
        let tree = Tree::new().file(
            "lib/modules/7.0/modules.builtin.modinfo",
            b"xhci_pci.license=GPL\0xhci_pci.alias=pci:v*d*sv*sd*bc0Csc03i30*\0\
              x.alias=usb:v1\0.alias=\0alias=pci:\0\xff\0xhci_pci.alias=pci:v000010DEd*\0",
        );
        let modules = Modules::read(&tree.root(), "7.0").unwrap();
        assert_eq!(modules.built_in(usb), ["xhci_pci"]);
        assert_eq!(modules.candidates(usb), Vec::<String>::new());
        assert_eq!(modules.built_in("pci:v00001234"), Vec::<String>::new());
    }

    #[test]
    fn matches_as_the_shell_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a]x", "bx", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("[!", "[!", true),
            ("*****a", "bbbb", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(alias pci:|[\\PC\n]){0,20}", p in "[\\]\\[*?!^abc-]{0,12}", t in "[a-c]{0,12}") {
            let _ = (Aliases::parse(&text), Aliases::of_image(&text).matching(GPU));
            let _ = matches(p.as_bytes(), t.as_bytes());
        }

        #[test]
        fn a_star_matches_anything(before in "[a-z]{0,5}", after in "[a-z]{0,5}", any in "\\PC{0,9}") {
            let text = format!("{before}{any}{after}");
            let pattern = format!("{before}*{after}");
            prop_assert!(matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

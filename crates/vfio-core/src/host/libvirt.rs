//! Which libvirt and which QEMU are installed, and which daemon runs the guests.
//!
//! Versions come from dpkg's list of packages. Other package managers keep theirs in databases
//! that only their own programs read: there the versions are unknown.

use std::{fmt, str::FromStr};

use crate::{
    Result, Root,
    host::attr::{exists, names},
};

const DPKG: &str = "var/lib/dpkg/status";
const UNITS: &str = "etc/systemd/system";

/// A version as its authors number it: `9.0.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number; 0 when there is none.
    pub patch: u32,
}

impl FromStr for Version {
    type Err = String;

    /// Reads a package's version too: `1:7.2+dfsg-7+deb12u12` is 7.2.0.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers = || {
            let upstream = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
            let end = upstream.find(|c: char| !c.is_ascii_digit() && c != '.');
            let mut parts = upstream[..end.unwrap_or(upstream.len())].split('.');
            let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let patch = parts.next().map_or(Some(0), |part| part.parse().ok())?;
            Some(Self { major, minor, patch })
        };
        numbers().ok_or_else(|| "not a version such as 9.0.0".to_owned())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The daemon that reads `/etc/libvirt/qemu.conf`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Daemon {
    /// `libvirtd`, one daemon for everything.
    #[default]
    Libvirtd,
    /// `virtqemud`, one daemon for each kind of guest.
    Virtqemud,
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libvirtd => "libvirtd",
            Self::Virtqemud => "virtqemud",
        })
    }
}

/// The software that runs guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Libvirt {
    /// libvirt's version; `None` when it is not installed or nobody can say.
    pub version: Option<Version>,
    /// QEMU's version; `None` when it is not installed or nobody can say.
    pub qemu: Option<Version>,
    /// The daemon that is enabled.
    pub daemon: Daemon,
}

impl Libvirt {
    /// Reads `/var/lib/dpkg/status` and the enabled units.
    pub fn read(root: &Root) -> Result<Self> {
        let packages = root.text(DPKG).ok().flatten().unwrap_or_default();
        Ok(Self {
            version: installed(&packages, |name| name.starts_with("libvirt-daemon")),
            qemu: installed(&packages, |name| {
                name.starts_with("qemu-system-x86") || name.starts_with("qemu-kvm")
            }),
            daemon: daemon(root),
        })
    }
}

/// The version of an installed package of Debian; `None` when it is not there or nobody can say.
pub fn installed_version(root: &Root, package: &str) -> Result<Option<Version>> {
    let packages = root.text(DPKG)?.unwrap_or_default();
    Ok(installed(&packages, |name| name == package))
}

/// The version of an installed package as dpkg has it, such as `0+b1-5`; `None` as above.
pub fn installed_package(root: &Root, package: &str) -> Result<Option<String>> {
    let packages = root.text(DPKG)?.unwrap_or_default();
    Ok(versions(&packages, |name| name == package).next().map(str::to_owned))
}

/// The version of the first installed package whose name is `wanted`.
fn installed(packages: &str, wanted: impl Fn(&str) -> bool) -> Option<Version> {
    versions(packages, wanted).find_map(|version| version.parse().ok())
}

/// The versions of the installed packages whose names are `wanted`, as dpkg has them.
fn versions(packages: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let installed = move |paragraph: &&str| {
        // Wanted, without error, and there: not a package of which only the configuration is left.
        let there =
            field(paragraph, "Status").is_some_and(|status| status.ends_with(" ok installed"));
        there && wanted(field(paragraph, "Package").unwrap_or_default())
    };
    let paragraphs = packages.split("\n\n").filter(installed);
    paragraphs.filter_map(|paragraph| field(paragraph, "Version"))
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let mut values =
        paragraph.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().map(str::trim)
}

fn daemon(root: &Root) -> Daemon {
    let enabled = |unit: &str| {
        let wants = ["sockets.target.wants", "multi-user.target.wants"];
        let has = |dir| names(root, &format!("{UNITS}/{dir}")).iter().any(|name| name == unit);
        wants.into_iter().any(has)
    };
    let there = |unit: &str| exists(root, &format!("usr/lib/systemd/system/{unit}"));
    let modular = enabled("virtqemud.socket") || enabled("virtqemud.service");
    let monolithic = enabled("libvirtd.socket") || enabled("libvirtd.service");
    let only = there("virtqemud.service") && !there("libvirtd.service");
    if (modular && !monolithic) || only { Daemon::Virtqemud } else { Daemon::Libvirtd }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn a_version_is_what_its_authors_call_it() {
        for (text, version) in [
            ("9.0.0-4+deb12u2", "9.0.0"),
            ("1:7.2+dfsg-7+deb12u12", "7.2.0"),
            ("10.0.0-2ubuntu8.6", "10.0.0"),
            ("11.3.0~rc1-1", "11.3.0"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), version);
        }
        for text in ["", "9", "x.1", "1:", "99999999999.0", ".1", "1..2"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert!("7.10.0".parse::<Version>().unwrap() > "7.4.0".parse().unwrap());
    }

    fn read(status: &str) -> Libvirt {
        Libvirt::read(&Tree::new().file("var/lib/dpkg/status", status).root()).unwrap()
    }

    #[test]
    fn only_installed_packages_have_a_version() {
        let libvirt = read(
            "Package: libvirt-daemon-config-network\nStatus: deinstall ok config-files\n\
             Version: 5.0.0-4\n\nPackage: libvirt0\nStatus: install ok installed\n\
             Version: 8.0.0-1\n\nPackage: libvirt-daemon\nStatus: install ok installed\n\
             Description: x\n Version: 1.1.1\nVersion: 9.0.0-4+deb12u2\n\n\
             Package: qemu-system-x86\nVersion: 1:7.2+dfsg-7\nStatus: hold ok installed\n",
        );
        assert_eq!(libvirt.version.unwrap().to_string(), "9.0.0");
        assert_eq!(libvirt.qemu.unwrap().to_string(), "7.2.0");
        assert_eq!(read("Package: libvirt-daemon\n"), Libvirt::default());
        assert_eq!(Libvirt::read(&Root::empty()).unwrap(), Libvirt::default());
    }

    #[test]
    fn the_enabled_daemon_reads_the_configuration() {
        let wants = format!("{UNITS}/sockets.target.wants");
        let tree = Tree::new().link(&format!("{wants}/virtqemud.socket"), "/lib/gone");
        assert_eq!(daemon(&tree.root()), Daemon::Virtqemud);
        let tree = tree.link(&format!("{wants}/libvirtd.socket"), "/lib/gone");
        assert_eq!(daemon(&tree.root()), Daemon::Libvirtd);
    }

    proptest! {
        #[test]
        fn no_list_of_packages_makes_it_panic(text in "(Package|Status|Version|[:. \\n]|\\PC){0,60}") {
            let _ = installed(&text, |name| name == "libvirt-daemon");
        }
    }
}

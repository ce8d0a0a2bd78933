//! Which files belong to packages of the distribution, from dpkg's own lists.

use std::collections::BTreeSet;

use crate::{Result, Root};

const LISTS: &str = "var/lib/dpkg/info";

/// The first of `paths` that belongs to a package, in their order, and the package's name; `None`
/// when none does, or when the system below `root` has no dpkg.
///
/// Whether a package or a path names a file with `/usr` or without makes no difference: `/bin` and
/// `/usr/bin` are one directory now, and were not for older packages.
pub fn owner(root: &Root, paths: &[String]) -> Result<Option<(String, String)>> {
    let mut best: Option<(usize, String)> = None;
    let wanted: Vec<BTreeSet<String>> = paths.iter().map(|path| names(path)).collect();
    for name in root.names(LISTS)? {
        let Some(package) = name.strip_suffix(".list") else { continue };
        root.pieces(&format!("{LISTS}/{name}"), |lines| {
            for line in lines.split(|&byte| byte == b'\n') {
                let Ok(line) = std::str::from_utf8(line) else { continue };
                let at = wanted.iter().position(|names| names.contains(line));
                if let Some(at) = at.filter(|at| best.as_ref().is_none_or(|(best, _)| at < best)) {
                    best = Some((at, package.to_owned()));
                }
            }
        })?;
    }
    Ok(best.map(|(at, package)| (paths[at].clone(), without_architecture(&package))))
}

/// The names under which a package may have the file.
fn names(path: &str) -> BTreeSet<String> {
    let short = path.strip_prefix("usr/").unwrap_or(path);
    [format!("/{short}"), format!("/usr/{short}")].into()
}

/// `libc6:amd64` is what dpkg calls a package that several architectures may have.
fn without_architecture(package: &str) -> String {
    package.split_once(':').map_or(package, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn a_file_s_package_is_named_and_the_first_file_counts() {
        let tree = Tree::new()
            .file("var/lib/dpkg/info/base-files.list", "/.\n/bin\n/usr\n/usr/bin\n")
            .file("var/lib/dpkg/info/deploy-vfio:amd64.list", "/usr/bin\n/usr/bin/deploy-vfio\n")
            .file("var/lib/dpkg/info/old.list", "/bin/old\n")
            .file("var/lib/dpkg/info/old.md5sums", "/usr/local/bin/deploy-vfio\n")
            .file("var/lib/dpkg/info/bad.list", b"\xff\0\n\n");
        let root = tree.root();
        let owner = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            super::owner(&root, &paths).unwrap()
        };
        let is = |path: &str, package: &str| Some((path.to_owned(), package.to_owned()));
        assert_eq!(owner(&["usr/bin/deploy-vfio"]), is("usr/bin/deploy-vfio", "deploy-vfio"));
        let both = ["usr/bin/new", "usr/bin/deploy-vfio", "usr/bin"];
        assert_eq!(owner(&both), is("usr/bin/deploy-vfio", "deploy-vfio"));
        assert_eq!(owner(&["usr/bin"]), is("usr/bin", "base-files"));
        assert_eq!(owner(&["usr/bin/old"]), is("usr/bin/old", "old"), "merged /usr");
        assert_eq!(owner(&["bin/deploy-vfio"]), is("bin/deploy-vfio", "deploy-vfio"));
        assert_eq!(owner(&["usr/local/bin", "usr/local/bin/deploy-vfio"]), None);
        assert_eq!(super::owner(&Root::empty(), &["usr/bin".to_owned()]).unwrap(), None);
    }
}

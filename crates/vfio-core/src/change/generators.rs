//! Which of the distribution's programs build what here, and into which files.
//!
//! Invariants: only facts below the root decide; a program is found in a fixed list of
//! directories, never through `PATH`, and counts only if nobody but its owner may write it.

use rustix::fs::FileType;

use crate::{
    Error, Result, Root,
    change::{
        Artefact, Rebuild,
        place::{check_built, join, resolve, split},
        shell::quoted,
    },
    grubenv::{self, variables},
    initramfs::Initramfs,
    layout::{GRUBENV, TRIAL, TRIAL_ENTRY, TRIAL_NEXT, TRIED, guest},
};

/// Those of libvirt that run hooks of QEMU's guests: everything in one, or a daemon for each driver.
const DAEMONS: [&str; 2] = ["libvirtd.service", "virtqemud.service"];
/// Where they listen, whether they run or systemd starts them.
const SOCKETS: [&str; 2] = ["libvirt-sock", "virtqemud-sock"];
const DIRECTORIES: &[&str] = &["usr/sbin", "usr/bin", "sbin", "bin"];

/// One run of a program inside the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// What it is doing, for a person.
    pub(crate) doing: String,
    /// What it must write.
    pub(crate) writes: Option<Artefact>,
    /// Exit statuses other than 0 fail; so does a result smaller than this.
    pub(crate) at_least: u64,
}

/// The absolute path of a program inside the root.
pub(crate) fn program(root: &Root, name: &str) -> Option<String> {
    DIRECTORIES.iter().map(|dir| join(dir, name)).find_map(|path| {
        let stat = root.stat(&resolve(root, &path, true).ok()?).ok()??;
        let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let trusted = stat.st_mode & 0o022 == 0;
        (file && trusted && stat.st_mode & 0o111 != 0).then(|| format!("/{path}"))
    })
}

/// The calls that rebuild `what` into staging names.
pub(crate) fn calls(root: &Root, what: Rebuild, tag: &str) -> Result<Vec<Call>> {
    match what {
        Rebuild::BootMenu => boot_menu(root, tag).map(|call| vec![call]),
        Rebuild::Initramfs => initramfs(root, tag),
        Rebuild::Trial => trial(root, tag, root.exists(TRIAL)?),
        Rebuild::NoTrial => trial(root, tag, false),
        Rebuild::Units => Ok(units(root)),
        Rebuild::AppArmor => Ok(apparmor(root)),
        // What makes them look for hooks makes them read every guest's definition again.
        Rebuild::Hooks | Rebuild::Guests => Ok(hooks(root)),
    }
}

/// A generated file at `path`, staged beside it.
fn artefact(root: &Root, what: Rebuild, path: &str, tag: &str) -> Result<Artefact> {
    // What a link leads to is replaced, not the link.
    let path = resolve(root, path, true)?;
    let (dir, name) = split(&path);
    Ok(Artefact {
        what,
        staged: join(dir, &format!(".{name}.{tag}.new~")),
        path,
        listing: None,
        replaces: None,
    })
}

/// Where the boot menu is.
fn boot_menu_path(root: &Root) -> Result<&'static str> {
    const PATHS: [&str; 2] = ["boot/grub/grub.cfg", "boot/grub2/grub.cfg"];
    for path in PATHS {
        if root.exists(path)? {
            return Ok(path);
        }
    }
    for path in PATHS {
        if root.exists(split(path).0)? {
            return Ok(path);
        }
    }
    Err(missing("there is no /boot/grub or /boot/grub2", &[]))
}

fn boot_menu(root: &Root, tag: &str) -> Result<Call> {
    let artefact = artefact(root, Rebuild::BootMenu, boot_menu_path(root)?, tag)?;
    let into = ["-o".to_owned(), format!("/{}", artefact.staged)];
    // Debian's update-grub passes our `-o` on, and grub-mkconfig heeds the last one.
    let wrapper = program(root, "update-grub").filter(|path| {
        let script = root.text(path.trim_start_matches('/')).ok().flatten();
        script.is_some_and(|script| script.contains(r#""$@""#))
    });
    const NAMES: [&str; 2] = ["grub-mkconfig", "grub2-mkconfig"];
    let program =
        wrapper.or_else(|| NAMES.iter().find_map(|name| program(root, name))).ok_or_else(|| {
            missing("no program builds the boot menu here", &["update-grub", NAMES[0], NAMES[1]])
        })?;
    Ok(Call {
        program,
        arguments: into.to_vec(),
        doing: "building the boot menu".to_owned(),
        writes: Some(artefact),
        at_least: 1,
    })
}

/// The kernels that have an initial RAM file system here: version and path.
fn images(root: &Root) -> Result<Vec<(String, String)>> {
    let mut images = Vec::new();
    for name in root.names("boot")? {
        let version = name
            .strip_prefix("initrd.img-")
            .or_else(|| name.strip_prefix("initramfs-")?.strip_suffix(".img"))
            .or_else(|| name.strip_prefix("initrd-"));
        let Some(version) = version.filter(|version| !version.is_empty()) else { continue };
        if root.exists(&format!("lib/modules/{version}"))? {
            images.push((version.to_owned(), format!("boot/{name}")));
        }
    }
    // Arch names them after the package; the package's modules say its version.
    for version in root.names("lib/modules")? {
        if let Some(package) = root.text(&format!("lib/modules/{version}/pkgbase"))? {
            let path = format!("boot/initramfs-{}.img", package.trim());
            if root.exists(&path)? {
                images.push((version, path));
            }
        }
    }
    Ok(images)
}

fn initramfs(root: &Root, tag: &str) -> Result<Vec<Call>> {
    const NAMES: [&str; 3] = ["mkinitramfs", "dracut", "mkinitcpio"];
    let images = images(root)?;
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let found = Initramfs::of(root).program().and_then(|name| Some((name, program(root, name)?)));
    let (name, program) =
        found.ok_or_else(|| missing("no program builds an initramfs here", &NAMES))?;
    let call = |(version, path): (String, String)| {
        let artefact = artefact(root, Rebuild::Initramfs, &path, tag)?;
        let staged = format!("/{}", artefact.staged);
        let arguments: Vec<String> = match name {
            "mkinitramfs" => vec!["-o".to_owned(), staged, version.clone()],
            "dracut" => vec!["--force".to_owned(), staged, version.clone()],
            _ => vec!["-g".to_owned(), staged, "-k".to_owned(), version.clone()],
        };
        let old = root.stat(&artefact.path)?.map_or(0, |stat| stat.st_size);
        Ok(Call {
            program: program.clone(),
            arguments,
            doing: format!("building the initramfs for {version}"),
            writes: Some(artefact),
            // A result that lost half of the old one has lost the drivers that boot the host.
            at_least: (u64::try_from(old).unwrap_or(0) / 2).max(1),
        })
    };
    images.into_iter().map(call).collect()
}

/// GRUB's variables with the entry that is to be tried once, if that is `wanted`, or without it.
fn trial(root: &Root, tag: &str, wanted: bool) -> Result<Vec<Call>> {
    let variables = variables(root)?;
    check_built(root, &variables)?;
    // Of what GRUB cannot read there is nothing to keep, and nothing to take out.
    let block = grubenv::block(root, &variables)?;
    let noted = |block: &String| {
        [TRIAL_NEXT, TRIED].iter().any(|name| grubenv::set_to(block, name).is_some())
    };
    if !wanted && !block.as_ref().is_some_and(noted) {
        return Ok(Vec::new());
    }
    let artefact = artefact(root, Rebuild::Trial, &variables, tag)?;
    let staged = format!("/{}", artefact.staged);
    let names = ["grub-editenv", "grub2-editenv"];
    let editor = names.iter().find_map(|name| program(root, name));
    let editor = match editor {
        Some(editor) => editor,
        // Without the menu's script nothing reads them.
        None if !wanted => return Ok(Vec::new()),
        None => return Err(missing("no program writes GRUB's variables here", &names)),
    };
    let doing = "noting what GRUB is to try once";
    let edit = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        let arguments = std::iter::once(staged.clone()).chain(words).collect();
        at_once(editor.clone(), arguments, doing)
    };
    let copy = || {
        let copier = program(root, "cp").ok_or_else(|| missing("there is no `cp`", &[]))?;
        let paths = vec!["--preserve".to_owned(), format!("/{}", artefact.path), staged.clone()];
        Ok(at_once(copier, paths, doing))
    };
    let first = if block.is_some() { copy()? } else { edit(&["create"]) };
    let set = format!("{TRIAL_NEXT}={TRIAL_ENTRY}");
    let last = match wanted {
        true => [edit(&["set", &set]), edit(&["unset", TRIED])],
        false => [edit(&["unset", TRIAL_NEXT]), edit(&["unset", TRIED])],
    };
    let [second, third] = last;
    Ok(vec![first, second, Call { writes: Some(artefact), at_least: 1024, ..third }])
}

fn at_once(program: String, arguments: Vec<String>, doing: &str) -> Call {
    Call { program, arguments, doing: doing.to_owned(), writes: None, at_least: 0 }
}

fn units(root: &Root) -> Vec<Call> {
    let running = root.is_host() && root.exists("run/systemd/system").unwrap_or(false);
    let call = |program| at_once(program, vec!["daemon-reload".to_owned()], "reloading the units");
    program(root, "systemctl").filter(|_| running).map(call).into_iter().collect()
}

fn apparmor(root: &Root) -> Vec<Call> {
    let running = root.is_host() && root.exists("sys/kernel/security/apparmor").unwrap_or(false);
    let Some(parser) = program(root, "apparmor_parser").filter(|_| running) else {
        return Vec::new();
    };
    // What we edit is included by these two; guests' own profiles are loaded at their start.
    let profiles =
        ["etc/apparmor.d/usr.sbin.libvirtd", "etc/apparmor.d/usr.lib.libvirt.virt-aa-helper"];
    let there = profiles.iter().filter(|path| root.exists(path).unwrap_or(false));
    let call = |path: &&str| {
        let arguments = vec!["-r".to_owned(), format!("/{path}")];
        at_once(parser.clone(), arguments, "reloading the AppArmor profiles")
    };
    there.map(call).collect()
}

/// A daemon that runs looks for hooks when it begins and when it is told to, never by itself.
fn hooks(root: &Root) -> Vec<Call> {
    let Some(systemctl) = program(root, "systemctl").filter(|_| root.is_host()) else {
        return Vec::new();
    };
    let runs = |daemon: &&str| {
        // Where systemd keeps the invocation of each unit that is active.
        root.link(&format!("run/systemd/units/invocation:{daemon}")).is_ok_and(|id| id.is_some())
    };
    let call = |daemon: &str| {
        // What `reload` does with them, but for the program `kill`, which may be missing.
        let words = ["kill", "--signal=HUP", "--kill-who=main", daemon];
        let arguments = words.map(str::to_owned).to_vec();
        at_once(systemctl.clone(), arguments, &format!("reloading {daemon}"))
    };
    DAEMONS.iter().copied().filter(|daemon| runs(daemon)).map(call).collect()
}

/// The calls that have libvirt accept the guests defined by `files`. Where nothing listens, no daemon
/// runs: one that begins later reads the files.
pub(crate) fn define(root: &Root, definer: Option<&str>, files: &[String]) -> Result<Vec<Call>> {
    let listens = |socket: &&str| root.exists(&format!("run/libvirt/{socket}")).unwrap_or(false);
    if !root.is_host() || !SOCKETS.iter().any(listens) {
        return Ok(Vec::new());
    }
    let definer = definer.ok_or_else(|| missing("no program tells libvirt of a guest", &[]))?;
    let call = |path: &String| {
        let doing = format!("defining the guest {}", guest(path).unwrap_or_default());
        at_once(definer.to_owned(), vec![format!("/{path}")], &doing)
    };
    Ok(files.iter().map(call).collect())
}

/// The call that checks a staged boot menu, where there is a checker.
pub(crate) fn check(root: &Root, staged: &str) -> Option<Call> {
    let names = ["grub-script-check", "grub2-script-check"];
    let program = names.iter().find_map(|name| program(root, name))?;
    Some(at_once(program, vec![format!("/{staged}")], "checking the boot menu"))
}

/// The call that lists a staged initial RAM file system, where there is a lister.
pub(crate) fn list(root: &Root, staged: &str) -> Option<Call> {
    let names = ["lsinitramfs", "lsinitrd", "lsinitcpio"];
    let program = names.iter().find_map(|name| program(root, name))?;
    Some(at_once(program, vec![format!("/{staged}")], "listing the initramfs"))
}

/// What a person would type to rebuild `what`.
pub(crate) fn by_hand(root: &Root, what: Rebuild) -> Vec<String> {
    let has = |name: &str| program(root, name).is_some();
    let line = match what {
        Rebuild::Units if !root.is_host() => return Vec::new(),
        Rebuild::Units => "systemctl daemon-reload".to_owned(),
        Rebuild::AppArmor if !root.is_host() => return Vec::new(),
        Rebuild::AppArmor => "systemctl reload apparmor".to_owned(),
        Rebuild::Hooks if !root.is_host() => return Vec::new(),
        Rebuild::Hooks => format!("systemctl try-reload-or-restart {}", DAEMONS.join(" ")),
        Rebuild::Guests if !root.is_host() => return Vec::new(),
        Rebuild::Guests => format!("systemctl try-restart {}", DAEMONS.join(" ")),
        Rebuild::Initramfs if Initramfs::of(root) == Initramfs::Dracut => {
            "dracut --regenerate-all --force".to_owned()
        }
        Rebuild::Initramfs if has("mkinitcpio") && !has("update-initramfs") => {
            "mkinitcpio -P".to_owned()
        }
        Rebuild::Initramfs => "update-initramfs -u -k all".to_owned(),
        Rebuild::Trial | Rebuild::NoTrial => {
            let file = variables(root).unwrap_or_else(|_| GRUBENV.to_owned());
            match what == Rebuild::Trial && root.exists(TRIAL).unwrap_or(false) {
                true => format!("grub-editenv /{file} set {TRIAL_NEXT}={TRIAL_ENTRY}"),
                false => format!("grub-editenv /{file} unset {TRIAL_NEXT}"),
            }
        }
        Rebuild::BootMenu if has("grub2-mkconfig") && !has("update-grub") => {
            "grub2-mkconfig -o /boot/grub2/grub.cfg".to_owned()
        }
        Rebuild::BootMenu if has("grub-mkconfig") && !has("update-grub") => {
            "grub-mkconfig -o /boot/grub/grub.cfg".to_owned()
        }
        Rebuild::BootMenu => "update-grub".to_owned(),
    };
    match root.is_host() {
        true => vec![line],
        false => {
            // It is kept, and read from elsewhere.
            let dir = std::path::absolute(root.path()).unwrap_or_else(|_| root.path().to_owned());
            vec![format!("chroot {} {line}", quoted(&dir.to_string_lossy()))]
        }
    }
}

fn missing(what: &str, names: &[&str]) -> Error {
    let because = match names {
        [] => Vec::new(),
        names => {
            vec![format!("looked for {} in /usr/sbin, /usr/bin, /sbin, /bin", names.join(", "))]
        }
    };
    let help = vec!["`--no-rebuild` changes the files and leaves the rebuild to you".to_owned()];
    Error::Refused { what: what.to_owned(), because, help }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    const DEBIAN: &[(&str, &str)] = &[
        ("usr/sbin/update-grub", r#"grub-mkconfig -o /boot/grub/grub.cfg "$@""#),
        ("usr/sbin/update-initramfs", "mkinitramfs"),
        ("usr/sbin/mkinitramfs", ""),
        ("boot/initrd.img-6.1", ""),
        ("lib/modules/6.1/x", ""),
        ("boot/grub/grub.cfg", ""),
    ];
    const FEDORA: &[(&str, &str)] = &[
        ("usr/bin/dracut", ""),
        ("usr/sbin/grub2-mkconfig", ""),
        ("boot/initramfs-6.1.img", ""),
        ("boot/initramfs-5.9.img", "its modules are gone"),
        ("lib/modules/6.1/x", ""),
        ("boot/grub2/grub.cfg", ""),
    ];
    const ARCH: &[(&str, &str)] = &[
        ("usr/bin/mkinitcpio", ""),
        ("usr/bin/grub-mkconfig", ""),
        ("lib/modules/6.1-arch/pkgbase", "linux\n"),
        ("boot/initramfs-linux.img", ""),
        ("boot/grub/grub.cfg", ""),
    ];

    /// What each system is given to run, and what a person would type there.
    #[test]
    fn each_system_has_programs_of_its_own() {
        for (files, image, menu, typed) in [
            (
                DEBIAN,
                "/usr/sbin/mkinitramfs -o /boot/.initrd.img-6.1.t.new~ 6.1",
                "/usr/sbin/update-grub -o /boot/grub/.grub.cfg.t.new~",
                ["update-initramfs -u -k all", "update-grub"],
            ),
            (
                FEDORA,
                "/usr/bin/dracut --force /boot/.initramfs-6.1.img.t.new~ 6.1",
                "/usr/sbin/grub2-mkconfig -o /boot/grub2/.grub.cfg.t.new~",
                ["dracut --regenerate-all --force", "grub2-mkconfig -o /boot/grub2/grub.cfg"],
            ),
            (
                ARCH,
                "/usr/bin/mkinitcpio -g /boot/.initramfs-linux.img.t.new~ -k 6.1-arch",
                "/usr/bin/grub-mkconfig -o /boot/grub/.grub.cfg.t.new~",
                ["mkinitcpio -P", "grub-mkconfig -o /boot/grub/grub.cfg"],
            ),
        ] {
            let (dir, root) = tree(files);
            let run = |what| {
                let calls = super::calls(&root, what, "t").unwrap().into_iter();
                let line = |call: Call| format!("{} {}", call.program, call.arguments.join(" "));
                calls.map(line).collect::<Vec<_>>()
            };
            assert_eq!(run(Rebuild::Initramfs), [image]);
            assert_eq!(run(Rebuild::BootMenu), [menu]);
            for (what, typed) in [Rebuild::Initramfs, Rebuild::BootMenu].into_iter().zip(typed) {
                let typed = format!("chroot {} {typed}", dir.path().display());
                assert_eq!(by_hand(&root, what), [typed]);
            }
            // What only a running system has.
            for what in [Rebuild::Units, Rebuild::AppArmor, Rebuild::Hooks, Rebuild::Guests] {
                assert!(run(what).is_empty() && by_hand(&root, what).is_empty(), "{what}");
            }
        }
    }

    #[test]
    fn a_system_without_them_is_told_what_is_missing() {
        let refused = |files: &[(&str, &str)], what| {
            super::calls(&tree(files).1, what, "t").unwrap_err().to_string()
        };
        assert_eq!(refused(&[], Rebuild::BootMenu), "there is no /boot/grub or /boot/grub2");
        let bare = [("boot/initrd.img-6.1", ""), ("lib/modules/6.1/x", ""), ("boot/grub/x", "")];
        assert_eq!(refused(&bare, Rebuild::BootMenu), "no program builds the boot menu here");
        assert_eq!(refused(&bare, Rebuild::Initramfs), "no program builds an initramfs here");
        let trial = refused(&[("boot/grub/x", ""), (TRIAL, "")], Rebuild::Trial);
        assert_eq!(trial, "no program writes GRUB's variables here");
    }

    /// What is run for a trial: the first words of each call.
    fn calls(files: &[(&str, &str)]) -> Vec<String> {
        let (_dir, root) = tree(&[files, &[("bin/cp", "")]].concat());
        let calls = super::calls(&root, Rebuild::Trial, "t").unwrap();
        let word = |call: &Call| match call.program.rsplit('/').next() {
            Some("cp") => "cp".to_owned(),
            _ => call.arguments[1].clone(),
        };
        calls.iter().map(word).collect()
    }

    #[test]
    fn what_cannot_be_read_keeps_nobody_from_ending_a_trial() {
        const EDITOR: (&str, &str) = ("usr/bin/grub-editenv", "");
        const ON: (&str, &str) = (TRIAL, "entry = \"x\"\n");
        let env = |text: &'static str| (GRUBENV, text);
        let noted = env("# GRUB Environment Block\ndv_next=\n####");
        let other = env("# GRUB Environment Block\nsaved_entry=x\n####");
        assert_eq!(calls(&[EDITOR, noted]), ["cp", "unset", "unset"]);
        for files in
            [&[EDITOR, other][..], &[EDITOR, env("")], &[EDITOR, env("\x01\x02")], &[noted], &[]]
        {
            assert_eq!(calls(files), Vec::<String>::new(), "{files:?}");
        }
        assert_eq!(calls(&[EDITOR, noted, ON]), ["cp", "set", "unset"]);
        for broken in [env(""), env("dv_next=x\n")] {
            assert_eq!(calls(&[EDITOR, broken, ON]), ["create", "set", "unset"], "{broken:?}");
        }
    }
}

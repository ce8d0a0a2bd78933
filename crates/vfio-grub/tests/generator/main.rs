//! The boot menu generator, run by the real shell over a made-up `/etc`.
//!
//! The stand-in for `10_linux` prints what Debian 12's prints for the same environment: a flat
//! list when submenus and recovery are off. Every menu is read by `grub-script-check` where that
//! is installed.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test makes its own trees, runs the real shell and says what it skips"
)]

mod trial;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use vfio_core::{Root, change::Draft};

const SCRIPT: &str = include_str!("../../assets/45_deploy-vfio");

/// Debian 12's output for three kernels and Linux 6.1.0-10, whose initrd is missing, in an order
/// that is not the right one.
const LINUX: &str = r#"#!/bin/sh
set -e
[ "$GRUB_DISABLE_SUBMENU $GRUB_DISABLE_RECOVERY" = "y true" ]
[ "${GRUB_ACTUAL_DEFAULT-unset}${GRUB_FORCE_PARTUUID-unset}" = "" ]
class=$(echo $GRUB_DISTRIBUTOR | tr 'A-Z' 'a-z' | cut -d' ' -f1 | LC_ALL=C sed 's,[^[:alnum:]_],_,g')
echo "Found linux image: noise" >&2
cat <<'E'
function gfxmode {
	set gfxpayload="${1}"
}
set linux_gfx_mode=
export linux_gfx_mode
E
for version in ${KERNELS-6.1.0-9-amd64 6.1.0-13-amd64 5.10.0-32-amd64 6.1.0-10-amd64}; do
	cat <<E
menuentry '$GRUB_DISTRIBUTOR GNU/Linux, with Linux $version' --class $class --class gnu-linux --class gnu --class os \$menuentry_id_option 'gnulinux-$version-advanced-1111-2222' {
	load_video
	insmod gzio
	if [ x\$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	insmod part_msdos
	insmod ext2
	set root='hd0,msdos1'
	if [ x\$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root --hint=hd0,msdos1  1111-2222
	else
	  search --no-floppy --fs-uuid --set=root 1111-2222
	fi
	echo	'Loading Linux $version ...'${GRUB_SAVEDEFAULT:+
	savedefault}
	linux	/boot/vmlinuz-$version root=UUID=1111-2222 ro $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT
E
	early=/boot/microcode.cpio
	if [ $version = 6.1.0-10-amd64 ]; then
		echo "	initrd	$early"
	else
		echo "	echo	'Loading initial ramdisk ...'"
		echo "	initrd	$early /boot/initrd.img-$version"
	fi
	echo "}"
done
echo
"#;

/// A scratch `/etc` with the generator and a `10_linux` in it.
struct Tree {
    root: tempfile::TempDir,
    etc: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree { etc: root.path().join("etc"), root };
        for directory in ["grub.d", "deploy-vfio/entries.d", "deploy-vfio/cmdline.d"] {
            fs::create_dir_all(tree.etc.join(directory)).unwrap();
        }
        tree.program("45_deploy-vfio", SCRIPT);
        tree.program("10_linux", LINUX);
        tree
    }

    fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        fs::write(self.etc.join(relative), text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.write(&format!("grub.d/{name}"), text);
        let path = self.etc.join("grub.d").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn entry(&self, id: &str, text: impl AsRef<[u8]>) {
        self.write(&format!("deploy-vfio/entries.d/{id}.conf"), text);
    }

    fn fragment(&self, name: &str, text: &str) {
        self.write(&format!("deploy-vfio/cmdline.d/{name}.conf"), text);
    }

    /// Runs the generator; the menu and the warnings.
    fn run(&self, environment: &[(&str, &str)]) -> (String, String) {
        let program = self.etc.join("grub.d/45_deploy-vfio");
        let Output { status, stdout, stderr } = Command::new("/usr/bin/timeout")
            .arg("20")
            .arg(shell())
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GRUB_DISTRIBUTOR", "Debian")
            .env("GRUB_CMDLINE_LINUX", "resume=/dev/sda2")
            .env("GRUB_CMDLINE_LINUX_DEFAULT", "quiet")
            .env("GRUB_ACTUAL_DEFAULT", "an old title")
            .env("GRUB_FORCE_PARTUUID", "33")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let root = self.etc.to_str().unwrap();
        let menu = String::from_utf8_lossy(&stdout).into_owned();
        let warnings = String::from_utf8_lossy(&stderr).replace(root, "ETC");
        assert!(status.success(), "{status}: {warnings}");
        if !menu.is_empty() {
            check(&menu);
        }
        (menu, warnings)
    }
}

fn shell() -> &'static str {
    if Path::new("/bin/dash").exists() { "/bin/dash" } else { "/bin/sh" }
}

/// Whether GRUB can read the menu.
fn check(menu: &str) {
    let checker = Command::new("grub-script-check").stdin(Stdio::piped()).spawn();
    let Ok(mut checker) = checker else {
        eprintln!("skipped: grub-script-check is not installed");
        return;
    };
    checker.stdin.take().unwrap().write_all(menu.as_bytes()).unwrap();
    assert!(checker.wait().unwrap().success(), "GRUB cannot read:\n{menu}");
}

/// The lines that matter, without what 10_linux put between them.
fn outline(menu: &str) -> String {
    let of_interest = |line: &&str| {
        let line = line.trim_start();
        ["menuentry ", "submenu ", "linux\t", "initrd\t", "}"].iter().any(|it| line.starts_with(it))
    };
    menu.lines().filter(of_interest).fold(String::new(), |all, line| all + line + "\n")
}

const ONE: &str = "title=Host keeps the RTX 3070\n\
                   arguments=deploy_vfio.bind=0000:02:00.0=10de:2484 iommu=pt\n\
                   arguments-before-6.1=initcall_blacklist=sysfb_init\n";

#[test]
fn one_entry_becomes_a_menu() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-0000:01:00.0", ONE);
    tree.fragment("20-cpu", "# isolated\nisolcpus=2-7,10-15\n");
    tree.fragment("10-hugepages", "default_hugepagesz=1G\thugepagesz=1G\n  hugepages=16");
    let (menu, warnings) = tree.run(&[]);
    insta::assert_snapshot!(menu);
    assert_eq!(
        warnings,
        "deploy-vfio: deploy-vfio-0000:01:00.0: skipped Linux 6.1.0-10-amd64: it has no initrd\n"
    );
    assert_eq!(tree.run(&[]).0, menu, "the same menu every time");
}

#[test]
fn entries_stand_in_the_order_of_their_names_and_share_one_preamble() {
    let tree = Tree::new();
    for id in ["deploy-vfio-0000:0a:00.0", "deploy-vfio-0000:02:00.0", "deploy-vfio-all"] {
        tree.entry(id, format!("title=Only {id}\nunknown=$(x)\n"));
    }
    let (menu, _) = tree.run(&[("KERNELS", "6.1.0-13-amd64"), ("GRUB_CMDLINE_LINUX_DEFAULT", "")]);
    assert_eq!(menu.matches("function gfxmode").count(), 1);
    insta::assert_snapshot!(outline(&menu), @r"
    }
    menuentry 'Only deploy-vfio-0000:02:00.0' --class debian --class gnu-linux --class gnu --class os $menuentry_id_option 'deploy-vfio-0000:02:00.0' {
    	linux	/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1111-2222 ro resume=/dev/sda2 
    	initrd	/boot/microcode.cpio /boot/initrd.img-6.1.0-13-amd64
    }
    menuentry 'Only deploy-vfio-0000:0a:00.0' --class debian --class gnu-linux --class gnu --class os $menuentry_id_option 'deploy-vfio-0000:0a:00.0' {
    	linux	/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1111-2222 ro resume=/dev/sda2 
    	initrd	/boot/microcode.cpio /boot/initrd.img-6.1.0-13-amd64
    }
    menuentry 'Only deploy-vfio-all' --class debian --class gnu-linux --class gnu --class os $menuentry_id_option 'deploy-vfio-all' {
    	linux	/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1111-2222 ro resume=/dev/sda2 
    	initrd	/boot/microcode.cpio /boot/initrd.img-6.1.0-13-amd64
    }
    ");
}

/// The kernels of a menu, from the top.
fn kernels(menu: &str) -> Vec<&str> {
    let versions = menu.lines().filter_map(|line| line.trim_start().strip_prefix("linux\t"));
    versions.filter_map(|line| line.split(' ').next()?.strip_prefix("/boot/vmlinuz-")).collect()
}

#[test]
fn b22_the_newest_kernel_is_on_top() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", ONE);
    let order = "6.9.0 6.10.0-zen1 6.2.0~rc1 6.2.0 6.1.0-9 6.1.0-13 6.1.0-13.old 6.1.0-013 5.10.0";
    let (menu, _) = tree.run(&[("KERNELS", order)]);
    assert_eq!(
        kernels(&menu),
        [
            "6.10.0-zen1",
            "6.9.0",
            "6.2.0",
            "6.2.0~rc1",
            "6.1.0-13",
            "6.1.0-013",
            "6.1.0-13.old",
            "6.1.0-9",
            "5.10.0"
        ]
    );
    let older: Vec<_> = menu.lines().filter(|line| line.contains("sysfb_init")).collect();
    assert_eq!(older.len(), 1);
    assert!(older[0].starts_with("\t\tlinux\t/boot/vmlinuz-5.10.0 "), "{older:?}");

    for chosen in ["GRUB_TOP_LEVEL", "GRUB_FLAVOUR_ORDER"] {
        let (menu, _) = tree.run(&[("KERNELS", "5.10.0 6.1.0 6.12.0"), (chosen, "x")]);
        assert_eq!(kernels(&menu), ["5.10.0", "6.1.0", "6.12.0"], "{chosen} is the user's wish");
    }
}

#[test]
fn the_same_kernel_with_another_init_is_left_out() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", ONE);
    let (menu, _) = tree.run(&[("KERNELS", "6.1.0 6.1.0 5.10.0 5.10.0")]);
    assert_eq!(kernels(&menu), ["6.1.0", "5.10.0"]);
}

#[test]
fn nothing_to_do_prints_nothing() {
    let tree = Tree::new();
    tree.fragment("10-hugepages", "hugepages=16");
    tree.write("deploy-vfio/entries.d/deploy-vfio-a.conf.bak", ONE);
    assert_eq!(tree.run(&[]), Default::default());

    let root = tempfile::tempdir().unwrap();
    let bare = Tree { etc: root.path().join("etc"), root };
    fs::create_dir_all(bare.etc.join("grub.d")).unwrap();
    bare.program("45_deploy-vfio", SCRIPT);
    assert_eq!(bare.run(&[]), Default::default());
}

#[test]
fn a_file_that_is_no_entry_is_skipped() {
    let tree = Tree::new();
    for id in
        ["deploy-vfio-", "other", "deploy-vfio-a b", "deploy-vfio-$(x)'", "deploy-vfio-\u{1b}[2J"]
    {
        tree.entry(id, ONE);
        // What is skipped here is refused when it is planned.
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        draft.write(&format!("{}/{id}.conf", vfio_grub::ENTRIES), ONE).unwrap();
        assert!(vfio_grub::entries(&draft).is_err(), "{id:?}");
    }
    let (menu, warnings) = tree.run(&[]);
    assert_eq!(menu, "");
    let skipped =
        "deploy-vfio: skipped a file in entries.d that is not named deploy-vfio-NAME.conf\n";
    assert_eq!(warnings, skipped.repeat(5));
}

/// The title of the one top-level entry, as it stands in the menu.
fn title(text: impl AsRef<[u8]>) -> String {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", [b"title=", text.as_ref()].concat());
    let (menu, _) = tree.run(&[("KERNELS", "6.1.0-13-amd64")]);
    let line = menu.lines().find(|line| line.starts_with("menuentry ")).unwrap();
    let (title, rest) =
        line.strip_prefix("menuentry ").unwrap().split_once(" --class debian").unwrap();
    assert_eq!(
        rest,
        " --class gnu-linux --class gnu --class os $menuentry_id_option 'deploy-vfio-a' {"
    );
    title.to_owned()
}

#[test]
fn titles_are_data() {
    assert_eq!(
        title(r#"$(reboot) `x` "$5" > } { ; # \ &"#),
        r#"'$(reboot) `x` "$5" > } { ; # \ &'"#
    );
    assert_eq!(title("it's '; reboot; '"), r"'it'\''s '\''; reboot; '\'''");
    assert_eq!(title("'"), r"''\'''");
    assert_eq!(title("a\x07\x1b[31m\tb\u{85}\u{9b}c\x7f\r"), "'a[31mbc'");
    assert_eq!(title("a\nmenuentry 'x' {"), "'a'");
    assert_eq!(title(" a = b --class x "), "'a = b --class x'");
    for empty in ["", "  ", "\x01\x02"] {
        assert_eq!(title(empty), "'deploy-vfio-a'");
    }
}

#[test]
fn titles_are_cut_between_characters() {
    assert_eq!(title("x".repeat(4096)), format!("'{}'", "x".repeat(120)));
    assert_eq!(title("\u{e9}".repeat(60)), format!("'{}'", "\u{e9}".repeat(60)));
    assert_eq!(title(format!("x{}", "\u{e9}".repeat(60))), format!("'x{}'", "\u{e9}".repeat(59)));
    assert_eq!(title("\u{1f427}".repeat(100)), format!("'{}'", "\u{1f427}".repeat(30)));
    assert_eq!(title("'".repeat(200)).len(), 2 + 120 * 4);
    title([b'\xff'; 200]);
}

#[test]
fn a_hostile_distributor_stays_out() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", ONE);
    let long = "x ".repeat(2048);
    for (distributor, class) in [
        ("Linux Mint", "linux"),
        ("Ubuntu", "ubuntu"),
        ("", "gnu"),
        ("'; reboot; '", "gnu"),
        ("$(reboot)", "gnu"),
        ("a\nmenuentry 'x' {\n", "gnu"),
        ("}{ \"", "gnu"),
        (&long, "x"),
    ] {
        let (menu, _) = tree.run(&[("GRUB_DISTRIBUTOR", distributor)]);
        let lines = menu.lines().filter(|line| line.contains("menuentry '")).collect::<Vec<_>>();
        assert_eq!(lines.len(), 3, "{distributor:?}");
        for line in lines {
            let options =
                format!("' --class {class} --class gnu-linux --class gnu --class os $menuentry");
            assert!(line.contains(&options), "{distributor:?}: {line}");
        }
        assert!(!menu.contains("reboot"), "{distributor:?}");
    }
}

#[test]
fn a_bad_parameter_drops_its_entry_alone() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-good", ONE);
    for (number, word) in [
        "a;b", "$(x)", "`x`", "a'b", "\"a\"", "a\\b", "a{b}", "a|b", "a&b", "<x", "*", "a~",
        "\u{e9}",
    ]
    .iter()
    .enumerate()
    {
        tree.entry(&format!("deploy-vfio-{number}"), format!("title=x\narguments=quiet {word}\n"));
        tree.entry(&format!("deploy-vfio-b{number}"), format!("arguments-before-6.1={word}\n"));
    }
    let (menu, warnings) = tree.run(&[]);
    assert_eq!(menu.matches("\nmenuentry ").count(), 1);
    assert_eq!(warnings.matches(": no entry\n").count(), 26);
    assert!(warnings.contains(
        "deploy-vfio: deploy-vfio-0: not a kernel parameter in arguments: a;b\n\
         deploy-vfio: deploy-vfio-0: no entry\n"
    ));
    assert!(warnings.is_ascii(), "{warnings}");

    tree.fragment("10-bad", "isolcpus=2-3 `x`");
    let (menu, warnings) = tree.run(&[]);
    assert_eq!(menu, "");
    assert!(warnings.contains("cmdline.d/10-bad.conf: `x`\n"), "{warnings}");
}

#[test]
fn a_line_the_kernel_would_cut_drops_the_entry() {
    let tree = Tree::new();
    let fixed =
        "BOOT_IMAGE=/boot/vmlinuz-6.1.0 root=UUID=1111-2222 ro resume=/dev/sda2 quiet ".len();
    let fits = "x".repeat(2047 - fixed);
    tree.entry("deploy-vfio-fits", format!("arguments={fits}\n"));
    tree.entry("deploy-vfio-long", format!("arguments={fits}x\n"));
    tree.entry("deploy-vfio-huge", format!("arguments={}\n", "x ".repeat(100_000)));
    let (menu, warnings) = tree.run(&[("KERNELS", "6.1.0")]);
    assert_eq!(kernels(&menu).len(), 1);
    assert!(menu.contains("'deploy-vfio-fits'"));
    assert_eq!(
        warnings,
        "deploy-vfio: deploy-vfio-huge: more than 2047 bytes of parameters\n\
         deploy-vfio: deploy-vfio-huge: no entry\n\
         deploy-vfio: deploy-vfio-long: the command line is longer than 2047 bytes; no entry\n"
    );
}

#[test]
fn whatever_10_linux_does_the_run_succeeds() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", ONE);
    let no_kernel =
        "deploy-vfio: deploy-vfio-a: 10_linux offers no kernel with an initrd; no entry\n";
    let failed = "deploy-vfio: deploy-vfio-a: ETC/grub.d/10_linux failed; no entry\n";
    for (program, warning) in [
        ("#!/bin/sh\n", no_kernel),
        ("#!/bin/sh\necho function x {\necho }\n", no_kernel),
        ("#!/bin/sh\necho \"menuentry 'x' {\"\n", no_kernel),
        ("#!/bin/sh\necho \"submenu 'x' {\"\necho }\n", no_kernel),
        ("#!/bin/sh\nexit 1\n", failed),
        ("#!/bin/sh\nkill -9 $$\n", failed),
        ("#!/nonexistent\n", failed),
    ] {
        tree.program("10_linux", program);
        let (menu, warnings) = tree.run(&[]);
        assert_eq!(menu, "", "{program}");
        assert!(warnings.ends_with(warning), "{program}: {warnings}");
    }
    tree.program("10_linux", LINUX);
    let linux = tree.etc.join("grub.d/10_linux");
    fs::set_permissions(linux, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(tree.run(&[]), (String::new(), failed.to_owned()));
}

#[test]
fn what_grub_cannot_read_is_left_out() {
    if Command::new("grub-script-check").stdin(Stdio::null()).output().is_err() {
        eprintln!("skipped: grub-script-check is not installed");
        return;
    }
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", ONE);
    let (menu, warnings) = tree.run(&[("GRUB_CMDLINE_LINUX", "broken'")]);
    assert_eq!(menu, "");
    assert!(
        warnings.ends_with("deploy-vfio: deploy-vfio-a: GRUB cannot read the result; no entry\n")
    );
}

/// The hook beside it notes kernels whose initramfs would bind nothing.
#[test]
fn a_kernel_whose_initramfs_binds_nothing_is_left_out_until_it_is_made_anew() {
    let tree = Tree::new();
    tree.entry("deploy-vfio-a", "title=A\n");
    let at = |path: &str| tree.root.path().join(path);
    for dir in ["boot", "var/lib/deploy-vfio/unfit"] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    let write = |path: &str, seconds: u64| {
        let file = fs::File::create(at(path)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    };
    write("boot/initrd.img-6.1.0-13-amd64", 100);
    write("var/lib/deploy-vfio/unfit/6.1.0-13-amd64", 101);
    let (menu, warnings) = tree.run(&[]);
    let expected = "left out Linux 6.1.0-13-amd64: its initramfs lacks what binds devices";
    assert!(warnings.contains(expected), "{warnings}");
    assert!(!menu.contains("6.1.0-13"), "{menu}");
    let first = menu.lines().find(|line| line.starts_with("\tlinux")).unwrap();
    assert!(first.contains("vmlinuz-6.1.0-9-amd64"), "{menu}");
    // While ours is being made it stands beside.
    write("boot/.initrd.img-6.1.0-13-amd64.dv-000002.new~", 102);
    assert!(tree.run(&[]).0.contains("vmlinuz-6.1.0-13-amd64"));
    fs::remove_file(at("boot/.initrd.img-6.1.0-13-amd64.dv-000002.new~")).unwrap();
    assert!(!tree.run(&[]).0.contains("vmlinuz-6.1.0-13-amd64"));
    write("boot/initrd.img-6.1.0-13-amd64", 103);
    assert!(tree.run(&[]).0.contains("vmlinuz-6.1.0-13-amd64"));
}

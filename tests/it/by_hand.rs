//! `multiboot --by-hand`: files for systems that are not served, which nobody puts in place but a person.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use vfio_testkit::{Description, Edits, Outcome, Programs, Stage, Tree};

const WORDS: [&str; 3] = ["multiboot", "last", "--by-hand"];

/// A machine whose initramfs mkinitcpio builds; with these files besides.
fn arch(files: &[(&str, &str)]) -> Stage {
    unserved("two-gpus", files)
}

fn unserved(machine: &str, files: &[(&str, &str)]) -> Stage {
    let file = format!("machines/{machine}.json");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let stage = Stage::new(&Description::read(&file).unwrap(), Edits::None).unwrap();
    has_mkinitcpio(stage.path());
    write(stage.path(), "proc/cmdline", "root=UUID=1 rw\n");
    for (path, text) in files {
        write(stage.path(), path, text);
    }
    stage
}

/// Has mkinitcpio build the initramfs of the machine that is laid out at `root`.
pub fn has_mkinitcpio(root: &Path) {
    for gone in ["update-initramfs", "mkinitramfs"] {
        let _ = fs::remove_file(root.join("usr/sbin").join(gone));
    }
    fs::remove_dir_all(root.join("etc/initramfs-tools")).unwrap();
    for path in ["usr/bin/mkinitcpio", "etc/mkinitcpio.conf"] {
        write(root, path, "");
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The same, started by systemd-boot.
fn with_systemd_boot(entries: &[(&str, &str)]) -> Stage {
    let stage = arch(&[("boot/loader/loader.conf", "timeout 3\n")]);
    has_systemd_boot(stage.path());
    entries.iter().for_each(|(path, text)| write(stage.path(), path, text));
    stage
}

fn has_systemd_boot(root: &Path) {
    for gone in ["boot/grub", "etc/grub.d"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    for program in ["grub-mkconfig", "update-grub"] {
        let _ = fs::remove_file(root.join("usr/sbin").join(program));
    }
}

/// The same, started by a GRUB that reads entries from files, and has these variables.
fn with_grub(variables: &str, entries: &[(&str, &str)]) -> Stage {
    let variables = format!("# GRUB Environment Block\n{variables}");
    let stage = arch(&[
        ("boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n"),
        ("boot/grub2/grubenv", &variables),
    ]);
    fs::remove_dir_all(stage.path().join("boot/grub")).unwrap();
    entries.iter().for_each(|(path, text)| write(stage.path(), path, text));
    stage
}

fn run(stage: &Stage, words: &[&str]) -> Outcome {
    let programs = Programs::new(Path::new(env!("CARGO_BIN_EXE_deploy-vfio")));
    programs.run(stage.path(), words).unwrap()
}

/// The files that are printed, by path, and the steps; nothing is written.
fn printed(stage: &Stage) -> (BTreeMap<String, String>, Vec<String>) {
    let before = Tree::read(stage.path()).unwrap();
    let document = document(stage, &WORDS);
    let after = Tree::read(stage.path()).unwrap();
    assert_eq!(before.diff(&after), "", "something was written");
    let plain = run(stage, &WORDS).stdout;
    let mut files = BTreeMap::new();
    for file in document["files"].as_array().unwrap() {
        let head = format!("==> {} ({}) <==\n", text(&file["path"]), text(&file["mode"]));
        assert!(plain.contains(&head), "{head}");
        files.insert(text(&file["path"]), text(&file["text"]));
    }
    (files, list(&document["steps"]))
}

fn document(stage: &Stage, words: &[&str]) -> Value {
    let outcome = run(stage, &[words, &["--json"]].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

/// The names of the entries for the last card that are printed.
fn entries(files: &BTreeMap<String, String>) -> Vec<&str> {
    let last = |path: &&String| path.contains("/deploy-vfio-0000-04-00.0-");
    files.keys().filter(last).filter_map(|path| path.rsplit('/').next()).collect()
}

/// The line that begins like this.
fn find<'l>(lines: &'l [String], start: &str) -> Option<&'l str> {
    lines.iter().find(|line| line.starts_with(start)).map(String::as_str)
}

/// What the shell says of a script, which it reads and does not run.
fn is_a_script(shell: &str, text: &str) {
    let mut child = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{shell}: {text}");
}

#[test]
fn systemd_boot_gets_entries_beside_its_own() {
    let own = "title Arch Linux\nversion 6.11.5-arch1\nlinux /vmlinuz-linux\n\
               initrd /initramfs-linux.img\noptions root=UUID=1 rw\n";
    let stage = with_systemd_boot(&[("boot/loader/entries/arch.conf", own)]);
    let (files, steps) = printed(&stage);
    let entries: Vec<&String> = files.keys().filter(|path| path.contains("/entries/")).collect();
    assert_eq!(
        entries,
        [
            "/boot/loader/entries/deploy-vfio-0000-01-00.0-arch.conf",
            "/boot/loader/entries/deploy-vfio-0000-04-00.0-arch.conf"
        ]
    );
    let last = &files[entries[1]];
    assert!(last.contains("\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\n"), "{last}");
    let options = last.lines().find(|line| line.starts_with("options ")).unwrap();
    assert!(options.starts_with("options root=UUID=1 rw "), "{options}");
    assert!(options.contains(" deploy_vfio.bind=0000:01:00.0=10de:1f02,"), "{options}");
    assert!(!options.contains("sysfb_init"), "a new kernel hands its framebuffer over: {options}");
    let set = "the newest kernel boots by itself: \
               bootctl set-default deploy-vfio-0000-04-00.0-arch.conf";
    assert!(steps.last().unwrap().ends_with(set), "{steps:?}");
    assert!(steps.iter().any(|step| step.contains("HOOKS")), "{steps:?}");
}

/// Its functions are played, and tell what an image would get.
#[test]
fn mkinitcpio_gets_a_hook_whose_files_are_all_there() {
    let stage = arch(&[]);
    let (files, steps) = printed(&stage);
    let install = &files["/etc/initcpio/install/deploy-vfio"];
    is_a_script("bash", install);
    is_a_script("dash", &files["/etc/initcpio/hooks/deploy-vfio"]);
    is_a_script("dash", &files["/usr/local/lib/deploy-vfio/bind"]);
    let play = format!(
        "BUILDROOT=$1; for name in module file symlink binary runscript; do eval \"add_$name() {{ echo $name \\\"\\$@\\\"; }}\"; \
         done\n{install}\nbuild\n"
    );
    let image = tempfile::tempdir().unwrap();
    let build = || {
        let mut bash = Command::new("bash");
        let output = bash.args(["-euc", &play, "bash"]).arg(image.path()).output().unwrap();
        let added = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{added}");
        added
    };
    let added = build();
    // The hook of systemd alone brings no shell.
    assert!(added.contains("binary sh /usr/bin/sh\nbinary kmod /usr/bin/modprobe\n"), "{added}");
    for path in ["usr/bin/sh", "usr/bin/modprobe"] {
        write(image.path(), path, "");
    }
    assert!(!build().contains("binary"), "what is there stays");
    assert!(added.contains("module vfio-pci\nmodule vfio_iommu_type1\n"), "{added}");
    assert!(added.contains(" /scripts/init-top/deploy-vfio 755\nbinary"), "{added}");
    for line in added.lines().filter_map(|line| line.strip_prefix("file ")) {
        let source = line.split(' ').next().unwrap();
        assert!(files.contains_key(source), "{source} is nowhere");
    }
    assert!(files["/etc/initcpio/hooks/deploy-vfio"].contains("run_earlyhook()"));
    // GRUB as its makers ship it reads the menu's generator, and no drop-ins.
    assert!(files.contains_key("/etc/grub.d/45_deploy-vfio"), "{:?}", files.keys());
    assert!(steps.contains(&"grub-mkconfig -o /boot/grub/grub.cfg".into()), "{steps:?}");
}

#[test]
fn a_system_that_is_served_is_told_so_and_another_the_way() {
    let stage = arch(&[]);
    let outcome = run(&stage, &["multiboot", "last", "--yes"]);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("`deploy-vfio multiboot --by-hand` prints"),
        "{}",
        outcome.stderr
    );
    fs::write(stage.path().join("usr/sbin/mkinitramfs"), "").unwrap();
    let outcome = run(&stage, &WORDS);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (6, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("this system is served"), "{}", outcome.stderr);
    let outcome = run(&with_systemd_boot(&[]), &WORDS);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no boot loader entry to begin with"), "{}", outcome.stderr);
}

const LINUX: &str = "linux /vmlinuz\noptions root=UUID=1 rw\n";

#[test]
fn the_newest_kernel_s_entry_is_the_default_and_says_its_version() {
    let entry = |version: &str| format!("version {version}\n{LINUX}");
    let (old, new) = (entry("6.9.9"), entry("6.11.4"));
    let stage = with_systemd_boot(&[
        ("boot/loader/entries/0-6.9.9.conf", &old),
        ("boot/loader/entries/0-6.11.4.conf", &new),
    ]);
    let (files, steps) = printed(&stage);
    let set = "bootctl set-default deploy-vfio-0000-04-00.0-0-6.11.4.conf";
    assert!(steps.last().unwrap().ends_with(set), "{steps:?}");
    assert_eq!(entries(&files).len(), 2);
    let text = &files["/boot/loader/entries/deploy-vfio-0000-04-00.0-0-6.9.9.conf"];
    let title = text.lines().find(|line| line.starts_with("title ")).unwrap();
    assert!(title.ends_with(" (6.9.9)"), "{title}");
}

#[test]
fn entries_of_other_installations_are_left_out_with_the_reason() {
    let (here, other) = ("0".repeat(32), "1".repeat(32));
    let of = |machine: &str, root: &str| {
        format!("machine-id {machine}\nlinux /vmlinuz\noptions root=UUID={root}\n")
    };
    let (own, by_id, by_root) = (of(&here, "1"), of(&other, "1"), of(&here, "2"));
    let stage = with_systemd_boot(&[
        ("etc/machine-id", &format!("{here}\n")),
        ("proc/cmdline", "quiet root=UUID=1\n"),
        ("boot/loader/entries/own.conf", &own),
        ("boot/loader/entries/z-id.conf", &by_id),
        ("boot/loader/entries/z-root.conf", &by_root),
        ("boot/loader/entries/z-0-rescue.conf", &own),
        ("boot/loader/entries/turned.conf", &format!("title \u{202e}A\n{own}")),
    ]);
    fs::create_dir(stage.path().join("boot/loader/entries/dir.conf")).unwrap();
    let fifo = stage.path().join("boot/loader/entries/fifo.conf");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let document = document(&stage, &WORDS);
    let notes = list(&document["notes"]);
    for (name, why) in [
        ("z-id", "`machine-id`"),
        ("z-root", "`root=`"),
        ("z-0-rescue", "rescue"),
        ("turned", "characters"),
        ("dir", "no file"),
        ("fifo", "no file"),
    ] {
        let left_out = format!("left out /boot/loader/entries/{name}.conf: ");
        let note = find(&notes, &left_out).unwrap_or_else(|| panic!("{left_out}: {notes:?}"));
        assert!(note.contains(why), "{note}");
    }
    let outcome = run(&stage, &WORDS);
    assert!(outcome.stderr.contains("note: left out "), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains('\u{202e}'));
    assert_eq!(outcome.stdout.matches("own.conf (").count(), 2, "{}", outcome.stdout);
}

#[test]
fn what_boots_by_itself_does_so_until_another_is_named() {
    let two =
        [("boot/loader/entries/arch.conf", LINUX), ("boot/loader/entries/arch-lts.conf", LINUX)];
    let first = |stage: &Stage, words: &[&str]| list(&document(stage, words)["steps"]).remove(0);
    let normal = ["multiboot", "--by-hand"];
    let stage = with_systemd_boot(&two);
    for words in [&normal[..], &WORDS] {
        let step = first(&stage, words);
        assert!(step.ends_with(": bootctl set-default arch.conf"), "{step}");
    }
    for (default, named) in
        [("arch-*", true), ("@saved", true), ("*", false), ("deploy-vfio-a", false)]
    {
        write(stage.path(), "boot/loader/loader.conf", &format!("default {default}\n"));
        assert_eq!(first(&stage, &normal).starts_with("first, "), !named, "{default}");
    }
    // The firmware's variable counts before the file.
    let variable =
        "sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440bb8c4a09e";
    write(stage.path(), variable, "\x07\0\0\0a\0r\0c\0h\0*\0\0\0");
    assert!(!first(&stage, &normal).starts_with("first, "));
    fs::remove_file(stage.path().join(variable)).unwrap();
    write(stage.path(), "boot/EFI/Linux/arch.efi", "");
    assert!(first(&stage, &normal).contains("set-default NAME"), "an image may be the first");

    let grub = |variables: &str| first(&with_grub(variables, &two), &normal);
    for variables in ["", "saved_entry=0\n", "saved_entry=deploy-vfio-headless-arch\n"] {
        let step = grub(variables);
        assert!(step.ends_with(": grub2-set-default arch"), "{variables}: {step}");
    }
    assert!(!grub("saved_entry=arch-lts\n").starts_with("first, "));
}

#[test]
fn what_stays_and_what_may_stay_dark_is_said_as_by_every_command() {
    let words = ["multiboot", "last", "--parse", "all", "--by-hand"];
    let stage = unserved("encrypted-disk", &[]);
    let outcome = run(&stage, &words);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for line in [
        "note: stays with the host: ",
        "warning: `deploy-vfio-0000:04:00.0` gives away the card that shows the prompt",
        "help: `amdgpu` among MODULES of /etc/mkinitcpio.conf brings the prompt",
    ] {
        assert!(outcome.stderr.contains(line), "{line}: {}", outcome.stderr);
    }
    let document = document(&stage, &words);
    let notes = list(&document["notes"]);
    assert!(find(&notes, "stays with the host: ").is_some(), "{notes:?}");
    assert!(text(&document["warnings"][0]["what"]).contains("passphrase"));
}

#[test]
fn what_an_earlier_menu_left_is_to_be_removed() {
    let stage = arch(&[]);
    for (path, text) in printed(&stage).0 {
        write(stage.path(), &path[1..], &text);
    }
    let steps = list(&document(&stage, &["multiboot", "--by-hand"])["steps"]);
    for gone in ["etc/deploy-vfio/default-entry", "etc/default/grub.d/deploy-vfio.cfg"] {
        assert_eq!(
            find(&steps, &format!("remove /{gone},")).is_some(),
            stage.path().join(gone).exists(),
            "{gone}: {steps:?}"
        );
    }
    assert!(find(&steps, "remove /etc/deploy-vfio/default-entry,").is_some(), "{steps:?}");
    assert!(find(&steps, "remove /etc/deploy-vfio/entries.d").is_none(), "{steps:?}");

    let old = "boot/loader/entries/deploy-vfio-0000-04-00.0-old.conf";
    let stage = with_systemd_boot(&[("boot/loader/entries/arch.conf", LINUX), (old, LINUX)]);
    for (path, text) in printed(&stage).0 {
        write(stage.path(), &path[1..], &text);
    }
    let (_, steps) = printed(&stage);
    let remove: Vec<_> = steps.iter().filter(|step| step.starts_with("remove ")).collect();
    assert_eq!(remove, [&format!("remove /{old}, which an earlier menu left")]);
    assert!(find(&steps, "for each new kernel the same again").is_some(), "{steps:?}");
    assert!(find(&steps, "when a kernel is removed, remove").is_some(), "{steps:?}");
}

#[test]
fn no_two_entries_get_one_name() {
    let stage = with_systemd_boot(&[
        ("boot/loader/entries/deb-6.12.0+5-rpi.conf", LINUX),
        ("boot/loader/entries/deb-6.12.0+6-rpi.conf", LINUX),
        ("boot/loader/entries/a+3-1.conf", LINUX),
        ("boot/loader/entries/a.conf", LINUX),
        ("boot/loader/entries/b+2.conf", LINUX),
        ("boot/efi/loader/entries/b+2.conf", "linux /other\n"),
    ]);
    let (files, _) = printed(&stage);
    let made = ["a.3-1", "a", "b.2", "deb-6.12.0+5-rpi", "deb-6.12.0+6-rpi"];
    let made = made.map(|name| format!("deploy-vfio-0000-04-00.0-{name}.conf"));
    assert_eq!(entries(&files), made);
}

#[test]
fn one_place_with_two_names_is_read_once() {
    let stage = with_systemd_boot(&[("boot/loader/entries/arch.conf", LINUX)]);
    symlink("boot", stage.path().join("efi")).unwrap();
    let (files, _) = printed(&stage);
    assert_eq!(entries(&files).len(), 1, "{:?}", files.keys());
    fs::remove_file(stage.path().join("efi")).unwrap();
    write(stage.path(), "efi/loader/entries/arch.conf", LINUX);
    write(stage.path(), "efi/loader/entries/deploy-vfio-0000-04-00.0-arch.conf", LINUX);
    let (files, steps) = printed(&stage);
    assert_eq!(entries(&files).len(), 1, "mounted twice");
    assert_eq!(find(&steps, "remove "), None);
}

#[test]
fn an_unknown_builder_is_given_the_script() {
    let stage = arch(&[]);
    for path in ["usr/bin/mkinitcpio", "etc/mkinitcpio.conf"] {
        fs::remove_file(stage.path().join(path)).unwrap();
    }
    let (files, steps) = printed(&stage);
    let script = "/usr/local/lib/deploy-vfio/bind";
    is_a_script("dash", &files[script]);
    assert!(steps.iter().any(|step| step.contains(script)), "{steps:?}");
    assert!(steps.iter().any(|step| step.contains("before udev")), "{steps:?}");
}

#[test]
fn an_entry_without_parameters_gets_those_of_grub() {
    let bare = [("boot/loader/entries/a.conf", "linux /vmlinuz\r\n")];
    let stage = with_grub("default_kernelopts=root=UUID=1 ro\n", &bare);
    let (files, _) = printed(&stage);
    let made = &files["/boot/loader/entries/deploy-vfio-0000-04-00.0-a.conf"];
    assert!(made.contains("\noptions root=UUID=1 ro ") && !made.contains('\r'), "{made}");
    let outcome = run(&with_grub("", &bare), &WORDS);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no `default_kernelopts`"), "{}", outcome.stderr);
}

#[test]
fn where_no_entry_is_usable_it_says_which_there_are_and_why() {
    let long = format!("linux /x\noptions {}\n", "x".repeat(2000));
    for (text, why) in [
        ("efi /shell.efi\n", "it starts a program of the firmware"),
        ("linux\n", "no line `linux` names a kernel"),
        (&long, "a kernel reads 2047 bytes"),
    ] {
        let stage = with_systemd_boot(&[("boot/loader/entries/a.conf", text)]);
        let said = run(&stage, &WORDS).stderr;
        assert!(said.contains(&format!("because: /boot/loader/entries/a.conf: {why}")), "{said}");
        assert!(!said.contains("as root"), "{said}");
    }
    let stage = with_systemd_boot(&[("boot/EFI/Linux/arch.efi", "")]);
    let said = run(&stage, &WORDS).stderr;
    assert!(said.contains("/boot/EFI/Linux: unified kernel images"), "{said}");
    let stage = with_systemd_boot(&[]);
    let said = run(&stage, &WORDS).stderr;
    assert!(said.contains("because: there is no file NAME.conf in /boot/loader/entries"), "{said}");
}

#[test]
fn what_is_put_in_place_by_hand_promises_no_undo() {
    let own = [("boot/loader/entries/arch.conf", LINUX)];
    for stage in [arch(&[]), with_systemd_boot(&own), with_grub("", &own)] {
        for (path, text) in printed(&stage).0 {
            assert!(!text.contains("deploy-vfio undo"), "{path}: {text}");
        }
    }
}

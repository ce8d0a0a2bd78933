//! Files as nobody should leave them: each is handled or refused, never changed wrongly, and a change that
//! was made over it is taken back byte for byte.

use std::{fs, path::Path};

use vfio_testkit::{Description, Edits, STATE, Stage, Tree};

use super::{all, home, programs};

type Shape = (&'static str, fn(&[u8]) -> Vec<u8>);

/// What can become of a file.
const SHAPES: &[Shape] = &[
    ("nothing", |_| Vec::new()),
    ("one line break", |_| b"\n".to_vec()),
    ("one NUL", |_| vec![0]),
    ("NUL inside", |old| [old, b"a=\0b\n"].concat()),
    ("mark of byte order", |old| [b"\xef\xbb\xbf", old].concat()),
    ("CR LF", |old| old.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])),
    ("lone CR", |old| old.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect()),
    ("no last line break", |old| old.strip_suffix(b"\n").unwrap_or(old).to_vec()),
    ("latin-1", |old| [old, b"# M\xfcller \xe4\xf6\n"].concat()),
    ("binary", |_| (0..4096_u32).map(|n| (n * 7 + n / 256) as u8).collect()),
    ("long line", |old| [old, "x".repeat(200_000).as_bytes(), b"\n"].concat()),
    ("many lines", |old| [old, "# x\n".repeat(50_000).as_bytes()].concat()),
    ("twice", |old| [old, old].concat()),
    ("cut", |old| old[..old.len() / 2].to_vec()),
    ("a block half ours", |old| [old, b"# >>> deploy-vfio >>>\nx\n"].concat()),
    ("brackets", |old| [old, b"]}>)[{<(\n"].concat()),
];

/// And of one that a shell reads.
const SHELL: &[Shape] = &[
    ("open quote", |old| [old, b"GRUB_X=\"unfinished\n"].concat()),
    ("open single quote", |old| [old, b"x='unfinished\n"].concat()),
    ("joined lines", |old| [old, b"a=b \\\nc=d \\\n"].concat()),
    ("ends in a backslash", |old| [old, b"x=\\"].concat()),
    ("appended to", |old| [old, b"GRUB_CMDLINE_LINUX_DEFAULT+=\" more\"\n"].concat()),
    ("exported", |old| [old, b"export GRUB_CMDLINE_LINUX_DEFAULT=x\n"].concat()),
    ("here document", |old| [old, b"cat <<END\nGRUB_DEFAULT=x\nEND\n"].concat()),
    ("substitution", |old| [old, b"GRUB_DEFAULT=$(echo 'x')`echo y`\n"].concat()),
];

/// Files of the machine with two cards, and a command that reads or writes each.
const FILES: &[(&str, &str)] = &[
    ("etc/default/grub", "static grub"),
    ("etc/default/grub.d/zz.cfg", "static grub"),
    ("etc/initramfs-tools/modules", "static file"),
    ("etc/modules", "static file"),
    ("etc/modprobe.d/mine.conf", "static file"),
    ("etc/fstab", "multiboot last --parse all"),
    ("etc/os-release", "multiboot last"),
    ("etc/deploy-vfio/cmdline.d/50-mine.conf", "hugepages 2M 64"),
    ("etc/deploy-vfio/entries.d/deploy-vfio-mine.conf", "hugepages 2M 64"),
    ("etc/deploy-vfio/default-entry", "hugepages 2M 64"),
    ("etc/deploy-vfio/database.xml", "--xml --parse vga --multiboot last --skip-pre-setup"),
    ("etc/deploy-vfio/setup.d/cpu.toml", "cpu"),
    ("etc/deploy-vfio/hooks.toml", "libvirt-hooks"),
    ("etc/deploy-vfio/trial.toml", "multiboot last --trial"),
    ("etc/libvirt/qemu/win10.xml", "guest win10 --define --parse vga"),
    ("boot/grub/grubenv", "multiboot last --trial"),
    ("proc/cmdline", "multiboot last"),
    ("proc/self/mountinfo", "multiboot last --parse all"),
    ("proc/meminfo", "hugepages 1G 2"),
    ("proc/cpuinfo", "cpu"),
    ("proc/swaps", "multiboot last --parse all"),
    ("usr/share/misc/pci.ids", "multiboot last"),
    ("usr/lib/modules/6.1.0-28-amd64/modules.builtin", "static file"),
    ("usr/lib/modules/6.1.0-28-amd64/modules.dep", "static file"),
];

#[test]
fn whatever_a_file_holds_nothing_is_changed_that_cannot_be_taken_back() {
    all(FILES, |(path, line)| {
        let machine = Description::read(&home("machines").join("two-gpus.json"));
        let stage = Stage::new(&machine.map_err(|e| e.to_string())?, Edits::None);
        let stage = stage.map_err(|e| e.to_string())?;
        let mut wrong = String::new();
        let more = if path.starts_with("etc/default/") { SHELL } else { &[] };
        for (name, shape) in SHAPES.iter().chain(more) {
            if let Err(what) = one(&stage, path, *shape, line) {
                wrong += &format!("{path}, {name}: `{line}`: {what}\n");
            }
            stage.reset().map_err(|e| e.to_string())?;
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    });
}

/// Whatever the file then holds, a run of `line` ends as documented and can be taken back.
fn one(stage: &Stage, path: &str, shape: fn(&[u8]) -> Vec<u8>, line: &str) -> Result<(), String> {
    let root = stage.path();
    let file = root.join(path);
    let old = fs::read(&file).unwrap_or_else(|_| b"# nothing\nx=1\n".to_vec());
    fs::create_dir_all(file.parent().unwrap()).map_err(|e| e.to_string())?;
    fs::write(&file, shape(&old)).map_err(|e| e.to_string())?;
    let before = tree(root);
    let words: Vec<&str> = line.split(' ').chain(["--yes", "--no-rebuild"]).collect();
    let run = programs().run(root, &words).map_err(|e| e.to_string())?;
    let said: String = run.stderr.chars().take(600).collect();
    if !matches!(run.code, 0..=7) || run.stderr.contains("panicked") {
        return Err(format!("exit {}: {said}", run.code));
    }
    if run.code == 0 {
        let back = ["undo", "--all", "--yes", "--no-rebuild"];
        let undone = programs().run(root, &back).map_err(|e| e.to_string())?;
        if undone.code != 0 {
            return Err(format!("undo ends with {}: {}", undone.code, undone.stderr));
        }
    }
    match before.diff(&tree(root)).as_str() {
        "" => Ok(()),
        left => Err(format!("exit {}, and it left:\n{left}", run.code)),
    }
}

fn tree(root: &Path) -> Tree {
    Tree::read(root).unwrap().without(&[STATE]).without_directory_times()
}

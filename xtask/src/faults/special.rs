//! C17: files and file systems that are not as usual, on five kinds of real file systems.
//!
//! In a case `ext4/immutable` one of the files that the operation changes is special in that way. Then
//! it is refused, with the reason and without a trace; or it is done, nothing of what the file carries
//! is lost, and an undo brings back every byte. `ext4/room-8` leaves 8 KiB, `ext4/names-3` three names.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::blocks::disk::{self, FileSystem, Mounted};
use super::harness::Scope;
use super::lab::{Bench, Desk, Stage, done, sane};
use super::scenario::{self, Verb};
use super::tracer::Exit;
use super::tree::{self, Node, Tree};

/// The scenario whose operation it is.
pub const SCENARIO: &str = "mixed-apply";
/// A file that it replaces, and another name for it.
const FILE: &str = "etc/modprobe.d/thing.conf";
const PLACES: [&str; 5] = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"];
/// An access list that lets user 1000 read, as the kernel keeps it.
const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\
    \x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

/// What must come of a case.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is done, and all that the file carries is there.
    Kept,
    /// Exit 6, with these words.
    Refused(&'static str),
    /// One of the two.
    Either,
}

use Fate::{Either, Kept, Refused};

/// What a file can be, how it becomes so, and what follows.
type Row = (&'static str, fn(&Path) -> Result<()>, Fate);

const ROWS: &[Row] = &[
    ("plain", |_| Ok(()), Kept),
    ("acl", |file| Ok(xattr::set(file, "system.posix_acl_access", ACL)?), Kept),
    ("default-acl", |file| Ok(xattr::set(dir(file), "system.posix_acl_default", ACL)?), Kept),
    ("label", |file| Ok(xattr::set(file, "security.selinux", b"a_u:a_r:etc_t:s0\0")?), Kept),
    ("not-dumped", |file| run("chattr", &["+d", path(file)]), Kept),
    ("immutable", |file| run("chattr", &["+i", path(file)]), Refused("immutable")),
    ("append-only", |file| run("chattr", &["+a", path(file)]), Refused("append")),
    ("linked", |file| Ok(fs::hard_link(file, file.with_file_name("twin"))?), Refused("hard links")),
    ("fifo", |file| instead(file, |file| run("mkfifo", &[path(file)])), Refused("regular file")),
    (
        "socket",
        |file| instead(file, |file| Ok(UnixListener::bind(file).map(drop)?)),
        Refused("regular"),
    ),
    (
        "device",
        |file| instead(file, |file| run("mknod", &[path(file), "c", "1", "3"])),
        Refused("regular"),
    ),
    ("directory", |file| instead(file, |file| Ok(fs::create_dir(file)?)), Refused("regular file")),
    ("link", to_link, Kept),
    ("link-above", to_link_above, Kept),
    ("mounted", |file| run("mount", &["--bind", path(file), path(file)]), Refused("mount")),
    ("read-only", |file| read_only(top(file)), Refused("read-only")),
];

/// Every case; fewer amounts of room in a quick run.
pub fn list(stage: &Stage, scope: Scope) -> Vec<String> {
    let mut cases = Vec::new();
    if stage.scenario.name != SCENARIO {
        return cases;
    }
    let step = if scope.quick { 16 } else { 4 };
    for place in PLACES {
        cases.extend(ROWS.iter().map(|(name, ..)| format!("{place}/{name}")));
        cases.extend((0..=64).step_by(step).map(|room| format!("{place}/room-{room}")));
        if matches!(place, "ext4" | "tmpfs") {
            cases.extend((0..=24).step_by(step / 4).map(|names| format!("{place}/names-{names}")));
        }
    }
    cases
}

/// Runs one case.
pub fn run_case((bench, stage, desk): (&Bench, &Stage, &Desk), name: &str) -> Result<()> {
    let Some((place, what)) = name.split_once('/') else { bail!("no such case") };
    let home = desk.root.with_file_name("special");
    let place = Place::new(place, &home)?;
    let file = place.root.join(FILE);
    let fate = match (ROWS.iter().find(|row| row.0 == what), what.split_once('-')) {
        (Some((.., fate)), _) => *fate,
        (None, Some(("room" | "names", _))) => Either,
        _ => bail!("no such case"),
    };
    if let Err(error) = prepare(&file, what) {
        // Not every file system has flags and attributes; these three must.
        ensure!(matches!(fate, Kept | Refused(_)) && !place.is_disk(), error);
        return Ok(());
    }
    let judged = judge(bench, stage, &place.root, fate);
    // What could not be removed else.
    let _ = Command::new("chattr").args(["-i", "-a", path(&file)]).output();
    let _ = Command::new("umount").args(["-q", path(&file)]).output();
    judged
}

fn prepare(file: &Path, what: &str) -> Result<()> {
    if let Some((_, prepare, _)) = ROWS.iter().find(|row| row.0 == what) {
        return prepare(file);
    }
    let (kind, number) = what.split_once('-').context("no such case")?;
    let number: u64 = number.parse()?;
    match kind {
        "room" => fill(top(file), number << 10),
        _ => name(top(file), number),
    }
}

fn judge(bench: &Bench, stage: &Stage, root: &Path, fate: Fate) -> Result<()> {
    let before = tree::read(root, false)?;
    let flags = || run_for("lsattr", &[path(&root.join(FILE))]);
    let flagged = flags().ok();
    let ran = bench.run_in(stage.scenario, stage.scenario.verb, root)?;
    sane(&ran)?;
    let said = ran.output.trim();
    let now = tree::read(root, false)?;
    match (fate, ran.exit) {
        (Kept | Either, Exit::Code(0)) => {
            ensure!(carried(&before) == carried(&now), "what the file carries is lost: {said}");
            undo(bench, stage, root)?;
            same(&before, &tree::read(root, false)?)?;
            ensure!(flagged == flags().ok(), "the file's flags are lost");
        }
        (Refused(words), Exit::Code(6)) => {
            ensure!(said.contains(words), "refused, but not for `{words}`: {said}");
            same(&before, &now)?;
        }
        (Either, Exit::Code(1 | 6)) => same(&before, &now)?,
        (fate, exit) => bail!("{exit:?} where {fate:?} was expected: {said}"),
    }
    Ok(())
}

/// Undoes it; where there is no room for the record of that, once there is some.
fn undo(bench: &Bench, stage: &Stage, root: &Path) -> Result<()> {
    let before = tree::read(root, false)?;
    let ran = bench.run_in(stage.scenario, Verb::Undo, root)?;
    let full = ["fill", "names"].into_iter().find(|name| root.join(name).exists());
    let Some(full) = full.filter(|_| matches!(ran.exit, Exit::Code(1 | 6))) else {
        return done(&ran, 0);
    };
    same(&before, &tree::read(root, false)?)?;
    ensure!(ran.output.contains("No space left") || ran.output.contains("full"), "{}", ran.output);
    match full {
        "fill" => File::create(root.join(full))?.set_len(0)?,
        _ => {
            fs::remove_dir_all(root.join(full))?;
            fs::create_dir(root.join(full))?;
        }
    }
    done(&bench.run_in(stage.scenario, Verb::Undo, root)?, 0)
}

/// Mode, owner and attributes of the file behind the name.
fn carried(tree: &Tree) -> Option<Node> {
    match tree.get(Path::new(FILE)) {
        Some(Node::File(file)) => {
            let (bytes, mtime) = (Vec::new(), (0, 0));
            Some(Node::File(tree::FileNode { bytes, mtime, ..file.clone() }))
        }
        other => other.cloned(),
    }
}

pub fn same(before: &Tree, now: &Tree) -> Result<()> {
    let paths = before.keys().chain(now.keys());
    // What fills the file system is ours.
    let ours = |path: &PathBuf| path.starts_with("fill") || path.starts_with("names");
    let mut paths = paths.into_iter().filter(|path| !ours(path));
    match paths.find(|path| before.get(*path) != now.get(*path)) {
        Some(path) => bail!("/{} is not as before", path.display()),
        None => Ok(()),
    }
}

/// A tree on a file system of its own; both go with it.
struct Place {
    root: PathBuf,
    mounted: Option<Mounted>,
    home: PathBuf,
}

impl Place {
    fn new(name: &str, home: &Path) -> Result<Self> {
        fs::create_dir_all(home.join("mnt"))?;
        let mut place =
            Self { root: home.join("mnt/root"), mounted: None, home: home.to_path_buf() };
        let point = path(&home.join("mnt")).to_owned();
        match FileSystem::ALL.into_iter().find(|fs| fs.name() == name) {
            Some(kind) => {
                let image = home.join("image");
                kind.format(&image)?;
                place.mounted = Some(Mounted::new(&image, &home.join("mnt"))?);
            }
            None if name == "tmpfs" => {
                run("mount", &["-t", "tmpfs", "-o", "size=64m,nr_inodes=4096", "none", &point])?;
            }
            None => {
                run("mount", &["-t", "tmpfs", "-o", "size=64m", "none", &point])?;
                for dir in ["lower", "upper", "work", "root"] {
                    fs::create_dir(home.join("mnt").join(dir))?;
                }
                fs::remove_dir(home.join("mnt/lower"))?;
                tree::write(&home.join("mnt/lower"), &scenario::tree())?;
                let layers =
                    format!("lowerdir={point}/lower,upperdir={point}/upper,workdir={point}/work");
                run("mount", &["-t", "overlay", "-o", &layers, "none", &format!("{point}/root")])?;
                return Ok(place);
            }
        }
        tree::write(&place.root, &scenario::tree())?;
        Ok(place)
    }

    fn is_disk(&self) -> bool {
        self.mounted.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let point = self.home.join("mnt");
        match self.mounted.take() {
            Some(mounted) => drop(mounted),
            None => drop(Command::new("umount").args(["-R", "-l", path(&point)]).output()),
        }
        let _ = fs::remove_file(self.home.join("image"));
    }
}

fn to_link(file: &Path) -> Result<()> {
    let real = top(file).join("usr/share/thing/other.conf");
    fs::rename(file, &real)?;
    Ok(symlink("../../usr/share/thing/other.conf", file)?)
}

fn to_link_above(file: &Path) -> Result<()> {
    let real = top(file).join("usr/share/modprobe.d");
    fs::rename(dir(file), real)?;
    Ok(symlink("../usr/share/modprobe.d", dir(file))?)
}

fn instead(file: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::remove_file(file)?;
    make(file)
}

/// Fills the file system until so many bytes are free.
fn fill(root: &Path, room: u64) -> Result<()> {
    let mut file = File::create(root.join("fill"))?;
    let chunk = vec![1; 1 << 16];
    while file.write_all(&chunk).and_then(|()| file.sync_data()).is_ok() {}
    while file.write_all(&[1; 512]).and_then(|()| file.sync_data()).is_ok() {}
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(room))?;
    // It may be too full for even that.
    let _ = file.sync_all();
    Ok(())
}

/// Uses the file system's names up until so many are left.
fn name(root: &Path, left: u64) -> Result<()> {
    let dir = root.join("names");
    fs::create_dir(&dir)?;
    let mut made: u64 = 0;
    while File::create(dir.join(made.to_string())).is_ok() {
        made += 1;
    }
    for number in made.saturating_sub(left)..made {
        fs::remove_file(dir.join(number.to_string()))?;
    }
    Ok(())
}

/// Mounted at the tree or above it.
fn read_only(root: &Path) -> Result<()> {
    let remount = |at: &Path| run("mount", &["-o", "remount,ro", path(at)]);
    remount(root).or_else(|_| remount(dir(root)))
}

/// The directory of the file.
fn dir(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

/// The root of the file's tree.
fn top(file: &Path) -> &Path {
    file.ancestors().nth(Path::new(FILE).components().count()).unwrap_or(file)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    disk::run(program, arguments).map(drop)
}

fn run_for(program: &str, arguments: &[&str]) -> Result<String> {
    disk::run(program, arguments)
}

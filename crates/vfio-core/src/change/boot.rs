//! Puts generated files (the boot menu, initial RAM file systems) in place, so that a boot
//! loader sees the old or the new one, whole.
//!
//! Invariants: a staged file is complete, synced and flushed before its name is exchanged with
//! the live one, and the name is flushed after; the old file keeps its data under the `.swp~` name
//! until the operation is done, so a rollback is one exchange back, and a boot loader that still
//! has the old name finds the old data; nothing here creates content.

use std::{io::Read, os::fd::OwnedFd};

use rustix::fs::{FileType, OFlags};
use sha2::{Digest, Sha256};

use crate::{
    Error, Result, Root,
    change::{
        Artefact, Image, Rebuild,
        defect::defect,
        disk::Disk,
        files::{Found, Move, next},
        journal::Built,
        place::{Folder, Place, join, split},
        record::hex,
    },
    error::At,
};

/// Makes what a generator wrote durable and says what it will replace.
pub(crate) fn describe(root: &Root, disk: &Disk, artefact: &Artefact) -> Result<Built> {
    let (path, staged) = (&artefact.path, &artefact.staged);
    if split(path).0 != split(staged).0 {
        return Err(Error::Unverified {
            what: format!("/{staged} was staged in another directory than /{path}"),
            because: Vec::new(),
        });
    }
    let new = sum(root, staged)?.ok_or_else(|| Error::Unverified {
        what: format!("/{staged} was not written"),
        because: Vec::new(),
    })?;
    let old = sum(root, path)?;
    let file = open(root, staged)?.ok_or_else(|| Error::Changed { path: staged.clone() })?;
    // grub-mkconfig writes its result readable for root alone, whatever the live one is.
    if artefact.what == Rebuild::BootMenu
        && let Image::File { mut meta, .. } = Image::head(root, path)?
    {
        meta.mtime = None;
        disk.set_flags(&file, &meta);
        disk.dress(&file, staged, &meta)?;
    }
    if !defect("no-built-fsync") {
        disk.sync_file(&file, staged)?;
    }
    Ok(Built { path: path.clone(), staged: staged.clone(), old, new })
}

/// The directory of a generated file, and its names.
fn spot(root: &Root, built: &Built, tag: &str) -> Result<(Folder, Place, String)> {
    let place = Place::new(&built.path, tag);
    let aside = format!(".{}.{tag}.old~", place.name);
    Ok((Folder::open(root, &place.dir)?, place, aside))
}

/// Exchanges the staged file with the live one, flushed before and after.
pub(crate) fn commit(root: &Root, disk: &Disk, built: &Built, tag: &str) -> Result<()> {
    let (at, place, aside) = spot(root, built, tag)?;
    let changed = || Err(Error::Changed { path: built.path.clone() });
    let (live, swp) = (place.name.as_str(), place.swp.as_str());
    if built.old.as_ref() == Some(&built.new) {
        return disk.unlink(&at, split(&built.staged).1);
    }
    if !disk.rename_new((&at, split(&built.staged).1), (&at, swp))? {
        return Err(Error::Changed { path: place.swp_path() });
    }
    disk.sync_folder(&at)?;
    disk.sync_for_boot(&at)?;
    if built.old.is_none() {
        if !disk.rename_new((&at, swp), (&at, live))? {
            return changed();
        }
    } else if disk.exchange((&at, swp), (&at, live))? {
        if sum(root, &place.swp_path())? != built.old {
            return changed();
        }
    } else {
        if sum(root, &built.path)? != built.old {
            return changed();
        }
        disk.keep(&at, live, &aside)?;
        disk.rename((&at, swp), (&at, live))?;
        disk.rename((&at, &aside), (&at, swp))?;
    }
    if defect("early-free") {
        disk.unlink(&at, swp)?;
    }
    disk.sync_folder(&at)?;
    disk.sync_for_boot(&at)
}

/// Brings a generated file back as bytes: `false` when someone else rebuilt it meanwhile.
pub(crate) fn put_back(root: &Root, disk: &Disk, built: &Built, tag: &str) -> Result<bool> {
    let (at, place, aside) = spot(root, built, tag)?;
    let (live, swp) = (place.name.as_str(), place.swp.as_str());
    disk.unlink(&at, split(&built.staged).1)?;
    if root.stat(&at.join(&aside))?.is_some() {
        match sum(root, &built.path)?.as_ref() == Some(&built.new) {
            true => drop(disk.rename_new((&at, &aside), (&at, swp))?),
            false => disk.unlink(&at, &aside)?,
        }
    }
    for _ in 0..16 {
        let found = find(sum(root, &built.path)?, built);
        let displaced = match sum(root, &place.swp_path())? {
            None => Found::Nothing,
            some => find(some, built),
        };
        match next(found, displaced) {
            Move::Done => {
                disk.sync_folder(&at)?;
                disk.sync_for_boot(&at)?;
                return Ok(true);
            }
            Move::Kept => return Ok(false),
            Move::Drop | Move::Save => disk.unlink(&at, swp)?,
            Move::Return if root.stat(&built.path)?.is_none() => {
                disk.rename_new((&at, swp), (&at, live))?;
            }
            Move::Return => {
                if !disk.exchange((&at, swp), (&at, live))? {
                    disk.rename((&at, swp), (&at, live))?;
                }
            }
            Move::Rewrite if built.old.is_none() => {
                disk.rename_new((&at, live), (&at, swp))?;
            }
            Move::Rewrite => return Ok(false),
        }
    }
    Err(Error::Changed { path: built.path.clone() })
}

/// Removes what was displaced.
pub(crate) fn clean(root: &Root, disk: &Disk, built: &Built, tag: &str) -> Result<()> {
    let (at, place, aside) = spot(root, built, tag)?;
    for name in [place.swp.as_str(), aside.as_str(), split(&built.staged).1] {
        if root.stat(&at.join(name))?.is_some() {
            disk.unlink(&at, name)?;
        }
    }
    disk.sync_folder(&at)
}

/// Removes what a generator that never finished left behind.
pub(crate) fn sweep(root: &Root, disk: &Disk, staged: &str) -> Result<()> {
    let (dir, name) = split(staged);
    let Some(at) = Folder::find(root, dir)? else { return Ok(()) };
    for name in [name.to_owned(), format!("{name}.new")] {
        match root.stat(&join(dir, &name))? {
            // Under a name of ours nobody else keeps anything.
            Some(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                disk.remove_record(&at, &name)?;
            }
            Some(_) => disk.unlink(&at, &name)?,
            None => {}
        }
    }
    Ok(())
}

fn find(sum: Option<String>, built: &Built) -> Found {
    match sum {
        sum if sum == built.old => Found::Before,
        Some(sum) if sum == built.new => Found::After,
        None => Found::Nothing,
        Some(_) => Found::Other,
    }
}

fn open(root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    root.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)
}

/// The SHA-256 of a file however large; `None` when there is none.
fn sum(root: &Root, path: &str) -> Result<Option<String>> {
    let Some(fd) = open(root, path)? else { return Ok(None) };
    let (mut file, mut hash) = (std::fs::File::from(fd), Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hex(&hash.finalize()))),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).at("read", path),
        }
    }
}

//! The writes of a disk, as QEMU's `blklogwrites` keeps them: the format of the kernel's
//! `dm-log-writes`, one header of a sector and its data for each.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// One request.
#[derive(Clone, Copy, Debug)]
struct Write {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its data is in the log.
    data: u64,
}

/// Requests in their order, and the log that has their data.
#[derive(Debug)]
pub struct Writes {
    log: PathBuf,
    list: Vec<Write>,
}

impl Writes {
    /// Reads a log as far as it is written.
    pub fn read(log: &Path) -> Result<Self> {
        let mut file = File::open(log).with_context(|| log.display().to_string())?;
        let (mut list, mut header) = (Vec::new(), [0; SECTOR as usize]);
        file.seek(SeekFrom::Start(SECTOR))?;
        while file.read_exact(&mut header).is_ok() {
            let word = |n: usize| {
                header[n * 8..][..8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
            };
            let (sector, sectors, flags) = (word(0), word(1), word(2));
            if (sector, sectors, flags) == (0, 0, 0) {
                break;
            }
            let data = file.stream_position()?;
            if flags & DISCARD == 0 {
                file.seek(SeekFrom::Current(i64::try_from(sectors * SECTOR)?))?;
            }
            list.push(Write { sector, sectors, flags, data });
        }
        Ok(Self { log: log.to_path_buf(), list })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Without the first `count`.
    pub fn since(mut self, count: usize) -> Self {
        self.list.drain(..count);
        self
    }

    /// Of the first `count` those that no later flush confirmed.
    pub fn unconfirmed(&self, count: usize) -> impl Iterator<Item = usize> {
        let flushes = |write: &Write| write.flags & FLUSH != 0;
        let first = self.list[..count].iter().rposition(flushes).map_or(0, |at| at + 1);
        (first..count).filter(|&at| self.list[at].sectors > 0)
    }

    /// Brings the first `count` onto a disk, without those that are `lost`.
    pub fn replay(&self, count: usize, lost: &[usize], image: &Path) -> Result<()> {
        self.replay_some(0..count, lost, image)
    }

    /// Brings some of them onto a disk that has those before.
    pub fn replay_some(&self, some: Range<usize>, lost: &[usize], image: &Path) -> Result<()> {
        let log = File::open(&self.log)?;
        let disk = OpenOptions::new().write(true).open(image)?;
        for (at, write) in some.clone().zip(&self.list[some]) {
            if lost.contains(&at) || write.sectors == 0 {
                continue;
            }
            let mut data = vec![0; usize::try_from(write.sectors * SECTOR)?];
            if write.flags & DISCARD == 0 {
                log.read_exact_at(&mut data, write.data)?;
            }
            disk.write_all_at(&data, write.sector * SECTOR)?;
        }
        Ok(())
    }
}

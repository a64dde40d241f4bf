//! Inodes: what an entry asks for, what is kept of it until the end, and its 256 bytes on disk.
//!
//! Linux `Documentation/filesystems/ext4/inodes.rst`; times as in section "Inode Timestamps".

use std::collections::BTreeMap;

use super::disk::put;
use super::error::LayerFault;
use super::xattr::{INLINE, Kept};
use crate::archive::Stamp;

/// What the caller wants to exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) link: Vec<u8>,
    pub(super) times: Times,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Access, inode change, change of contents, creation; as on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) atime: u64,
    pub(super) ctime: u64,
    pub(super) mtime: u64,
    pub(super) crtime: u64,
}

impl Times {
    /// What becomes of times that the reference reads back and writes again.
    pub(super) fn reread(self) -> Self {
        let again = |time| disk_time(stamp(time));
        Self {
            atime: again(self.atime),
            ctime: again(self.ctime),
            mtime: again(self.mtime),
            crtime: again(self.crtime),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) times: Times,
    pub(super) links: u32,
    pub(super) xattr_block: Option<u32>,
    pub(super) blocks: u32,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) flags: u32,
    /// Extents or a short link's target.
    pub(super) data: Box<[u8]>,
    pub(super) inline_xattrs: Option<Box<[u8; INLINE]>>,
    /// What is in the attribute block, as long as it may still change.
    pub(super) kept_xattrs: Option<Kept>,
    pub(super) children: Children,
}

/// A directory's names and their inodes.
pub(super) type Children = BTreeMap<Box<[u8]>, Number>;

/// An inode's number, from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u32);

/// Every inode so far; the reserved ones but the root are empty.
#[derive(Debug, Default)]
pub(super) struct Inodes(Vec<Option<Inode>>);

impl Inodes {
    /// Number 1 is for defective blocks, 2 the root, 3 to 10 are reserved.
    pub(super) fn new(root: Inode) -> Self {
        let mut inodes = vec![None, Some(root)];
        inodes.resize_with(10, || None);
        Self(inodes)
    }

    pub(super) fn add(&mut self, inode: Inode) -> Result<Number, LayerFault> {
        if self.0.len() >= ENTRIES_MAX {
            return Err(LayerFault::TooManyEntries);
        }
        self.0.push(Some(inode));
        Ok(Number(self.count()))
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, number: Number) -> Option<&Inode> {
        self.0.get(usize::try_from(number.0.checked_sub(1)?).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Inode> {
        self.0.get_mut(usize::try_from(number.0.checked_sub(1)?).ok()?)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Inode>> {
        self.0.iter().map(Option::as_ref)
    }
}

impl Inode {
    pub(super) fn kind(&self) -> u16 {
        self.mode & KIND
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == DIRECTORY
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & FLAG_EXTENTS != 0
    }

    pub(super) fn encode(&self) -> [u8; INODE] {
        let mut bytes = [0; INODE];
        let [uid_low @ .., uid_2, uid_3] = self.uid.to_le_bytes();
        let [gid_low @ .., gid_2, gid_3] = self.gid.to_le_bytes();
        let [size_low, size_high] = halves(self.size);
        let [links_0, links_1, ..] = self.links.to_le_bytes();
        put(&mut bytes, 0, &self.mode.to_le_bytes());
        put(&mut bytes, 2, &uid_low);
        put(&mut bytes, 4, &size_low);
        put(&mut bytes, 24, &gid_low);
        put(&mut bytes, 26, &[links_0, links_1]);
        put(&mut bytes, 28, &self.blocks.to_le_bytes());
        put(&mut bytes, 32, &self.flags.to_le_bytes());
        match self.kind() {
            DIRECTORY | FILE | SYMLINK => put(&mut bytes, 40, &self.data),
            CHAR_DEVICE | BLOCK_DEVICE => {
                let device = self.minor & 0xff | self.major << 8 | (self.minor & !0xff) << 12;
                put(&mut bytes, 44, &device.to_le_bytes());
            }
            _ => {}
        }
        put(&mut bytes, 104, &self.xattr_block.unwrap_or(0).to_le_bytes());
        put(&mut bytes, 108, &size_high);
        put(&mut bytes, 120, &[uid_2, uid_3, gid_2, gid_3]);
        put(&mut bytes, 128, &EXTRA.to_le_bytes());
        let times = &self.times;
        for (time, low, high) in [
            (times.atime, 8, 140),
            (times.ctime, 12, 132),
            (times.mtime, 16, 136),
            (times.crtime, 144, 148),
        ] {
            let [seconds, extra] = halves(time);
            put(&mut bytes, low, &seconds);
            put(&mut bytes, high, &extra);
        }
        if let Some(xattrs) = &self.inline_xattrs {
            put(&mut bytes, USED, xattrs.as_slice());
        }
        bytes
    }
}

/// A time as on disk: 34 bits of seconds, 30 of nanoseconds; what does not fit is clamped.
pub(super) fn disk_time(stamp: Option<Stamp>) -> u64 {
    let Some(Stamp { seconds, nanoseconds }) = stamp else { return 0 };
    match seconds {
        // Go's zero time, the first second of the year 1, means "not given".
        YEAR_ONE if nanoseconds == 0 => 0,
        ..-0x8000_0000 => 0x8000_0000,
        0x3_8000_0000.. => 0x3_7fff_ffff,
        _ => seconds.cast_unsigned() | u64::from(nanoseconds) << 34,
    }
}

/// The reverse, as the reference has it.
fn stamp(time: u64) -> Option<Stamp> {
    if time == 0 {
        return None;
    }
    let seconds = match (time & 0x3_ffff_ffff).cast_signed() {
        negative @ 0x8000_0000..=0xffff_ffff => negative - 0x1_0000_0000,
        seconds => seconds,
    };
    let nanoseconds = u32::try_from(time >> 34).unwrap_or_default();
    Some(Stamp {
        seconds: seconds + i64::from(nanoseconds / GIGA),
        nanoseconds: nanoseconds % GIGA,
    })
}

/// Low and high half, little-endian.
fn halves(number: u64) -> [[u8; 4]; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]]
}

/// How many files and directories a layer may have: some two gigabytes of memory.
pub const ENTRIES_MAX: usize = 4_000_000;

pub(super) const ROOT: Number = Number(2);
pub(super) const FIRST: u32 = 11;
pub(super) const INODE: usize = 256;
/// Fields up to and with the creation time.
pub(super) const USED: usize = 152;
/// Of these, those beyond the first 128 bytes.
pub(super) const EXTRA: u16 = 24;
pub(super) const LINKS_MAX: u32 = 65_000;

pub(super) const KIND: u16 = 0o170_000;
pub(super) const FIFO: u16 = 0o010_000;
pub(super) const CHAR_DEVICE: u16 = 0o020_000;
pub(super) const DIRECTORY: u16 = 0o040_000;
pub(super) const BLOCK_DEVICE: u16 = 0o060_000;
pub(super) const FILE: u16 = 0o100_000;
pub(super) const SYMLINK: u16 = 0o120_000;

pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
pub(super) const FLAG_HUGE_FILE: u32 = 0x4_0000;

const YEAR_ONE: i64 = -62_135_596_800;
const GIGA: u32 = 1_000_000_000;

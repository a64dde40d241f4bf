//! One 512-byte header block: format, checksum, numbers.
//!
//! POSIX.1-1988 (ustar), GNU tar manual "Basic Tar Format", star's extension. Offsets are those documents'.

use std::collections::BTreeMap;

use super::{ArchiveError, Header, Kind, Stamp};

pub(super) type Block = [u8; 512];

/// Dialects that place fields differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    V7,
    Ustar,
    Gnu,
    Star,
}

impl Format {
    /// The dialect, or `None` if the checksum is wrong.
    pub(super) fn of(block: &Block) -> Option<Self> {
        let stated = octal(field(block, 148, 8)).ok()?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stated != unsigned && stated != signed {
            return None;
        }
        Some(match (field(block, 257, 6), field(block, 263, 2), field(block, 508, 4)) {
            (b"ustar\0", _, b"tar\0") => Self::Star,
            (b"ustar\0", _, _) => Self::Ustar,
            (b"ustar ", b" \0", _) => Self::Gnu,
            _ => Self::V7,
        })
    }
}

/// A header's fields before extended headers are applied.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) flag: u8,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: i64,
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) mtime: Stamp,
    pub(super) atime: Option<Stamp>,
    pub(super) ctime: Option<Stamp>,
    pub(super) major: i64,
    pub(super) minor: i64,
}

impl Raw {
    pub(super) fn parse(block: &Block) -> Result<Self, ArchiveError> {
        let format = Format::of(block).ok_or(ArchiveError::Header("checksum does not match"))?;
        let [flag, ..] = field(block, 156, 1) else {
            return Err(ArchiveError::Header("no type flag"));
        };
        let mut raw = Self {
            flag: *flag,
            name: text(field(block, 0, 100)),
            link: text(field(block, 157, 100)),
            size: numeric(field(block, 124, 12))?,
            mode: numeric(field(block, 100, 8))?,
            uid: numeric(field(block, 108, 8))?,
            gid: numeric(field(block, 116, 8))?,
            mtime: Stamp::whole(numeric(field(block, 136, 12))?),
            atime: None,
            ctime: None,
            major: 0,
            minor: 0,
        };
        if format == Format::V7 {
            return Ok(raw);
        }
        raw.major = numeric(field(block, 329, 8))?;
        raw.minor = numeric(field(block, 337, 8))?;
        let prefix = match format {
            Format::V7 => Vec::new(),
            Format::Ustar => text(field(block, 345, 155)),
            Format::Star => {
                raw.atime = Some(Stamp::whole(numeric(field(block, 476, 12))?));
                raw.ctime = Some(Stamp::whole(numeric(field(block, 488, 12))?));
                text(field(block, 345, 131))
            }
            Format::Gnu => {
                match (optional_time(field(block, 345, 12)), optional_time(field(block, 357, 12))) {
                    (Ok(atime), Ok(ctime)) => {
                        (raw.atime, raw.ctime) = (atime, ctime);
                        Vec::new()
                    }
                    // Old writers put a name prefix where GNU has the times; Go's reader understands them.
                    _ => Some(text(field(block, 345, 155)))
                        .filter(|prefix| prefix.is_ascii())
                        .unwrap_or_default(),
                }
            }
        };
        if !prefix.is_empty() {
            raw.name = [prefix.as_slice(), b"/", raw.name.as_slice()].concat();
        }
        Ok(raw)
    }

    /// Whether the size says nothing, since such an entry has no contents.
    pub(super) fn has_no_contents(&self) -> bool {
        (b'1'..=b'6').contains(&self.flag)
    }

    pub(super) fn into_header(
        self,
        xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Header, ArchiveError> {
        let size = if self.has_no_contents() { 0 } else { self.size };
        Ok(Header {
            kind: kind(self.flag),
            size: u64::try_from(size).map_err(|_| ArchiveError::Header("negative size"))?,
            name: self.name,
            link: self.link,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: Some(self.mtime),
            atime: self.atime,
            ctime: self.ctime,
            major: self.major,
            minor: self.minor,
            xattrs,
        })
    }

    /// Go hands a global header out with its name and records, and nothing else.
    pub(super) fn into_global_header(self, xattrs: BTreeMap<Vec<u8>, Vec<u8>>) -> Header {
        Header {
            kind: Kind::GlobalHeader,
            name: self.name,
            link: Vec::new(),
            size: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: None,
            atime: None,
            ctime: None,
            major: 0,
            minor: 0,
            xattrs,
        }
    }
}

impl Stamp {
    pub(super) fn whole(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

fn kind(flag: u8) -> Kind {
    match flag {
        b'0' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// A field of a block; empty if it were outside, which constant offsets never are.
pub(super) fn field(block: &[u8], at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn optional_time(bytes: &[u8]) -> Result<Option<Stamp>, ArchiveError> {
    match bytes {
        [0, ..] | [] => Ok(None),
        _ => numeric(bytes).map(|seconds| Some(Stamp::whole(seconds))),
    }
}

/// A number: base 256 if the first bit is set (big-endian two's complement), else octal.
pub(super) fn numeric(bytes: &[u8]) -> Result<i64, ArchiveError> {
    let Some(first) = bytes.first().copied().filter(|first| first & 0x80 != 0) else {
        return octal(bytes);
    };
    let invert = if first & 0x40 != 0 { 0xff } else { 0 };
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = (byte ^ invert) & if at == 0 { 0x7f } else { 0xff };
        if value >> 56 > 0 {
            return Err(ArchiveError::Header("number out of range"));
        }
        value = value << 8 | u64::from(digit);
    }
    let value = i64::try_from(value).map_err(|_| ArchiveError::Header("number out of range"))?;
    Ok(if invert == 0 { value } else { !value })
}

/// An octal number between spaces and NULs; nothing at all is zero.
fn octal(bytes: &[u8]) -> Result<i64, ArchiveError> {
    let is_padding = |byte: &u8| matches!(*byte, 0 | b' ');
    let Some(start) = bytes.iter().position(|byte| !is_padding(byte)) else { return Ok(0) };
    let end = bytes.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    let mut value = 0_u64;
    for byte in bytes.get(start..end).unwrap_or_default().iter().take_while(|byte| **byte != 0) {
        if !(b'0'..=b'7').contains(byte) || value >> 61 > 0 {
            return Err(ArchiveError::Header("not an octal number"));
        }
        value = value << 3 | u64::from(byte - b'0');
    }
    Ok(value.cast_signed())
}

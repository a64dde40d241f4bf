//! Tar archives as container layers use them: ustar, PAX, GNU (long names, base-256 numbers, sparse files) and star.
//!
//! A layer's hash depends on what the host's reader makes of the archive, oddities included, so this reader follows
//! Go's `archive/tar`, which the host uses: what that accepts is accepted with the same meaning, what it refuses is
//! refused. It reads its input once, holds one header at a time, and no length from the archive sizes an allocation
//! beyond one mebibyte. It knows nothing of paths: whether a name is safe is for the caller to decide.

mod entry;
mod header;
mod input;
mod pax;
mod sparse;

use std::io::{self, Read};

pub use self::entry::{Header, Kind, Stamp};
use self::header::{Block, Format, Raw};
use self::input::{Counted, read_block, read_some, skip};
use self::sparse::{Extent, Holes};

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive ends inside an entry or a header.
    #[error("archive ends inside an entry")]
    Truncated,
    /// A header that is none: checksum, number or order.
    #[error("invalid tar header: {0}")]
    Header(&'static str),
    /// An extended header that does not parse.
    #[error("invalid extended header: {0}")]
    Extended(&'static str),
    /// An extended header, long name or sparse map above one mebibyte.
    #[error("{0} exceeds {SPECIAL_MAX} bytes")]
    TooLong(&'static str),
    /// A sparse map that does not agree with the sizes.
    #[error("invalid sparse file: {0}")]
    Sparse(&'static str),
    /// The input could not be read.
    #[error("reading the archive")]
    Io(#[from] io::Error),
}

/// A piece of an entry's contents.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes were put into the buffer.
    Data(usize),
    /// So many zero bytes follow, which are in no buffer.
    Hole(u64),
    /// There is no more.
    End,
}

/// Reads an archive, entry by entry.
pub struct Reader<R> {
    input: Counted<R>,
    /// Bytes of the current entry still in the input.
    stored: u64,
    /// Padding after them.
    padding: u64,
    holes: Option<Holes>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Starts at the beginning of an archive.
    pub fn new(input: R) -> Self {
        Self::with_capacity(BUFFER, input)
    }

    /// The same with a buffer of so many bytes.
    pub(crate) fn with_capacity(bytes: usize, input: R) -> Self {
        Self { input: Counted::new(bytes, input), stored: 0, padding: 0, holes: None, ended: false }
    }

    /// The next entry; what was not read of the one before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Header>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        let entry = self.advance();
        self.ended = !matches!(entry, Ok(Some(_)));
        entry
    }

    /// The next piece of the current entry's contents.
    pub fn next_piece(&mut self, buffer: &mut [u8]) -> Result<Piece, ArchiveError> {
        let limit = match &mut self.holes {
            None => self.stored,
            Some(holes) => match holes.next() {
                Extent::Hole(length) => return Ok(Piece::Hole(length)),
                Extent::Data(_) if self.stored == 0 => {
                    return Err(ArchiveError::Sparse("map names more data than there is"));
                }
                Extent::Data(length) => length.min(self.stored),
                Extent::End if self.stored > 0 => {
                    return Err(ArchiveError::Sparse("data that no part of the map names"));
                }
                Extent::End => 0,
            },
        };
        if limit == 0 || buffer.is_empty() {
            return Ok(Piece::End);
        }
        let length = usize::try_from(limit).map_or(buffer.len(), |limit| limit.min(buffer.len()));
        let read = match buffer.get_mut(..length) {
            Some(part) => read_some(&mut self.input, part)?,
            None => 0,
        };
        if read == 0 {
            return Err(ArchiveError::Truncated);
        }
        let count = widen(read);
        self.stored = self.stored.saturating_sub(count);
        if let Some(holes) = &mut self.holes {
            holes.consume(count);
        }
        Ok(Piece::Data(read))
    }

    /// The input, wherever reading stopped.
    pub fn into_inner(self) -> impl Read {
        self.input
    }

    /// Where the current entry's contents are in the input, and how long they are with and without their padding;
    /// `None` for a sparse file, whose contents are not in one piece.
    pub(crate) fn contents(&self) -> Option<(u64, u64, u64)> {
        let padded = self.stored.saturating_add(self.padding);
        self.holes.is_none().then_some((self.input.position(), self.stored, padded))
    }

    fn advance(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut records = None;
        let mut long_name = Vec::new();
        let mut long_link = Vec::new();
        loop {
            if !self.skip_contents()? {
                return Ok(None);
            }
            let Some(block) = self.header_block()? else { return Ok(None) };
            let mut raw = Raw::parse(&block)?;
            self.begin_contents(&raw)?;
            match raw.flag {
                b'x' => records = Some(pax::parse(&self.special("extended header")?)?),
                b'g' => {
                    let records = pax::parse(&self.special("global extended header")?)?;
                    pax::apply(&mut raw, &records)?;
                    return Ok(Some(raw.into_global_header(pax::xattrs(&records))));
                }
                b'L' => long_name = until_nul(self.special("long name")?),
                b'K' => long_link = until_nul(self.special("long link name")?),
                _ => {
                    let records = records.take().unwrap_or_default();
                    pax::apply(&mut raw, &records)?;
                    if !long_name.is_empty() {
                        raw.name = long_name;
                    }
                    if !long_link.is_empty() {
                        raw.link = long_link;
                    }
                    if raw.flag == 0 {
                        raw.flag = if raw.name.ends_with(b"/") { b'5' } else { b'0' };
                    }
                    self.begin_contents(&raw)?;
                    self.begin_sparse(&mut raw, &records, block)?;
                    return raw.into_header(pax::xattrs(&records)).map(Some);
                }
            }
        }
    }

    fn begin_contents(&mut self, raw: &Raw) -> Result<(), ArchiveError> {
        let size = if raw.has_no_contents() { 0 } else { raw.size };
        self.stored = u64::try_from(size).map_err(|_| ArchiveError::Header("negative size"))?;
        self.padding = self.stored.wrapping_neg() % BLOCK;
        self.holes = None;
        Ok(())
    }

    fn begin_sparse(
        &mut self,
        raw: &mut Raw,
        records: &pax::Records,
        block: Block,
    ) -> Result<(), ArchiveError> {
        let extents = if raw.flag == b'S' {
            if Format::of(&block) != Some(Format::Gnu) {
                return Err(ArchiveError::Sparse("type flag S outside GNU format"));
            }
            Some(sparse::read_old_gnu(raw, block, &mut self.input)?)
        } else {
            match pax::sparse_version(records) {
                None => None,
                Some(version) => {
                    pax::apply_sparse(raw, records)?;
                    Some(match version {
                        pax::SparseVersion::InHeader => sparse::parse_map(records)?,
                        pax::SparseVersion::InContents => {
                            sparse::read_map(&mut self.input, &mut self.stored)?
                        }
                    })
                }
            }
        };
        if let Some(extents) = extents {
            if raw.has_no_contents() {
                return Err(ArchiveError::Sparse("not a file"));
            }
            self.holes = Some(Holes::new(&extents, raw.size)?);
        }
        Ok(())
    }

    /// Contents of a header that describes another: an extended header or a long name.
    fn special(&mut self, what: &'static str) -> Result<Vec<u8>, ArchiveError> {
        if self.stored > SPECIAL_MAX {
            return Err(ArchiveError::TooLong(what));
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(self.stored).read_to_end(&mut bytes)?;
        if widen(bytes.len()) < self.stored {
            return Err(ArchiveError::Truncated);
        }
        self.stored = 0;
        Ok(bytes)
    }

    /// Skips to the next header; `false` if the archive ends in the padding, which is no fault.
    fn skip_contents(&mut self) -> Result<bool, ArchiveError> {
        if skip(&mut self.input, self.stored)? < self.stored {
            return Err(ArchiveError::Truncated);
        }
        self.stored = 0;
        self.holes = None;
        let padding = std::mem::take(&mut self.padding);
        Ok(skip(&mut self.input, padding)? == padding)
    }

    /// The next block that is not an end mark; `None` at the end: nothing more, one zero block and nothing more, or two.
    fn header_block(&mut self) -> Result<Option<Block>, ArchiveError> {
        let Some(first) = read_block(&mut self.input)? else { return Ok(None) };
        if first != ZERO {
            return Ok(Some(first));
        }
        match read_block(&mut self.input)? {
            None | Some(ZERO) => Ok(None),
            Some(_) => Err(ArchiveError::Header("one zero block, then none")),
        }
    }
}

/// A length in memory as a number of bytes.
pub(crate) fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

const BLOCK: u64 = 512;
const ZERO: Block = [0; 512];
const BUFFER: usize = 256 * 1024;
/// Go's limit for extended headers, long names and sparse maps.
const SPECIAL_MAX: u64 = 1 << 20;

#[cfg(test)]
pub(crate) mod tests;

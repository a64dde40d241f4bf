//! GNU sparse files in all four forms: the old header with its extension blocks, and PAX 0.0, 0.1 and 1.0.

use std::collections::VecDeque;
use std::io::Read;

use super::header::{Block, Raw, field, numeric};
use super::input::read_block;
use super::pax::{MAP, Records, decimal, get};
use super::{ArchiveError, SPECIAL_MAX, widen};

/// A piece of data: where it belongs, and its length.
pub(super) type Fragment = (i64, i64);

/// What comes next in a sparse file's logical contents.
pub(super) enum Extent {
    Data(u64),
    Hole(u64),
    End,
}

/// Walks a sparse file's contents, data and holes in turn.
pub(super) struct Holes {
    at: u64,
    size: u64,
    /// Start and end of each fragment that is not empty, in order.
    data: VecDeque<(u64, u64)>,
}

impl Holes {
    /// Fragments must be in order, apart, and inside the file.
    pub(super) fn new(fragments: &[Fragment], size: i64) -> Result<Self, ArchiveError> {
        let bad = |_| ArchiveError::Sparse("map does not fit the file");
        let size = u64::try_from(size).map_err(bad)?;
        let (mut data, mut before) = (VecDeque::new(), 0);
        for (offset, length) in fragments {
            let start = u64::try_from(*offset).map_err(bad)?;
            let end = start.saturating_add(u64::try_from(*length).map_err(bad)?);
            if start < before || end > size {
                return Err(ArchiveError::Sparse("map does not fit the file"));
            }
            if end > start {
                data.push_back((start, end));
            }
            before = end;
        }
        Ok(Self { at: 0, size, data })
    }

    /// What comes next; a hole is passed by being told.
    pub(super) fn next(&mut self) -> Extent {
        match self.data.front() {
            Some((start, end)) if *start == self.at => Extent::Data(end - start),
            Some((start, _)) => Extent::Hole(start - std::mem::replace(&mut self.at, *start)),
            None if self.at < self.size => {
                Extent::Hole(self.size - std::mem::replace(&mut self.at, self.size))
            }
            None => Extent::End,
        }
    }

    /// So many bytes of the data were read.
    pub(super) fn consume(&mut self, count: u64) {
        if let Some((start, end)) = self.data.front_mut() {
            self.at += count;
            *start = self.at;
            if *start >= *end {
                self.data.pop_front();
            }
        }
    }
}

/// The old form: four fragments in the header, 21 in each extension block.
pub(super) fn read_old_gnu(
    raw: &mut Raw,
    header: Block,
    input: &mut impl Read,
) -> Result<Vec<Fragment>, ArchiveError> {
    raw.size = numeric(field(&header, 483, 12))?;
    let mut fragments = Vec::new();
    let (mut block, mut entries, mut start, mut read) = (header, 4, 386, 0);
    loop {
        for entry in 0..entries {
            let offset = field(&block, start + entry * 24, 12);
            if matches!(offset, [] | [0, ..]) {
                break;
            }
            fragments
                .push((numeric(offset)?, numeric(field(&block, start + entry * 24 + 12, 12))?));
        }
        if matches!(field(&block, start + entries * 24, 1), [] | [0]) {
            return Ok(fragments);
        }
        read += widen(block.len());
        if read > SPECIAL_MAX {
            return Err(ArchiveError::TooLong("sparse map"));
        }
        block = read_block(input)?.ok_or(ArchiveError::Truncated)?;
        (entries, start) = (21, 0);
    }
}

/// PAX 0.1 (and 0.0, joined by then): numbers between commas in a record.
pub(super) fn parse_map(records: &Records) -> Result<Vec<Fragment>, ArchiveError> {
    let bad = || ArchiveError::Sparse("map is not a list of numbers");
    let count = decimal(get(records, b"GNU.sparse.numblocks")).ok_or_else(bad)?;
    let map = get(records, MAP);
    let numbers =
        if map.is_empty() { Vec::new() } else { map.split(|byte| *byte == b',').collect() };
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(2)) != Some(numbers.len()) {
        return Err(bad());
    }
    pairs(&numbers)
}

/// PAX 1.0: numbers on lines in front of the contents, in whole blocks.
pub(super) fn read_map(
    input: &mut impl Read,
    stored: &mut u64,
) -> Result<Vec<Fragment>, ArchiveError> {
    let bad = || ArchiveError::Sparse("map is not a list of numbers");
    let mut text = Vec::new();
    let mut lines = 0_u64;
    let mut wanted = 1_u64;
    loop {
        while lines < wanted {
            if widen(text.len()) >= SPECIAL_MAX {
                return Err(ArchiveError::TooLong("sparse map"));
            }
            if *stored < super::BLOCK {
                return Err(ArchiveError::Truncated);
            }
            let block = read_block(input)?.ok_or(ArchiveError::Truncated)?;
            *stored -= super::BLOCK;
            lines += widen(block.iter().filter(|byte| **byte == b'\n').count());
            text.extend_from_slice(&block);
        }
        let mut tokens = text.split(|byte| *byte == b'\n');
        let count = tokens.next().and_then(decimal).ok_or_else(bad)?;
        let total =
            u64::try_from(count).ok().and_then(|count| count.checked_mul(2)).ok_or_else(bad)?;
        if lines > total {
            let total = usize::try_from(total).map_err(|_| bad())?;
            return pairs(&tokens.take(total).collect::<Vec<_>>());
        }
        wanted = total + 1;
    }
}

fn pairs(numbers: &[&[u8]]) -> Result<Vec<Fragment>, ArchiveError> {
    let bad = || ArchiveError::Sparse("map is not a list of numbers");
    let parse = |pair: &[&[u8]]| match pair {
        [offset, length] => {
            Ok((decimal(offset).ok_or_else(bad)?, decimal(length).ok_or_else(bad)?))
        }
        _ => Err(bad()),
    };
    numbers.chunks(2).map(parse).collect()
}

//! The input of an archive: where reading is, whole blocks, and what is passed over.

use std::io::{self, BufRead, BufReader, Read};

use super::header::Block;
use super::{ArchiveError, ZERO, widen};

/// Counts what is read.
pub(super) struct Counted<R> {
    input: BufReader<R>,
    position: u64,
}

impl<R: Read> Counted<R> {
    /// Begins at position zero, with a buffer of so many bytes.
    pub(super) fn new(bytes: usize, input: R) -> Self {
        Self { input: BufReader::with_capacity(bytes, input), position: 0 }
    }
}

impl<R> Counted<R> {
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.position += widen(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.position += widen(count);
        self.input.consume(count);
    }
}

/// A whole block, or `None` if the input is at its end.
pub(super) fn read_block(input: &mut impl Read) -> Result<Option<Block>, ArchiveError> {
    let mut block = ZERO;
    let mut rest = block.as_mut_slice();
    while !rest.is_empty() {
        let read = read_some(input, rest)?;
        if read == 0 {
            return if rest.len() == ZERO.len() { Ok(None) } else { Err(ArchiveError::Truncated) };
        }
        rest = rest.get_mut(read..).unwrap_or_default();
    }
    Ok(Some(block))
}

pub(super) fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Skips up to `count` bytes and says how many there were.
pub(super) fn skip(input: &mut impl BufRead, count: u64) -> io::Result<u64> {
    let mut left = count;
    while left > 0 {
        let available = match input.fill_buf() {
            Ok(bytes) => bytes.len(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available == 0 {
            break;
        }
        let step = usize::try_from(left).map_or(available, |left| left.min(available));
        input.consume(step);
        left -= widen(step);
    }
    Ok(count - left)
}

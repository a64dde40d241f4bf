//! Where blocks go: into a hash tree, or into a file.

use std::io::{Seek, SeekFrom, Write};

use super::disk::{BLOCK, BLOCK_U64, Block};
use super::error::LayerFault;

/// Takes blocks in order; some may be changed later if they are held.
pub(super) trait Device {
    /// Takes whole blocks, next in order, and leaves an empty buffer.
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerFault>;
    /// So many blocks of zeros, next in order.
    fn append_zeros(&mut self, count: u64) -> Result<(), LayerFault>;
    /// A block, of the current or a later position, may be changed until it is released.
    fn hold(&mut self, block: u32);
    /// A held block will not change any more.
    fn release(&mut self, block: u32) -> Result<(), LayerFault>;
    /// Changes a held block.
    fn rewrite(&mut self, block: u32, bytes: &Block) -> Result<(), LayerFault>;
}

/// An image in a file.
pub(super) struct File<W>(W);

impl<W: Write + Seek> File<W> {
    pub(super) fn new(file: W) -> Self {
        Self(file)
    }

    pub(super) fn flush(&mut self) -> Result<(), LayerFault> {
        Ok(self.0.flush()?)
    }
}

impl<W: Write + Seek> Device for File<W> {
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerFault> {
        self.0.write_all(blocks)?;
        blocks.clear();
        Ok(())
    }

    /// What is passed over in an empty file is zero; only the last block is written, so that the file is long enough.
    fn append_zeros(&mut self, count: u64) -> Result<(), LayerFault> {
        let Some(passed) = count.checked_sub(1) else { return Ok(()) };
        let bytes = i64::try_from(passed * BLOCK_U64).map_err(|_| LayerFault::ImageTooLarge)?;
        self.0.seek(SeekFrom::Current(bytes))?;
        Ok(self.0.write_all(&[0; BLOCK])?)
    }

    fn hold(&mut self, _: u32) {}

    fn release(&mut self, _: u32) -> Result<(), LayerFault> {
        Ok(())
    }

    fn rewrite(&mut self, block: u32, bytes: &Block) -> Result<(), LayerFault> {
        self.0.seek(SeekFrom::Start(u64::from(block) * BLOCK_U64))?;
        self.0.write_all(bytes)?;
        self.0.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

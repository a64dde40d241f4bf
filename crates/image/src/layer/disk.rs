//! The image as a stream of blocks with a position: what is written is gathered and handed to the device whole.

use super::device::Device;
use super::error::LayerFault;
use crate::archive::widen;

pub(super) type Block = [u8; BLOCK];

pub(super) struct Disk<D> {
    device: D,
    /// Bytes that are not yet with the device.
    pending: Vec<u8>,
    /// Bytes that are; whole blocks.
    passed: u64,
}

impl<D: Device> Disk<D> {
    /// Leaves room for the superblock and the descriptors, which are known last.
    pub(super) fn new(mut device: D, reserved: u32) -> Result<Self, LayerFault> {
        for block in 0..reserved {
            device.hold(block);
        }
        device.append_zeros(u64::from(reserved))?;
        Ok(Self {
            device,
            pending: Vec::with_capacity(CHUNK + BLOCK),
            passed: u64::from(reserved) * BLOCK_U64,
        })
    }

    pub(super) fn position(&self) -> u64 {
        self.passed + widen(self.pending.len())
    }

    /// The block of the position.
    pub(super) fn block(&self) -> Result<u32, LayerFault> {
        u32::try_from(self.position() / BLOCK_U64).map_err(|_| LayerFault::ImageTooLarge)
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), LayerFault> {
        self.check_room(widen(bytes.len()))?;
        while !bytes.is_empty() {
            let room = CHUNK.saturating_sub(self.pending.len()).min(bytes.len());
            let (part, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.pending.extend_from_slice(part);
            bytes = rest;
            if self.pending.len() >= CHUNK {
                self.pass()?;
            }
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, count: u64) -> Result<(), LayerFault> {
        self.check_room(count)?;
        let to_block = (self.position().wrapping_neg() % BLOCK_U64).min(count);
        self.write_zeros(to_block)?;
        let rest = count - to_block;
        if rest / BLOCK_U64 > 0 {
            self.pass()?;
            self.device.append_zeros(rest / BLOCK_U64)?;
            self.passed += rest / BLOCK_U64 * BLOCK_U64;
        }
        self.write_zeros(rest % BLOCK_U64)
    }

    /// Fills up the current block.
    pub(super) fn align(&mut self) -> Result<(), LayerFault> {
        self.zeros(self.position().wrapping_neg() % BLOCK_U64)
    }

    /// The block that is written next may be changed later.
    pub(super) fn hold_next(&mut self) -> Result<u32, LayerFault> {
        let block = self.block()?;
        self.device.hold(block);
        Ok(block)
    }

    pub(super) fn release(&mut self, block: u32) -> Result<(), LayerFault> {
        self.device.release(block)
    }

    pub(super) fn rewrite(&mut self, block: u32, bytes: &Block) -> Result<(), LayerFault> {
        self.pass()?;
        self.device.rewrite(block, bytes)
    }

    /// The device, with everything passed to it; the position must be at the end of a block.
    pub(super) fn finish(mut self) -> Result<D, LayerFault> {
        self.pass()?;
        Ok(self.device)
    }

    /// Hands whole blocks on.
    fn pass(&mut self) -> Result<(), LayerFault> {
        let whole = self.pending.len() / BLOCK * BLOCK;
        if whole > 0 {
            let rest = self.pending.split_off(whole);
            self.device.append(&mut self.pending)?;
            self.pending.extend_from_slice(&rest);
            self.passed += widen(whole);
        }
        Ok(())
    }

    /// Fewer than a block.
    fn write_zeros(&mut self, count: u64) -> Result<(), LayerFault> {
        let zeros = [0; BLOCK];
        let length = usize::try_from(count).unwrap_or(BLOCK);
        self.write(zeros.get(..length).unwrap_or(&zeros))
    }

    fn check_room(&self, count: u64) -> Result<(), LayerFault> {
        if self.position().saturating_add(count) > DISK_MAX {
            return Err(LayerFault::ImageTooLarge);
        }
        Ok(())
    }
}

/// Writes a field of an on-disk structure.
pub(super) fn put(structure: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = structure.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

pub(super) const BLOCK: usize = 4096;
pub(super) const BLOCK_U64: u64 = 4096;
/// The reference's limit for policies; it fixes the number of descriptor blocks, and so every image's layout.
pub(super) const DISK_MAX: u64 = 128 << 30;
/// Bytes that are handed to the device at once.
pub(super) const CHUNK: usize = 64 * 1024;

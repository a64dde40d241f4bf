//! The dm-verity tree, version 1: SHA-256, a salt of 32 zero bytes, blocks of 4096 bytes for data and hashes.
//!
//! Linux `Documentation/admin-guide/device-mapper/verity.rst`. Each level's hashes fill blocks, the last padded with
//! zeros, and are hashed in turn, until a level is one block; its hash is the root. Only unfinished blocks of each
//! level are kept, and those above a data block that is held because it may still change.

use std::collections::BTreeMap;
use std::mem;

use super::device::Device;
use super::disk::{BLOCK, Block, put};
use super::error::LayerFault;
use super::hasher::{Cores, HASH, Hash, Hasher};

pub(super) struct Tree {
    levels: Vec<Level>,
    zero: Hash,
    hasher: Hasher,
    /// Data blocks whose hashes are not in the tree yet, because they are not made.
    behind: u64,
}

#[derive(Default)]
struct Level {
    /// Hash blocks that are complete.
    complete: u64,
    /// The hashes of the next one.
    current: Vec<u8>,
    /// Complete ones that wait for a block below.
    waiting: BTreeMap<u64, Vec<u8>>,
    /// How many below each is waiting for.
    holds: BTreeMap<u64, u32>,
}

impl Tree {
    pub(super) fn new(cores: Cores) -> Self {
        let hasher = Hasher::new(cores);
        let zero = hasher.salted().hash(&[0; BLOCK]);
        Self { levels: vec![Level::default()], zero, hasher, behind: 0 }
    }

    /// The root over everything appended. Held blocks are taken as they are.
    pub(super) fn root(&mut self) -> Result<Hash, LayerFault> {
        self.catch_up()?;
        let mut at = 0;
        loop {
            if self.levels.get(at).is_some_and(|level| !level.current.is_empty()) {
                self.complete(at)?;
            }
            let waiting = self
                .levels
                .get_mut(at)
                .map(|level| mem::take(&mut level.waiting))
                .unwrap_or_default();
            for (node, hashes) in waiting {
                let hash = self.hash_padded(&hashes);
                self.settle(at + 1, node, &hash)?;
            }
            let above = self.levels.get(at + 1).ok_or(LayerFault::Hashed)?;
            if self.levels.get(at).is_some_and(|level| level.complete == 1) {
                let only =
                    above.current.first_chunk().or_else(|| above.waiting.get(&0)?.first_chunk());
                return only.copied().ok_or(LayerFault::Hashed);
            }
            at += 1;
        }
    }

    fn push(&mut self, at: usize, hash: &Hash) -> Result<(), LayerFault> {
        if self.levels.len() <= at {
            self.levels.resize_with(at + 1, Level::default);
        }
        let level = self.levels.get_mut(at).ok_or(LayerFault::Hashed)?;
        level.current.extend_from_slice(hash);
        if level.current.len() == BLOCK { self.complete(at) } else { Ok(()) }
    }

    /// Ends the current hash block of a level: its hash goes up, or it waits and a place above is kept.
    fn complete(&mut self, at: usize) -> Result<(), LayerFault> {
        let level = self.levels.get_mut(at).ok_or(LayerFault::Hashed)?;
        let hashes = mem::replace(&mut level.current, Vec::with_capacity(BLOCK));
        let node = level.complete;
        level.complete += 1;
        if level.holds.contains_key(&node) {
            level.waiting.insert(node, hashes);
            if self.levels.len() <= at + 1 {
                self.levels.resize_with(at + 2, Level::default);
            }
            if let Some(above) = self.levels.get_mut(at + 1) {
                *above.holds.entry(node / FANOUT).or_default() += 1;
            }
            self.push(at + 1, &[0; HASH])
        } else {
            let hash = self.hash_padded(&hashes);
            self.push(at + 1, &hash)
        }
    }

    /// Puts the hash of something below into its place, wherever the hash block with that place is by now.
    fn settle(&mut self, at: usize, child: u64, hash: &Hash) -> Result<(), LayerFault> {
        let level = self.levels.get_mut(at).ok_or(LayerFault::Hashed)?;
        let node = child / FANOUT;
        let place = usize::try_from(child % FANOUT).map_err(|_| LayerFault::Hashed)? * HASH;
        let hashes = if node == level.complete {
            Some(&mut level.current)
        } else {
            level.waiting.get_mut(&node)
        };
        let slot = hashes
            .and_then(|hashes| hashes.get_mut(place..place + HASH))
            .ok_or(LayerFault::Hashed)?;
        slot.copy_from_slice(hash);
        Ok(())
    }

    fn release_at(&mut self, at: usize, child: u64) -> Result<(), LayerFault> {
        let node = child / FANOUT;
        let level = self.levels.get_mut(at).ok_or(LayerFault::Hashed)?;
        let holds = level.holds.get_mut(&node).ok_or(LayerFault::Hashed)?;
        *holds -= 1;
        if *holds > 0 {
            return Ok(());
        }
        level.holds.remove(&node);
        if let Some(hashes) = level.waiting.remove(&node) {
            let hash = self.hash_padded(&hashes);
            self.settle(at + 1, node, &hash)?;
            self.release_at(at + 1, node)?;
        }
        Ok(())
    }

    fn hash_padded(&self, hashes: &[u8]) -> Hash {
        if hashes.len() == BLOCK {
            return self.hash(hashes);
        }
        let mut block = [0; BLOCK];
        put(&mut block, 0, hashes);
        self.hash(&block)
    }

    fn hash(&self, block: &[u8]) -> Hash {
        self.hasher.salted().hash(block)
    }

    /// Puts the hashes that are due into the tree.
    fn settle_due(&mut self, hashes: &[Hash]) -> Result<(), LayerFault> {
        let due = u64::try_from(hashes.len()).map_err(|_| LayerFault::Hashed)?;
        self.behind = self.behind.checked_sub(due).ok_or(LayerFault::Hashed)?;
        hashes.iter().try_for_each(|hash| self.push(0, hash))
    }

    /// Waits until every hash is in the tree.
    fn catch_up(&mut self) -> Result<(), LayerFault> {
        let hashes = self.hasher.finish();
        self.settle_due(&hashes)?;
        if self.behind == 0 { Ok(()) } else { Err(LayerFault::Hashed) }
    }
}

impl Device for Tree {
    fn append(&mut self, blocks: &mut Vec<u8>) -> Result<(), LayerFault> {
        let count = u64::try_from(blocks.len() / BLOCK).map_err(|_| LayerFault::Hashed)?;
        self.behind += count;
        let hashes = self.hasher.give(blocks);
        self.settle_due(&hashes)
    }

    fn append_zeros(&mut self, count: u64) -> Result<(), LayerFault> {
        self.catch_up()?;
        let zero = self.zero;
        for _ in 0..count {
            self.push(0, &zero)?;
        }
        Ok(())
    }

    fn hold(&mut self, block: u32) {
        if let Some(level) = self.levels.first_mut() {
            *level.holds.entry(u64::from(block) / FANOUT).or_default() += 1;
        }
    }

    fn release(&mut self, block: u32) -> Result<(), LayerFault> {
        self.catch_up()?;
        self.release_at(0, u64::from(block))
    }

    fn rewrite(&mut self, block: u32, bytes: &Block) -> Result<(), LayerFault> {
        self.catch_up()?;
        let hash = self.hash(bytes);
        self.settle(0, u64::from(block), &hash)
    }
}

/// Hashes in a block.
const FANOUT: u64 = 128;

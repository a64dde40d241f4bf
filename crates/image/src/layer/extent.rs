//! Where a file's blocks are: a root of up to four nodes in the inode, and leaves in blocks if more are needed.
//!
//! Linux `Documentation/filesystems/ext4/ifork.rst`, "Extent Tree". The formulas for more than one leaf (files above
//! 42.5 GiB) are the reference's, with its arithmetic.

use super::disk::{BLOCK, Block, put};
use super::error::LayerFault;

/// The extents of a run of blocks.
pub(super) struct Extents {
    /// What goes into the inode.
    pub(super) root: Box<[u8]>,
    /// Leaf blocks, to be written right after the run.
    pub(super) leaves: Vec<Block>,
}

/// `start` is the run's first block, and the leaves come after its last.
pub(super) fn extents(start: u32, blocks: u32) -> Result<Extents, LayerFault> {
    let count = blocks.div_ceil(EXTENT_MAX);
    let mut root = vec![0; ROOT];
    let mut leaves = Vec::new();
    match count {
        0 => root = Vec::new(),
        1..=4 => {
            header(&mut root, count, 4, 0);
            fill(&mut root, count, start, 0, blocks);
        }
        5..=LEAVES_MAX => {
            let leaf_count = count / PER_LEAF + 1;
            header(&mut root, leaf_count, 4, 1);
            for leaf in 0..leaf_count {
                let first = leaf * PER_LEAF * EXTENT_MAX;
                let mut entry = [0; ENTRY];
                put(&mut entry, 0, &first.to_le_bytes());
                put(&mut entry, 4, &(start + blocks + leaf).to_le_bytes());
                put(&mut root, place(leaf), &entry);
                let in_leaf = (count - leaf * leaf_count).min(PER_LEAF);
                let mut block = [0; BLOCK];
                header(&mut block, in_leaf, PER_LEAF, 0);
                fill(&mut block, in_leaf, start.wrapping_add(first), first, blocks);
                leaves.push(block);
            }
        }
        _ => return Err(LayerFault::FileTooLarge),
    }
    Ok(Extents { root: root.into(), leaves })
}

fn header(node: &mut [u8], entries: u32, max: u32, depth: u16) {
    let [entries_0, entries_1, ..] = entries.to_le_bytes();
    let [max_0, max_1, ..] = max.to_le_bytes();
    put(node, 0, &MAGIC.to_le_bytes());
    put(node, 2, &[entries_0, entries_1, max_0, max_1]);
    put(node, 6, &depth.to_le_bytes());
}

fn fill(node: &mut [u8], count: u32, start: u32, offset: u32, blocks: u32) {
    for extent in 0..count {
        let block = offset.wrapping_add(extent * EXTENT_MAX);
        let [length_0, length_1, ..] = blocks.wrapping_sub(block).min(EXTENT_MAX).to_le_bytes();
        let mut entry = [0; ENTRY];
        put(&mut entry, 0, &block.to_le_bytes());
        put(&mut entry, 4, &[length_0, length_1]);
        put(&mut entry, 8, &start.wrapping_add(block).to_le_bytes());
        put(node, place(extent), &entry);
    }
}

/// Where an entry of a node is, after its header.
fn place(entry: u32) -> usize {
    usize::try_from(entry).map_or(usize::MAX / 2, |entry| (entry + 1) * ENTRY)
}

/// Blocks in an extent.
const EXTENT_MAX: u32 = 0x8000;
const PER_LEAF: u32 = 340;
const LEAVES_MAX: u32 = 4 * PER_LEAF;
const ENTRY: usize = 12;
const ROOT: usize = 60;
const MAGIC: u16 = 0xf30a;

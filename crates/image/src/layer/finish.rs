//! The end of an image: inode table, bitmaps, group descriptors, superblock.
//!
//! Linux `Documentation/filesystems/ext4/super.rst`, `group_descr.rst`, `bitmaps.rst`. All inode tables lie together,
//! then all bitmaps, which flexible block groups allow.

use super::device::Device;
use super::disk::{BLOCK, Block, put};
use super::error::LayerFault;
use super::inode::{FIRST, INODE, Number};
use super::tree::{DESCRIPTOR_BLOCKS, Tree};
use crate::archive::widen;

/// How the image is divided.
struct Geometry {
    groups: u32,
    inodes_per_group: u32,
    table: u32,
    bitmaps: u32,
    /// The first block after everything.
    data_end: u32,
    /// Blocks of the image.
    disk: u32,
}

/// What the bitmaps of a group say.
struct Group {
    free_blocks: u32,
    free_inodes: u32,
    directories: u32,
}

impl<D: Device> Tree<D> {
    /// Writes what is left, and returns the device and the image's number of blocks.
    pub(super) fn finish(mut self) -> Result<(D, u64), LayerFault> {
        self.write_directories()?;
        let table = self.disk.block()?;
        let (groups, inodes_per_group) = best_groups(table, self.inodes.count());
        self.write_inode_table(groups, inodes_per_group)?;
        let bitmaps = self.disk.block()?;
        let data_end = bitmaps + 2 * groups;
        let disk = data_end.max((groups - 1) * GROUP_BLOCKS + 1);
        let geometry = Geometry { groups, inodes_per_group, table, bitmaps, data_end, disk };
        if (groups - 1) / DESCRIPTORS_PER_BLOCK + 1 > DESCRIPTOR_BLOCKS {
            return Err(LayerFault::ImageTooLarge);
        }
        let described = self.write_bitmaps(&geometry)?;
        self.disk.zeros(u64::from(disk - data_end) * widen(BLOCK))?;
        let mut device = self.disk.finish()?;
        for block in 0..DESCRIPTOR_BLOCKS {
            device.rewrite(1 + block, &descriptors(&geometry, &described, block))?;
        }
        device.rewrite(0, &superblock(&geometry, &described))?;
        Ok((device, u64::from(disk)))
    }

    fn write_inode_table(&mut self, groups: u32, inodes_per_group: u32) -> Result<(), LayerFault> {
        for inode in self.inodes.iter() {
            let bytes = inode.map_or([0; INODE], |inode| inode.encode());
            self.disk.write(&bytes)?;
        }
        let unused =
            u64::from(groups) * u64::from(inodes_per_group) - u64::from(self.inodes.count());
        self.disk.zeros(unused * widen(INODE))
    }

    fn write_bitmaps(&mut self, geometry: &Geometry) -> Result<Vec<Group>, LayerFault> {
        let mut described = Vec::new();
        for group in 0..geometry.groups {
            let mut blocks = [0; BLOCK];
            let used_blocks = mark_blocks(&mut blocks, geometry, group);
            let mut inodes = [0; BLOCK];
            let (mut used_inodes, mut directories) = (0, 0);
            for index in 0..geometry.inodes_per_group {
                let number = 1 + group * geometry.inodes_per_group + index;
                let inode = self.inodes.get(Number(number));
                if number < FIRST || inode.is_some() {
                    set(&mut inodes, index);
                    used_inodes += 1;
                }
                directories += u32::from(inode.is_some_and(|inode| inode.is_directory()));
            }
            self.disk.write(&blocks)?;
            self.disk.write(&inodes)?;
            described.push(Group {
                free_blocks: GROUP_BLOCKS - used_blocks,
                free_inodes: geometry.inodes_per_group - used_inodes,
                directories,
            });
        }
        Ok(described)
    }
}

/// Marks a group's used blocks and counts them. Blocks past the disk's end count as used.
fn mark_blocks(bitmap: &mut Block, geometry: &Geometry, group: u32) -> u32 {
    let first = group * GROUP_BLOCKS;
    let is_used = |block: u32| {
        let unused_descriptors =
            1 + (geometry.groups - 1) / DESCRIPTORS_PER_BLOCK + 1..1 + DESCRIPTOR_BLOCKS;
        (block < geometry.data_end && !unused_descriptors.contains(&block))
            || block >= geometry.disk
    };
    let mut used = 0;
    for index in (0..GROUP_BLOCKS).filter(|index| is_used(first + index)) {
        set(bitmap, index);
        used += 1;
    }
    used
}

fn set(bitmap: &mut Block, index: u32) {
    let byte = usize::try_from(index / 8).ok().and_then(|at| bitmap.get_mut(at));
    if let Some(byte) = byte {
        *byte |= 1 << (index % 8);
    }
}

/// One block of group descriptors, 32 bytes each, without checksums.
fn descriptors(geometry: &Geometry, groups: &[Group], block: u32) -> Block {
    let mut bytes = [0; BLOCK];
    let table_blocks = geometry.inodes_per_group / INODES_PER_BLOCK;
    let first = block * DESCRIPTORS_PER_BLOCK;
    let indexed = (0_u32..).zip(groups).skip_while(|(group, _)| *group < first);
    for ((number, group), at) in indexed.zip((0..BLOCK).step_by(32)) {
        let [free_blocks_0, free_blocks_1, ..] = group.free_blocks.to_le_bytes();
        let [free_inodes_0, free_inodes_1, ..] = group.free_inodes.to_le_bytes();
        let [directories_0, directories_1, ..] = group.directories.to_le_bytes();
        put(&mut bytes, at, &(geometry.bitmaps + 2 * number).to_le_bytes());
        put(&mut bytes, at + 4, &(geometry.bitmaps + 2 * number + 1).to_le_bytes());
        put(&mut bytes, at + 8, &(geometry.table + number * table_blocks).to_le_bytes());
        put(&mut bytes, at + 12, &[free_blocks_0, free_blocks_1, free_inodes_0, free_inodes_1]);
        put(&mut bytes, at + 16, &[directories_0, directories_1]);
    }
    bytes
}

fn superblock(geometry: &Geometry, groups: &[Group]) -> Block {
    let mut bytes = [0; BLOCK];
    let mut word = |at: usize, value: u32| put(&mut bytes, SUPERBLOCK + at, &value.to_le_bytes());
    word(0, geometry.inodes_per_group * geometry.groups);
    word(4, geometry.disk);
    word(12, groups.iter().map(|group| group.free_blocks).sum());
    word(16, groups.iter().map(|group| group.free_inodes).sum());
    // Logarithms of block and cluster size, from 1024.
    word(24, 2);
    word(28, 2);
    word(32, GROUP_BLOCKS);
    word(36, GROUP_BLOCKS);
    word(40, geometry.inodes_per_group);
    // Magic, and state: cleanly unmounted.
    word(56, 0x0001_EF53);
    // On errors: continue.
    word(60, 1);
    // Revision 1: inode sizes.
    word(76, 1);
    word(84, FIRST);
    word(88, 256);
    // SPARSE_SUPER2, EXT_ATTR.
    word(92, 0x208);
    // FILETYPE, EXTENTS, FLEX_BG.
    word(96, 0x242);
    // LARGE_FILE, HUGE_FILE, EXTRA_ISIZE, READONLY.
    word(100, 0x104A);
    // Extra inode bytes, at least and wanted.
    word(348, 24 << 16 | 24);
    // Groups per flexible group, as a logarithm: all.
    word(372, 31);
    // lost+found.
    word(616, FIRST);
    bytes
}

/// The fewest groups that hold so many blocks and inodes, and the least inodes per group for that.
fn best_groups(blocks: u32, inodes: u32) -> (u32, u32) {
    let step = INODES_PER_BLOCK;
    (1..=GROUP_BLOCKS / step)
        .map(|times| (group_count(blocks, inodes, times * step), times * step))
        .min()
        .unwrap_or((1, step))
}

fn group_count(blocks: u32, inodes: u32, inodes_per_group: u32) -> u32 {
    let table_blocks = inodes_per_group / INODES_PER_BLOCK;
    let data_blocks = GROUP_BLOCKS - table_blocks - 2;
    let for_inodes =
        ((inodes - 1) / inodes_per_group).saturating_mul(data_blocks).saturating_add(1);
    blocks.max(for_inodes).div_ceil(data_blocks)
}

const GROUP_BLOCKS: u32 = 32_768;
const INODES_PER_BLOCK: u32 = 16;
const DESCRIPTORS_PER_BLOCK: u32 = 128;
/// Where the superblock is in block 0.
const SUPERBLOCK: usize = 1024;

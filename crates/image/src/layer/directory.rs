//! Directories' contents, written after all files: depth first, names in order of inode number.
//!
//! Linux `Documentation/filesystems/ext4/directory.rst`, "Linear (Classic) Directories", with file types.

use super::device::Device;
use super::disk::{BLOCK, Block, put};
use super::error::LayerFault;
use super::inode::{
    BLOCK_DEVICE, CHAR_DEVICE, Children, DIRECTORY, FIFO, FILE, KIND, Number, ROOT, SYMLINK,
};
use super::tree::Tree;
use crate::archive::widen;

impl<D: Device> Tree<D> {
    pub(super) fn write_directories(&mut self) -> Result<(), LayerFault> {
        self.close()?;
        let mut left = vec![(ROOT, ROOT)];
        while let Some((directory, parent)) = left.pop() {
            let children = self.write_directory(directory, parent)?;
            left.extend(children.into_iter().rev().map(|child| (child, directory)));
        }
        Ok(())
    }

    /// Writes one and returns the directories in it, in order.
    fn write_directory(
        &mut self,
        directory: Number,
        parent: Number,
    ) -> Result<Vec<Number>, LayerFault> {
        let names = match self.inodes.get_mut(directory) {
            Some(inode) => std::mem::take(&mut inode.children),
            None => Children::new(),
        };
        let mut children: Vec<_> =
            names.iter().map(|(name, number)| (*number, name.as_ref())).collect();
        children.sort_unstable();
        let mut written = 0;
        let mut directories = Vec::new();
        let mut block = DirectoryBlock::new();
        let dots = [(directory, b".".as_slice()), (parent, b"..".as_slice())];
        for (child, name) in dots.into_iter().chain(children.iter().copied()) {
            let mode = self.inode(child)?.mode;
            if !block.fits(name) {
                self.disk.write(&block.end())?;
                written += widen(BLOCK);
            }
            block.add(child, mode, name);
        }
        self.disk.write(&block.end())?;
        written += widen(BLOCK);
        for (child, _) in &children {
            if self.inode(*child)?.is_directory() {
                directories.push(*child);
            }
        }
        let inode = self.inodes.get_mut(directory).ok_or(LayerFault::Parent)?;
        inode.size = written;
        self.place(directory, written)?;
        Ok(directories)
    }
}

/// One block of entries, from the front.
struct DirectoryBlock {
    bytes: Block,
    used: usize,
}

impl DirectoryBlock {
    fn new() -> Self {
        Self { bytes: [0; BLOCK], used: 0 }
    }

    /// Whether there is room for a name and the empty entry that ends the block.
    fn fits(&self, name: &[u8]) -> bool {
        BLOCK - self.used >= record_length(name) + END
    }

    fn add(&mut self, inode: Number, mode: u16, name: &[u8]) {
        let length = record_length(name);
        let [length_0, length_1, ..] = length.to_le_bytes();
        let [name_length, ..] = name.len().to_le_bytes();
        put(&mut self.bytes, self.used, &inode.0.to_le_bytes());
        put(&mut self.bytes, self.used + 4, &[length_0, length_1, name_length, file_type(mode)]);
        put(&mut self.bytes, self.used + HEADER, name);
        self.used += length;
    }

    /// The block, ended by an empty entry that fills it; then begins the next.
    fn end(&mut self) -> Block {
        let [length_0, length_1, ..] = (BLOCK - self.used).to_le_bytes();
        put(&mut self.bytes, self.used + 4, &[length_0, length_1]);
        std::mem::replace(self, Self::new()).bytes
    }
}

fn record_length(name: &[u8]) -> usize {
    (HEADER + name.len()).next_multiple_of(4)
}

fn file_type(mode: u16) -> u8 {
    match mode & KIND {
        FILE => 1,
        DIRECTORY => 2,
        CHAR_DEVICE => 3,
        BLOCK_DEVICE => 4,
        FIFO => 5,
        SYMLINK => 7,
        _ => 0,
    }
}

const HEADER: usize = 8;
/// The empty entry at the end of a block has at least this.
const END: usize = 12;

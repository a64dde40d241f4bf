//! The file system while it grows: names, inodes, links, and contents as they stream through.
//!
//! Every operation does what the reference's writer does, including what it does to an entry that is given twice: the
//! inode is used again unless it has other names, contents that are already placed cannot be replaced, and a directory
//! stays one.

use std::collections::BTreeMap;

use super::device::Device;
use super::disk::{BLOCK_U64, DISK_MAX, Disk};
use super::error::{LayerFault, shown};
use super::extent::extents;
use super::inode::{
    DIRECTORY, FILE, FLAG_EXTENTS, FLAG_HUGE_FILE, Inode, Inodes, KIND, LINKS_MAX, Number, ROOT,
    SYMLINK, Wanted,
};
use super::xattr::{Kept, Placed, read_inline};

pub(super) struct Tree<D> {
    pub(super) disk: Disk<D>,
    pub(super) inodes: Inodes,
    open: Option<Open>,
}

/// A file whose contents are being written.
struct Open {
    number: Number,
    written: u64,
    expected: u64,
}

/// Where a path leads: the directory, the name in it, and what is there.
struct Found<'a> {
    directory: Number,
    name: &'a [u8],
    existing: Option<Number>,
}

impl<D: Device> Tree<D> {
    pub(super) fn new(device: D) -> Result<Self, LayerFault> {
        let mut root = Inode { links: 2, ..Inode::default() };
        describe(&mut root, &Wanted { mode: DIRECTORY | 0o755, ..Wanted::default() });
        let disk = Disk::new(device, 1 + DESCRIPTOR_BLOCKS)?;
        let mut tree = Self { disk, inodes: Inodes::new(root), open: None };
        // e2fsck wants it.
        tree.create(b"lost+found", Wanted { mode: DIRECTORY | 0o700, ..Wanted::default() })?;
        Ok(tree)
    }

    /// Makes the parents that a path lacks, each like its own parent.
    pub(super) fn make_parents(&mut self, path: &[u8]) -> Result<(), LayerFault> {
        self.close()?;
        let clean = clean(path);
        let Some((_, parents)) = clean.split_last() else { return Ok(()) };
        let mut directory = ROOT;
        for name in parents {
            let parent = self.inode(directory)?;
            directory = match parent.children.get(*name) {
                Some(child) => *child,
                None => {
                    let wanted = Wanted {
                        mode: parent.mode,
                        uid: parent.uid,
                        gid: parent.gid,
                        times: parent.times.reread(),
                        major: parent.major,
                        minor: parent.minor,
                        ..Wanted::default()
                    };
                    let found = self.find_in(directory, name)?;
                    self.create_at(&found, wanted)?
                }
            };
        }
        Ok(())
    }

    /// Makes or replaces an entry; a file's contents are to be written next.
    pub(super) fn create(&mut self, path: &[u8], wanted: Wanted) -> Result<(), LayerFault> {
        self.close()?;
        let clean = clean(path);
        let found = self.find(&clean)?;
        self.create_at(&found, wanted).map(drop)
    }

    /// Gives an entry another name.
    pub(super) fn link(&mut self, target: &[u8], path: &[u8]) -> Result<(), LayerFault> {
        self.close()?;
        let clean_path = clean(path);
        let clean_target = clean(target);
        let found = self.find(&clean_path)?;
        if let Some(existing) = found.existing {
            let existing = self.inode(existing)?;
            if existing.is_directory() || existing.links < 2 {
                return Err(LayerFault::LinkOverEntry);
            }
        }
        let missing = || LayerFault::LinkTarget(shown(target));
        let old = self.find(&clean_target).map_err(|_| missing())?.existing.ok_or_else(missing)?;
        let inode = self.inode(old)?;
        if inode.is_directory() {
            return Err(LayerFault::LinkToDirectory(shown(target)));
        }
        if found.existing != Some(old) && inode.links >= LINKS_MAX {
            return Err(LayerFault::TooManyLinks);
        }
        if let Some(existing) = found.existing {
            self.inode_mut(existing)?.links -= 1;
        }
        self.inode_mut(old)?.links += 1;
        self.inode_mut(found.directory)?.children.insert(found.name.into(), old);
        Ok(())
    }

    /// Marks a directory as opaque for overlayfs, the way the reference does: by giving the entry again.
    pub(super) fn make_opaque(&mut self, path: &[u8]) -> Result<(), LayerFault> {
        self.close()?;
        let clean = clean(path);
        let number = self.find(&clean)?.existing.ok_or(LayerFault::Parent)?;
        let inode = self.inode(number)?;
        let mut xattrs = BTreeMap::new();
        if let Some(kept) = &inode.kept_xattrs {
            kept.read(&mut xattrs)?;
        }
        if let Some(inline) = &inode.inline_xattrs {
            read_inline(inline, &mut xattrs)?;
            xattrs.remove(b"system.data".as_slice());
        }
        if inode.kind() == SYMLINK && inode.size > SHORT_LINK {
            return Err(LayerFault::OpaqueLink);
        }
        xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
        let wanted = Wanted {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size: inode.size,
            link: if inode.kind() == SYMLINK { inode.data.to_vec() } else { Vec::new() },
            times: inode.times.reread(),
            major: inode.major,
            minor: inode.minor,
            xattrs,
        };
        self.create(path, wanted)
    }

    /// Writes contents of the file that was made last.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LayerFault> {
        self.grow(crate::archive::widen(bytes.len()))?;
        self.disk.write(bytes)
    }

    /// Writes contents that are all zero.
    pub(super) fn write_zeros(&mut self, count: u64) -> Result<(), LayerFault> {
        self.grow(count)?;
        self.disk.zeros(count)
    }

    /// Ends the file that was made last.
    pub(super) fn close(&mut self) -> Result<(), LayerFault> {
        let Some(Open { number, written, expected }) = self.open.take() else { return Ok(()) };
        if written != expected {
            return Err(LayerFault::Length { expected, found: written });
        }
        if expected > 0 { self.place(number, written) } else { Ok(()) }
    }

    /// Records where the contents just written are.
    pub(super) fn place(&mut self, number: Number, written: u64) -> Result<(), LayerFault> {
        self.disk.align()?;
        let end = self.disk.block()?;
        let blocks =
            u32::try_from(written.div_ceil(BLOCK_U64)).map_err(|_| LayerFault::ImageTooLarge)?;
        let extents = extents(end.saturating_sub(blocks), blocks)?;
        let mut used = blocks;
        for leaf in &extents.leaves {
            self.disk.write(leaf)?;
            used += 1;
        }
        let inode = self.inodes.get_mut(number).ok_or(LayerFault::Parent)?;
        inode.data = extents.root;
        inode.flags |= FLAG_EXTENTS;
        inode.blocks += used;
        // Contents that are placed fix the inode, and so its attributes.
        if inode.kind() != DIRECTORY
            && inode.kept_xattrs.take().is_some()
            && let Some(block) = inode.xattr_block
        {
            self.disk.release(block)?;
        }
        Ok(())
    }

    pub(super) fn inode(&self, number: Number) -> Result<&Inode, LayerFault> {
        self.inodes.get(number).ok_or(LayerFault::Parent)
    }

    fn inode_mut(&mut self, number: Number) -> Result<&mut Inode, LayerFault> {
        self.inodes.get_mut(number).ok_or(LayerFault::Parent)
    }

    fn find<'a>(&self, path: &[&'a [u8]]) -> Result<Found<'a>, LayerFault> {
        let Some((name, parents)) = path.split_last() else {
            return Ok(Found { directory: ROOT, name: b"", existing: Some(ROOT) });
        };
        check_name(name)?;
        let mut directory = ROOT;
        for parent in parents {
            directory = *self.inode(directory)?.children.get(*parent).ok_or(LayerFault::Parent)?;
        }
        self.find_in(directory, name)
    }

    fn find_in<'a>(&self, directory: Number, name: &'a [u8]) -> Result<Found<'a>, LayerFault> {
        check_name(name)?;
        let inode = self.inode(directory)?;
        if !inode.is_directory() {
            return Err(LayerFault::Parent);
        }
        Ok(Found { directory, name, existing: inode.children.get(name).copied() })
    }

    fn create_at(&mut self, found: &Found<'_>, wanted: Wanted) -> Result<Number, LayerFault> {
        let wants_directory = wanted.mode & KIND == DIRECTORY;
        let mut again = None;
        if let Some(existing) = found.existing {
            let inode = self.inode(existing)?;
            if inode.is_directory() != wants_directory {
                return Err(LayerFault::DirectoryConflict);
            }
            if wants_directory || inode.links < 2 {
                again = Some(existing);
            }
        } else if wants_directory && self.inode(found.directory)?.links >= LINKS_MAX {
            return Err(LayerFault::TooManyLinks);
        }
        let (size, is_file) = (wanted.size, wanted.mode & KIND == FILE);
        let number = self.make(again, wanted)?;
        if again.is_none() {
            if let Some(existing) = found.existing {
                self.inode_mut(existing)?.links -= 1;
            }
            self.inode_mut(number)?.links += 1;
            let directory = self.inode_mut(found.directory)?;
            directory.children.insert(found.name.into(), number);
            directory.links += u32::from(wants_directory);
        }
        if is_file {
            self.open = Some(Open { number, written: 0, expected: size });
        }
        Ok(number)
    }

    /// Fills a new inode, or one that is used again.
    fn make(&mut self, again: Option<Number>, mut wanted: Wanted) -> Result<Number, LayerFault> {
        let mut inode = match again {
            None => Inode { links: u32::from(wanted.mode & KIND == DIRECTORY), ..Inode::default() },
            Some(number) => std::mem::take(self.inode_mut(number)?),
        };
        if inode.has_extents() {
            return Err(LayerFault::Overwrite);
        }
        if wanted.mode & KIND == FILE && wanted.size > DISK_MAX {
            return Err(LayerFault::FileTooLarge);
        }
        if let Some(inline) = &inode.inline_xattrs {
            let mut before = BTreeMap::new();
            read_inline(inline, &mut before)?;
            for (name, value) in before {
                wanted.xattrs.entry(name).or_insert(value);
            }
        }
        describe(&mut inode, &wanted);
        self.write_xattrs(&mut inode, &Placed::new(&wanted.xattrs)?)?;
        if inode.kind() == SYMLINK {
            inode.size = crate::archive::widen(wanted.link.len());
        }
        let long_link = inode.kind() == SYMLINK && inode.size > SHORT_LINK;
        if inode.kind() == SYMLINK && !long_link {
            inode.data = wanted.link.as_slice().into();
        }
        let size = inode.size;
        let number = match again {
            None => self.inodes.add(inode)?,
            Some(number) => {
                *self.inode_mut(number)? = inode;
                number
            }
        };
        if long_link {
            self.disk.write(&wanted.link)?;
            self.place(number, size)?;
        }
        Ok(number)
    }

    fn write_xattrs(&mut self, inode: &mut Inode, placed: &Placed) -> Result<(), LayerFault> {
        inode.inline_xattrs = placed.inline();
        if !placed.needs_block() && inode.xattr_block.is_none() {
            return Ok(());
        }
        let bytes = placed.block();
        match inode.xattr_block {
            Some(block) => self.disk.rewrite(block, &bytes)?,
            None => {
                inode.xattr_block = Some(self.disk.hold_next()?);
                inode.blocks += 1;
                self.disk.write(&bytes)?;
            }
        }
        inode.kept_xattrs = Some(Kept::new(&bytes));
        Ok(())
    }

    fn grow(&mut self, count: u64) -> Result<(), LayerFault> {
        let Some(open) = &mut self.open else {
            return Err(LayerFault::Length { expected: 0, found: count });
        };
        open.written = open.written.saturating_add(count);
        if open.written > open.expected {
            return Err(LayerFault::Length { expected: open.expected, found: open.written });
        }
        Ok(())
    }
}

/// What an entry says, onto an inode that keeps its number, links, children and attribute block.
fn describe(inode: &mut Inode, wanted: &Wanted) {
    inode.mode = wanted.mode;
    if inode.kind() == SYMLINK {
        inode.mode |= 0o777;
    }
    inode.uid = wanted.uid;
    inode.gid = wanted.gid;
    inode.size = if inode.kind() == FILE { wanted.size } else { 0 };
    inode.times = wanted.times;
    inode.major = wanted.major;
    inode.minor = wanted.minor;
    inode.flags = FLAG_HUGE_FILE;
    inode.data = Box::default();
}

fn check_name(name: &[u8]) -> Result<(), LayerFault> {
    if name.is_empty() || name.len() > NAME_MAX { Err(LayerFault::Name) } else { Ok(()) }
}

/// The parts of a path from the root, with `.` and `..` resolved as text, never above the root.
pub(super) fn clean(path: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts
}

/// Descriptor blocks for 128 GiB: 32-byte descriptors of groups of 32768 blocks.
pub(super) const DESCRIPTOR_BLOCKS: u32 = 8;
const NAME_MAX: usize = 255;
/// Targets up to here are in the inode.
const SHORT_LINK: u64 = 59;

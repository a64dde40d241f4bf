//! Extended attributes: in the inode's spare bytes, or in one block.
//!
//! Linux `Documentation/filesystems/ext4/attributes.rst`. Names are shortened by a prefix index; entries grow from the
//! front, values from the back. The reference reads its own bytes back when an entry is given again, and some names do
//! not survive that; [`read`] therefore works on the bytes too.

use std::collections::BTreeMap;

use super::disk::{BLOCK, Block, put};
use super::error::{LayerFault, shown};
use super::inode::{INODE, USED};
use super::sort::sort_as_go;

/// One attribute as it is stored.
struct Xattr {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Attributes, spread over their two places.
#[derive(Default)]
pub(super) struct Placed {
    inode: Vec<Xattr>,
    block: Vec<Xattr>,
}

/// The contents of an attribute block, without the zeros in its middle.
#[derive(Debug)]
pub(super) struct Kept {
    front: Box<[u8]>,
    back: Box<[u8]>,
}

impl Placed {
    /// Takes attributes in order of their names; each goes into the inode if it fits there, else into the block.
    pub(super) fn new(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Self, LayerFault> {
        let mut placed = Self::default();
        let mut inode_left = INLINE - 8;
        let mut block_left = BLOCK - HEADER - 4;
        for (name, value) in xattrs {
            let (index, stored) = compress(name);
            let xattr = Xattr { index, name: stored.to_vec(), value: value.clone() };
            let length = xattr.entry_length() + xattr.value_length();
            if let Some(left) = inode_left.checked_sub(length) {
                inode_left = left;
                placed.inode.push(xattr);
            } else if let Some(left) = block_left.checked_sub(length) {
                block_left = left;
                placed.block.push(xattr);
            } else {
                return Err(LayerFault::Xattr(shown(name)));
            }
        }
        let key = |xattr: &Xattr| (xattr.index, xattr.name.len());
        // This is no order, but it is the reference's.
        sort_as_go(&mut placed.block, |a, b| {
            key(a).0 < key(b).0 || key(a).1 < key(b).1 || a.name < b.name
        });
        Ok(placed)
    }

    pub(super) fn needs_block(&self) -> bool {
        !self.block.is_empty()
    }

    pub(super) fn inline(&self) -> Option<Box<[u8; INLINE]>> {
        if self.inode.is_empty() {
            return None;
        }
        let mut bytes = Box::new([0; INLINE]);
        put(bytes.as_mut_slice(), 0, &MAGIC);
        if let Some(area) = bytes.get_mut(MAGIC.len()..) {
            write(&self.inode, area, 0);
        }
        Some(bytes)
    }

    pub(super) fn block(&self) -> Block {
        let mut bytes = [0; BLOCK];
        put(&mut bytes, 0, &MAGIC);
        // One reference, one block.
        put(&mut bytes, 4, &1_u32.to_le_bytes());
        put(&mut bytes, 8, &1_u32.to_le_bytes());
        if let Some(area) = bytes.get_mut(HEADER..) {
            write(&self.block, area, HEADER);
        }
        bytes
    }
}

impl Kept {
    pub(super) fn new(block: &Block) -> Self {
        let (front, back) = block.split_at(BLOCK / 2);
        let used =
            |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let unused = back.iter().position(|byte| *byte != 0).unwrap_or(back.len());
        Self {
            front: front.get(..used(front)).unwrap_or(front).into(),
            back: back.get(unused..).unwrap_or(back).into(),
        }
    }

    /// Reads the attributes back.
    pub(super) fn read(&self, into: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), LayerFault> {
        let mut block = [0; BLOCK];
        put(&mut block, 0, &self.front);
        put(&mut block, BLOCK - self.back.len(), &self.back);
        read(block.get(HEADER..).unwrap_or_default(), HEADER, into)
    }
}

/// Reads the inode's attributes back.
pub(super) fn read_inline(
    bytes: &[u8; INLINE],
    into: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<(), LayerFault> {
    read(bytes.get(MAGIC.len()..).unwrap_or_default(), 0, into)
}

impl Xattr {
    fn entry_length(&self) -> usize {
        16 + self.name.len().next_multiple_of(4)
    }

    fn value_length(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }

    fn hash(&self) -> u32 {
        let by_name =
            self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(by_name, |hash, chunk| {
            let mut word = [0; 4];
            put(&mut word, 0, chunk);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

fn write(xattrs: &[Xattr], area: &mut [u8], offset_delta: usize) {
    let mut entry = 0;
    let mut value = area.len();
    for xattr in xattrs {
        value = value.saturating_sub(xattr.value_length());
        let [name_length, ..] = xattr.name.len().to_le_bytes();
        let [offset_0, offset_1, ..] = (value + offset_delta).to_le_bytes();
        let [length_0, length_1, length_2, length_3, ..] = xattr.value.len().to_le_bytes();
        put(area, entry, &[name_length, xattr.index, offset_0, offset_1]);
        put(area, entry + 8, &[length_0, length_1, length_2, length_3]);
        put(area, entry + 12, &xattr.hash().to_le_bytes());
        put(area, entry + 16, &xattr.name);
        put(area, value, &xattr.value);
        entry += xattr.entry_length();
    }
}

fn read(
    area: &[u8],
    offset_delta: usize,
    into: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<(), LayerFault> {
    let mut rest = area;
    while let [name_length @ 1..=u8::MAX, index, offset_0, offset_1, _, _, _, _, entry @ ..] = rest
    {
        let [length_0, length_1, length_2, length_3, _, _, _, _, name @ ..] = entry else {
            return Err(LayerFault::XattrMerge);
        };
        // The reference adds in eight bits, so it stops at a longer name.
        if *name_length > 239 {
            return Err(LayerFault::XattrMerge);
        }
        let name_length = usize::from(*name_length);
        let offset = usize::from(u16::from_le_bytes([*offset_0, *offset_1]));
        let length =
            usize::try_from(u32::from_le_bytes([*length_0, *length_1, *length_2, *length_3]))
                .map_err(|_| LayerFault::XattrMerge)?;
        let start = offset.checked_sub(offset_delta).ok_or(LayerFault::XattrMerge)?;
        let value =
            area.get(start..).and_then(|tail| tail.get(..length)).ok_or(LayerFault::XattrMerge)?;
        let name = name.get(..name_length).ok_or(LayerFault::XattrMerge)?;
        into.insert(decompress(*index, name), value.to_vec());
        rest = rest.get(16 + name_length.next_multiple_of(4)..).ok_or(LayerFault::XattrMerge)?;
    }
    Ok(())
}

fn compress(name: &[u8]) -> (u8, &[u8]) {
    PREFIXES
        .iter()
        .find_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))
        .unwrap_or((0, name))
}

fn decompress(index: u8, name: &[u8]) -> Vec<u8> {
    let prefix = PREFIXES.iter().find(|(known, _)| *known == index).map(|(_, prefix)| *prefix);
    [prefix.unwrap_or_default(), name].concat()
}

const PREFIXES: [(u8, &[u8]); 7] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (8, b"system.richacl"),
    (7, b"system."),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// Bytes of an inode after its fields.
pub(super) const INLINE: usize = INODE - USED;
const MAGIC: [u8; 4] = 0xEA02_0000_u32.to_le_bytes();
/// The block's header.
const HEADER: usize = 32;

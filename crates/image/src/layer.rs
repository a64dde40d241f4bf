//! What the hardware's host makes of an image layer: tar → compact ext4 → dm-verity, and the root of its hash tree.
//!
//! The host mounts a layer as an ext4 image protected by dm-verity, and the policy that the hardware measures names
//! layers by the tree's root. The image is therefore reproduced to the bit, as `microsoft/hcsshim`'s `ext4/tar2ext4`
//! and `ext4/dmverity` write it for confidential containers: whiteouts converted, no inline data, 128 GiB at most.
//! What those accept gives their hash, and only what they refuse is refused.
//!
//! [`measure`] reads the archive once and keeps none of its contents: blocks are hashed as they pass. Memory is a few
//! hundred bytes an entry, with at most [`ENTRIES_MAX`] of them.

mod convert;
mod device;
mod directory;
mod disk;
mod error;
mod extent;
mod finish;
mod hasher;
mod inode;
mod sort;
mod tree;
mod verity;
mod xattr;

use std::fmt;
use std::io::{Read, Seek, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use self::error::shown;
pub use self::error::{LayerError, LayerFault};
pub use self::hasher::Cores;
pub use self::inode::ENTRIES_MAX;

/// The root of a layer's dm-verity tree, as policies name layers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootHash([u8; 32]);

/// What [`measure`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerMeasurement {
    /// Root of the hash tree.
    pub root_hash: RootHash,
    /// Size of the ext4 image in bytes.
    pub ext4_size: u64,
}

/// Measures one uncompressed layer archive, on two cores.
pub fn measure(tar: impl Read) -> Result<LayerMeasurement, LayerError> {
    measure_on(Cores::Two, tar)
}

/// Measures one uncompressed layer archive; the cores change the time it takes and nothing else.
pub fn measure_on(cores: Cores, tar: impl Read) -> Result<LayerMeasurement, LayerError> {
    let (mut tree, blocks) = convert::convert(tar, verity::Tree::new(cores))?;
    let root_hash = RootHash(tree.root().map_err(LayerError::whole)?);
    Ok(LayerMeasurement { root_hash, ext4_size: blocks * disk::BLOCK_U64 })
}

/// The root of the hash tree over an image as it is, for instance one that [`write_ext4`] wrote; whole blocks count.
pub fn verity_root(cores: Cores, mut image: impl Read) -> Result<RootHash, LayerError> {
    let mut tree = verity::Tree::new(cores);
    let mut piece = Vec::with_capacity(disk::CHUNK);
    loop {
        let read = image.by_ref().take(crate::archive::widen(disk::CHUNK)).read_to_end(&mut piece);
        let read = read.map_err(|error| LayerError::whole(error.into()))?;
        device::Device::append(&mut tree, &mut piece).map_err(LayerError::whole)?;
        if read < disk::CHUNK {
            return Ok(RootHash(tree.root().map_err(LayerError::whole)?));
        }
    }
}

/// Writes a layer's ext4 image, the very one whose hash [`measure`] gives, and returns its size in bytes.
///
/// The image must be empty: zeros are not written where nothing is.
pub fn write_ext4(tar: impl Read, image: impl Write + Seek) -> Result<u64, LayerError> {
    let (mut file, blocks) = convert::convert(tar, device::File::new(image))?;
    file.flush().map_err(LayerError::whole)?;
    Ok(blocks * disk::BLOCK_U64)
}

impl RootHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for RootHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = NotARootHash;

    fn from_str(text: &str) -> Result<Self, NotARootHash> {
        let mut bytes = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotARootHash);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotARootHash)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for RootHash {
    type Error = NotARootHash;

    fn try_from(text: String) -> Result<Self, NotARootHash> {
        text.parse()
    }
}

impl From<RootHash> for String {
    fn from(hash: RootHash) -> Self {
        hash.to_string()
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("layer hash is not 64 lower-case hexadecimal digits")]
pub struct NotARootHash;

#[cfg(test)]
pub(crate) mod tests;

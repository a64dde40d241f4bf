//! Why a layer has no hash.

use std::io;

use crate::archive::ArchiveError;

/// A layer that the reference refuses too, or that exceeds a limit; it names the entry at which that showed.
#[derive(Debug, thiserror::Error)]
#[error("{}", match entry { Some(name) => format!("entry {name:?}"), None => "layer".to_owned() })]
pub struct LayerError {
    entry: Option<String>,
    #[source]
    fault: LayerFault,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum LayerFault {
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A name that is empty or longer than 255 bytes.
    #[error("a name in the path is empty or longer than 255 bytes")]
    Name,
    /// A parent that is not there or not a directory.
    #[error("parent is not a directory")]
    Parent,
    /// A link to something that is not in the layer.
    #[error("link target {0:?} is not in this layer")]
    LinkTarget(String),
    /// A hard link to a directory.
    #[error("link target {0:?} is a directory")]
    LinkToDirectory(String),
    /// A hard link over the only name of something else.
    #[error("a hard link would replace an existing entry")]
    LinkOverEntry,
    /// More links than ext4 has room for.
    #[error("more than 65000 links")]
    TooManyLinks,
    /// A directory over something else, or the reverse.
    #[error("a directory and something else have the same path")]
    DirectoryConflict,
    /// A later entry for the path of a file that has contents.
    #[error("replaces a file whose contents are already placed")]
    Overwrite,
    /// An opaque mark for a path whose kind cannot carry it.
    #[error("an opaque whiteout on a long symbolic link")]
    OpaqueLink,
    /// More extended attributes than fit.
    #[error("extended attribute {0:?} does not fit")]
    Xattr(String),
    /// Extended attributes that cannot be read back to be merged.
    #[error("extended attributes of an earlier entry cannot be merged")]
    XattrMerge,
    /// A file above 128 GiB.
    #[error("file larger than 128 GiB")]
    FileTooLarge,
    /// An image above 128 GiB.
    #[error("image larger than 128 GiB")]
    ImageTooLarge,
    /// More entries than we hold.
    #[error("more than {} files and directories", super::ENTRIES_MAX)]
    TooManyEntries,
    /// Contents that are not as long as the header says.
    #[error("contents are {found} bytes, header says {expected}")]
    Length {
        /// The header's length.
        expected: u64,
        /// What there was.
        found: u64,
    },
    /// The image could not be written.
    #[error("writing the image")]
    Io(#[from] io::Error),
    /// A block was to be changed that was not kept; the layout never asks for it.
    #[error("a block that is already hashed would change")]
    Hashed,
}

impl LayerError {
    /// The entry's name, as far as it can be shown.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// What is wrong.
    pub fn fault(&self) -> &LayerFault {
        &self.fault
    }

    pub(super) fn whole(fault: LayerFault) -> Self {
        Self { entry: None, fault }
    }

    pub(super) fn at(name: &[u8], fault: LayerFault) -> Self {
        Self { entry: Some(shown(name)), fault }
    }
}

/// A path for people: not longer than a line or two.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

const SHOWN_MAX: usize = 200;

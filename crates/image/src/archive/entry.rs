//! What an archive says of an entry.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, sparse or not.
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A PAX global header, which Go's reader hands out as an entry.
    GlobalHeader,
    /// A type flag that Go's reader gives no meaning; its contents are read as those of a file.
    Other(u8),
}

/// A point in time: seconds since 1970 and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970-01-01, rounded down.
    pub seconds: i64,
    /// Nanoseconds, below one thousand million.
    pub nanoseconds: u32,
}

/// One entry, with extended headers already applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Its name, as written.
    pub name: Vec<u8>,
    /// The target of a link, as written.
    pub link: Vec<u8>,
    /// Bytes of contents, holes included.
    pub size: u64,
    /// Mode bits as the header has them.
    pub mode: i64,
    /// Owner.
    pub uid: i64,
    /// Group.
    pub gid: i64,
    /// Time of the last change of the contents; only a global header has none.
    pub mtime: Option<Stamp>,
    /// Time of the last access, if given.
    pub atime: Option<Stamp>,
    /// Time of the last change of the inode, if given.
    pub ctime: Option<Stamp>,
    /// Major device number.
    pub major: i64,
    /// Minor device number.
    pub minor: i64,
    /// Extended attributes (`SCHILY.xattr.*`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

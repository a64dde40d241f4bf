//! Writes layers under a directory, one upon the other, for the local cloud; nothing is written outside it.
//!
//! A layer is hostile. Absolute names and names with `..` are refused, links that lead out of the root too, and no
//! symbolic link is ever followed: every parent of what is written must be a real directory. Whiteouts remove what
//! lower layers have. It runs without privileges, so devices and pipes are refused, owners and attributes are left
//! out, and directories stay writable to their owner. Times are not kept.
//!
//! The directory must belong to the caller alone while this runs. This and the layout of [`crate::oci`] are the only
//! places of the crate that touch files.

mod path;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use self::path::{Name, Whiteout};
use crate::archive::{ArchiveError, Header, Kind, Piece, Reader};
use crate::layer::shown;

/// How much a layer may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of contents, holes included.
    pub bytes: u64,
    /// Entries, and directories that they imply.
    pub entries: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes of contents.
    pub bytes: u64,
    /// Entries, and directories that they imply.
    pub entries: u64,
}

/// Why a layer is not unpacked further; what was written stays.
#[derive(Debug, thiserror::Error)]
#[error("{}", match entry { Some(name) => format!("entry {name:?}"), None => "layer".to_owned() })]
pub struct UnpackError {
    entry: Option<String>,
    #[source]
    fault: UnpackFault,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum UnpackFault {
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A name from the file system's root.
    #[error("name is absolute")]
    Absolute,
    /// A name with `..`.
    #[error("name has a part \"..\"")]
    Upwards,
    /// A name that is too long or contains what no name can.
    #[error("name is empty or too long")]
    Name,
    /// A link out of the root.
    #[error("link leaves the root: {0:?}")]
    LinkOut(String),
    /// A hard link to something that is not there or no file.
    #[error("link target {0:?} is no file of the image")]
    LinkTarget(String),
    /// A parent that is a link or a file.
    #[error("a parent is not a directory")]
    Parent,
    /// Two entries of one layer that cannot both be.
    #[error("conflicts with an earlier entry of this layer")]
    Conflict,
    /// A whiteout of nothing or of a directory's own name.
    #[error("whiteout names nothing")]
    Whiteout,
    /// What needs privileges or is unknown.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// More than the limits allow.
    #[error("layer exceeds {0} {1}")]
    Limit(u64, &'static str),
    /// The file system.
    #[error("writing it")]
    Io(#[from] io::Error),
}

/// Unpacks one uncompressed layer archive into a directory that may hold the layers below.
pub fn unpack(layer: impl Read, root: &Path, limits: Limits) -> Result<Unpacked, UnpackError> {
    let whole = |fault| UnpackError { entry: None, fault };
    if !fs::symlink_metadata(root).map_err(|error| whole(error.into()))?.is_dir() {
        return Err(whole(UnpackFault::Parent));
    }
    let mut reader = Reader::new(layer);
    let mut unpacker = Unpacker { root, limits, made: BTreeSet::new(), done: Unpacked::default() };
    let mut last = None;
    loop {
        match reader.next_entry() {
            Ok(None) => return Ok(unpacker.done),
            Ok(Some(header)) => {
                last = Some(shown(&header.name));
                let added = unpacker.add(&header, &mut reader);
                added.map_err(|fault| UnpackError { entry: last.clone(), fault })?;
            }
            Err(fault) => return Err(UnpackError { entry: last, fault: fault.into() }),
        }
    }
}

impl UnpackError {
    /// The entry's name, as far as it can be shown.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// What is wrong.
    pub fn fault(&self) -> &UnpackFault {
        &self.fault
    }
}

struct Unpacker<'a> {
    root: &'a Path,
    limits: Limits,
    /// What this layer has made.
    made: BTreeSet<PathBuf>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn add<R: Read>(&mut self, header: &Header, reader: &mut Reader<R>) -> Result<(), UnpackFault> {
        if header.kind == Kind::GlobalHeader {
            return Ok(());
        }
        let name = Name::parse(&header.name)?;
        let Some(file) = name.last() else {
            // The root itself, which is there.
            return if header.kind == Kind::Directory {
                Ok(())
            } else {
                Err(UnpackFault::Conflict)
            };
        };
        let directory = self.parents(&name)?;
        if header.kind != Kind::Directory {
            match Whiteout::of(file)? {
                Some(Whiteout::Opaque) => return self.clear(&directory),
                Some(Whiteout::Remove(removed)) => {
                    return self.remove(&directory.join(OsStr::from_bytes(removed)));
                }
                None => {}
            }
        }
        let path = directory.join(OsStr::from_bytes(file));
        let [mode_low, mode_high, ..] = header.mode.to_le_bytes();
        let mode = u32::from(u16::from_le_bytes([mode_low, mode_high])) & 0o777;
        match header.kind {
            Kind::Directory => return self.directory(&path, mode),
            Kind::File => {
                self.replace(&path)?;
                self.file(&path, mode, header.size, reader)?;
            }
            Kind::Symlink => {
                name.check_link(&header.link)?;
                self.replace(&path)?;
                symlink(OsStr::from_bytes(&header.link), &path)?;
            }
            Kind::HardLink => {
                let target = self.link_target(&header.link)?;
                if target != path {
                    self.replace(&path)?;
                    fs::hard_link(target, &path)?;
                }
            }
            Kind::CharDevice | Kind::BlockDevice => {
                return Err(UnpackFault::Unsupported("a device"));
            }
            Kind::Fifo => return Err(UnpackFault::Unsupported("a pipe")),
            Kind::GlobalHeader | Kind::Other(_) => {
                return Err(UnpackFault::Unsupported("its type"));
            }
        }
        self.record(path)
    }

    /// The real directory that a name is in; what is missing of it is made.
    fn parents(&mut self, name: &Name<'_>) -> Result<PathBuf, UnpackFault> {
        let mut path = self.root.to_owned();
        for part in name.parents() {
            path.push(OsStr::from_bytes(part));
            match existing(&path)? {
                None => self.directory(&path, 0o755)?,
                Some(found) if found.is_dir() => {}
                Some(_) => return Err(UnpackFault::Parent),
            }
        }
        Ok(path)
    }

    fn directory(&mut self, path: &Path, mode: u32) -> Result<(), UnpackFault> {
        let mode = mode | 0o700;
        if !existing(path)?.is_some_and(|found| found.is_dir()) {
            self.replace(path)?;
            DirBuilder::new().mode(mode).create(path)?;
        }
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        self.record(path.to_owned())
    }

    fn file<R: Read>(
        &mut self,
        path: &Path,
        mode: u32,
        size: u64,
        reader: &mut Reader<R>,
    ) -> Result<(), UnpackFault> {
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > self.limits.bytes {
            return Err(UnpackFault::Limit(self.limits.bytes, "bytes"));
        }
        // A new file: a link at its place is an error, never followed.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.next_piece(&mut buffer)? {
                Piece::Data(length) => file.write_all(buffer.get(..length).unwrap_or_default())?,
                Piece::Hole(length) => {
                    io::copy(&mut io::repeat(0).take(length), &mut file)?;
                }
                Piece::End => break,
            }
        }
        Ok(file.set_permissions(Permissions::from_mode(mode))?)
    }

    /// Makes room for what is not a directory.
    fn replace(&self, path: &Path) -> Result<(), UnpackFault> {
        match existing(path)? {
            None => Ok(()),
            Some(found) if found.is_dir() => self.remove(path),
            Some(_) => Ok(fs::remove_file(path)?),
        }
    }

    /// Removes what lower layers have at a path; what this layer has there stands in the way.
    fn remove(&self, path: &Path) -> Result<(), UnpackFault> {
        let made = self.made.range(path.to_owned()..).next();
        if made.is_some_and(|made| made.starts_with(path)) {
            return Err(UnpackFault::Conflict);
        }
        match existing(path)? {
            None => Ok(()),
            Some(found) if found.is_dir() => Ok(fs::remove_dir_all(path)?),
            Some(_) => Ok(fs::remove_file(path)?),
        }
    }

    /// Removes what lower layers have in a directory, at any depth, and keeps what this layer has there.
    fn clear(&self, directory: &Path) -> Result<(), UnpackFault> {
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let below = self.made.range(path.clone()..).next();
                if !below.is_some_and(|made| made.starts_with(&path)) {
                    self.remove(&path)?;
                } else if fs::symlink_metadata(&path)?.is_dir() {
                    left.push(path);
                }
            }
        }
        Ok(())
    }

    /// A file of the image that is to get another name.
    fn link_target(&self, target: &[u8]) -> Result<PathBuf, UnpackFault> {
        let missing = || UnpackFault::LinkTarget(shown(target));
        let name = Name::parse(target).map_err(|_| UnpackFault::LinkOut(shown(target)))?;
        let mut path = self.root.to_owned();
        for part in name.parents() {
            path.push(OsStr::from_bytes(part));
            existing(&path)?.filter(fs::Metadata::is_dir).ok_or_else(missing)?;
        }
        path.push(OsStr::from_bytes(name.last().ok_or_else(missing)?));
        existing(&path)?.filter(fs::Metadata::is_file).ok_or_else(missing)?;
        Ok(path)
    }

    fn record(&mut self, path: PathBuf) -> Result<(), UnpackFault> {
        self.made.insert(path);
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(UnpackFault::Limit(self.limits.entries, "entries"));
        }
        Ok(())
    }
}

/// What is at a path itself, links not followed.
fn existing(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;

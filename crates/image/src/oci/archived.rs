//! The files of a tar archive, wherever they lie in it.
//!
//! An archive is indexed once, from header to header; contents are read where they lie. It may hold no name twice and no
//! sparse files, since two readers could see two images in it.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use super::files::Files;
use crate::archive::{ArchiveError, Kind, Reader};
use crate::layer::shown;

/// The files of a tar archive that can be opened again and again.
#[derive(Debug)]
pub struct Archive<O> {
    open: O,
    entries: BTreeMap<String, Entry>,
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI layout.
    Oci,
    /// What `docker save` writes.
    Docker,
    /// Neither, so perhaps the files of one layer.
    Layer,
}

/// Why an archive of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// It cannot be opened.
    #[error("opening the archive")]
    Open(#[source] io::Error),
    /// It is no archive.
    #[error("the archive, after entry {0:?}")]
    Archive(String, #[source] ArchiveError),
    /// An entry that no archive of an image has.
    #[error("entry {name:?} of the archive {what}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More entries than any image has.
    #[error("the archive has more than {ENTRIES_MAX} entries")]
    TooMany,
}

#[derive(Debug)]
enum Entry {
    File { start: u64, length: u64 },
    Link(String),
}

impl<O, R> Archive<O>
where
    O: Fn() -> io::Result<R>,
    R: Read + Seek,
{
    /// What an archive holds, from the names in it alone; contents are passed over.
    pub fn kind(open: &O) -> Result<ArchiveKind, ArchiveFault> {
        let (mut layout, mut index, mut docker) = (false, false, false);
        walk(open, |name, _| {
            match name {
                b"oci-layout" => layout = true,
                b"index.json" => index = true,
                b"manifest.json" => docker = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(match (layout && index, docker) {
            (true, _) => ArchiveKind::Oci,
            (false, true) => ArchiveKind::Docker,
            (false, false) => ArchiveKind::Layer,
        })
    }

    /// Finds every file of an archive.
    pub fn index(open: O) -> Result<Self, ArchiveFault> {
        let mut entries = BTreeMap::new();
        walk(&open, |name, found| {
            let fault = |what| ArchiveFault::Entry { name: shown(name), what };
            let text = String::from_utf8(name.to_vec()).map_err(|_| fault("is not UTF-8"))?;
            let entry = match found {
                Seen::Directory => return Ok(()),
                Seen::File { start, length } => Entry::File { start, length },
                Seen::Link(target) => {
                    let target = beside(&text, target).ok_or_else(|| fault("leads outside"))?;
                    Entry::Link(target)
                }
                Seen::Other => return Err(fault("is no file")),
            };
            if entries.len() >= ENTRIES_MAX {
                return Err(ArchiveFault::TooMany);
            }
            match entries.insert(text, entry) {
                Some(_) => Err(fault("is there twice")),
                None => Ok(()),
            }
        })?;
        Ok(Self { open, entries })
    }
}

impl<O, R> Files for Archive<O>
where
    O: Fn() -> io::Result<R>,
    R: Read + Seek,
{
    type File = io::Take<R>;

    fn open(&self, name: &str) -> io::Result<Self::File> {
        let mut name = name;
        for _ in 0..LINKS_MAX {
            match self.entries.get(name) {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(Entry::Link(target)) => name = target,
                Some(Entry::File { start, length }) => {
                    let mut file = (self.open)()?;
                    file.seek(SeekFrom::Start(*start))?;
                    return Ok(file.take(*length));
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "links lead in a circle"))
    }
}

enum Seen<'a> {
    Directory,
    File { start: u64, length: u64 },
    Link(&'a [u8]),
    Other,
}

/// Goes from header to header.
fn walk<R: Read + Seek>(
    open: &impl Fn() -> io::Result<R>,
    mut each: impl FnMut(&[u8], Seen<'_>) -> Result<(), ArchiveFault>,
) -> Result<(), ArchiveFault> {
    let mut file = open().map_err(ArchiveFault::Open)?;
    let end = file.seek(SeekFrom::End(0)).map_err(ArchiveFault::Open)?;
    let mut position = 0;
    let mut last = String::new();
    loop {
        let failed = |error| ArchiveFault::Archive(last.clone(), error);
        file.seek(SeekFrom::Start(position)).map_err(|error| failed(error.into()))?;
        let mut reader = Reader::with_capacity(WINDOW, &mut file);
        let Some(header) = reader.next_entry().map_err(failed)? else { return Ok(()) };
        let name = header.name.strip_prefix(b"./").unwrap_or(&header.name);
        let (start, length, padded) = reader
            .contents()
            .ok_or_else(|| ArchiveFault::Entry { name: shown(name), what: "is a sparse file" })?;
        let start = position + start;
        if start.checked_add(length).is_none_or(|stop| stop > end) {
            return Err(ArchiveFault::Archive(shown(name), ArchiveError::Truncated));
        }
        let seen = match header.kind {
            Kind::Directory => Seen::Directory,
            Kind::File => Seen::File { start, length },
            Kind::Symlink => Seen::Link(&header.link),
            Kind::HardLink
            | Kind::CharDevice
            | Kind::BlockDevice
            | Kind::Fifo
            | Kind::GlobalHeader
            | Kind::Other(_) => Seen::Other,
        };
        each(name, seen)?;
        last = shown(name);
        position = start.saturating_add(padded);
    }
}

/// The name that a link's target has in the archive.
fn beside(link: &str, target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok().filter(|target| !target.starts_with('/'))?;
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

const ENTRIES_MAX: usize = 10_000;
const LINKS_MAX: usize = 8;
/// Enough for a header with what is before it.
const WINDOW: usize = 8 * 1024;

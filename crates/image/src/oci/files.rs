//! Images as files of a directory or of an archive: the OCI image layout, wherever its files are.
//!
//! OCI image specification 1.1, "Image Layout". An archive is indexed once, from header to header; contents are read
//! where they lie. It may hold no name twice and no sparse files, since two readers could see two images in it.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use oci_spec::image::{Arch, ImageIndex, ImageManifest, OciLayout, Os};
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::measure::{Blobs, ImageError, document};
use super::read::{
    DOCKER_LIST, DOCKER_MANIFEST, DOCUMENT_MAX, Described, DocumentError, Manifest, OCI_INDEX,
    OCI_MANIFEST, check, described,
};
use crate::archive::{ArchiveError, Kind, Reader, widen};
use crate::layer::shown;

/// Files by name.
pub trait Files {
    /// A file's bytes, unchecked.
    type File: Read;

    /// Opens a file.
    fn open(&self, name: &str) -> io::Result<Self::File>;
}

/// An OCI layout in files.
#[derive(Debug, Clone)]
pub struct Stored<F>(F);

impl<F: Files> Stored<F> {
    /// Opens a layout of the version that we know.
    pub fn open(files: F) -> Result<Self, ImageError> {
        let version: OciLayout = parsed(&files, "oci-layout")?;
        if version.image_layout_version() != VERSION {
            return Err(DocumentError::Rule("layout is not of version 1.0.0").into());
        }
        Ok(Self(files))
    }

    /// The manifest of the only image for linux on amd64, also where an index names an index.
    pub fn manifest(&self) -> Result<Manifest, ImageError> {
        let mut index = small(&self.0, "index.json")?;
        for _ in 0..NESTED_MAX {
            let chosen = choose("index.json", &index)?;
            let bytes = document(chosen.described, self)?;
            if !chosen.is_index {
                return Ok(Manifest::parse(&bytes, Some(chosen.described.digest))?);
            }
            check("index", &bytes, Some(chosen.described.digest), None)?;
            index = bytes;
        }
        Err(DocumentError::Rule("an index of an index of an index").into())
    }

    /// What is attached to images, by the index alone.
    pub fn artifacts(&self) -> Result<Vec<Attached>, ImageError> {
        let index: ImageIndex = parsed(&self.0, "index.json")?;
        let artifacts = index.manifests().iter().filter_map(|descriptor| {
            let artifact_type = descriptor.artifact_type().as_ref()?.to_string();
            Some((descriptor, artifact_type))
        });
        let attached = artifacts.map(|(descriptor, artifact_type)| {
            let described = described("artifact", descriptor)?;
            let bytes = document(described, self)?;
            check("artifact", &bytes, Some(described.digest), None)?;
            Attached::read(described.digest, artifact_type, bytes)
        });
        attached.collect()
    }

    pub(super) fn open_blob(&self, digest: Digest) -> io::Result<F::File> {
        self.0.open(&format!("{BLOBS}/{}", digest.hex()))
    }
}

impl<F: Files> Blobs for Stored<F> {
    type Blob = F::File;

    fn open(&self, digest: Digest) -> io::Result<F::File> {
        self.open_blob(digest)
    }
}

/// A manifest that is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its digest.
    pub digest: Digest,
    /// What it says it is.
    pub artifact_type: String,
    /// The image's digest.
    pub subject: Digest,
    /// The blobs that it names.
    pub blobs: Vec<Digest>,
    /// The manifest itself.
    pub bytes: Vec<u8>,
}

impl Attached {
    fn read(digest: Digest, artifact_type: String, bytes: Vec<u8>) -> Result<Self, ImageError> {
        let manifest: ImageManifest = serde_json::from_slice(&bytes)
            .map_err(|error| DocumentError::Json("artifact", error))?;
        let subject = manifest.subject().as_ref();
        let subject = subject.ok_or(DocumentError::Rule("artifact has no subject"))?;
        let subject = described("artifact's subject", subject)?.digest;
        let blobs = manifest.layers().iter().chain([manifest.config()]);
        let blobs = blobs.map(|blob| Ok(described("artifact's blob", blob)?.digest));
        let blobs = blobs.collect::<Result<_, DocumentError>>()?;
        Ok(Self { digest, artifact_type, subject, blobs, bytes })
    }
}

/// A manifest or an index that an index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// It.
    pub described: Described,
    /// Whether it is an index again.
    pub is_index: bool,
}

/// The only image of an index that can be one for linux on amd64, perhaps under several names. One for every such
/// processor goes before those for newer ones.
pub fn choose(name: &'static str, index: &[u8]) -> Result<Chosen, DocumentError> {
    let index: ImageIndex =
        serde_json::from_slice(index).map_err(|error| DocumentError::Json(name, error))?;
    let mut candidates = Vec::new();
    for descriptor in index.manifests() {
        let media_type = descriptor.media_type().to_string();
        let is_index = [OCI_INDEX, DOCKER_LIST].contains(&media_type.as_str());
        let platform = descriptor.platform().as_ref();
        let fits = descriptor.artifact_type().is_none()
            && (is_index || [OCI_MANIFEST, DOCKER_MANIFEST].contains(&media_type.as_str()))
            && platform.is_none_or(|platform| {
                *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64
            });
        if fits {
            let variant = platform.and_then(|platform| platform.variant().as_deref());
            let newer = variant.is_some_and(|variant| variant != "v1");
            candidates
                .push((newer, Chosen { described: described("manifest", descriptor)?, is_index }));
        }
    }
    if candidates.iter().any(|(newer, _)| !newer) {
        candidates.retain(|(newer, _)| !newer);
    }
    candidates.dedup_by_key(|(_, chosen)| *chosen);
    match candidates.as_slice() {
        [(_, chosen)] => Ok(*chosen),
        _ => Err(DocumentError::Rule(NOT_ONE)),
    }
}

/// A JSON file of bounded size.
pub(super) fn parsed<T: DeserializeOwned>(
    files: &impl Files,
    name: &'static str,
) -> Result<T, ImageError> {
    let bytes = small(files, name)?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| DocumentError::Json(name, error))?)
}

/// A file's bytes, if it is no larger than a document may be.
pub(super) fn small(files: &impl Files, name: &str) -> Result<Vec<u8>, ImageError> {
    let failed = |error| ImageError::File(name.to_owned(), error);
    let mut bytes = Vec::new();
    let file = files.open(name).map_err(failed)?;
    file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if widen(bytes.len()) > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge("document").into());
    }
    Ok(bytes)
}

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

pub(super) const BLOBS: &str = "blobs/sha256";
pub(super) const VERSION: &str = "1.0.0";
const NOT_ONE: &str = "layout does not have just one image for linux on amd64";
const ENTRIES_MAX: usize = 10_000;
/// An index may name an index that names the image.
const NESTED_MAX: usize = 3;
const LINKS_MAX: usize = 8;
/// Enough for a header with what is before it.
const WINDOW: usize = 8 * 1024;

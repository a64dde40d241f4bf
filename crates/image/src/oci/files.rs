//! Images as files of a directory or of an archive: the OCI image layout, wherever its files are.
//!
//! OCI image specification 1.1, "Image Layout".

use std::io::{self, Read};

use oci_spec::image::{Arch, ImageIndex, ImageManifest, OciLayout, Os};
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::measure::{Blobs, ImageError, document};
use super::read::{
    DOCKER_LIST, DOCKER_MANIFEST, DOCUMENT_MAX, Described, DocumentError, Manifest, OCI_INDEX,
    OCI_MANIFEST, check, described,
};
use crate::archive::widen;

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

pub(super) const BLOBS: &str = "blobs/sha256";
pub(super) const VERSION: &str = "1.0.0";
const NOT_ONE: &str = "layout does not have just one image for linux on amd64";
/// An index may name an index that names the image.
const NESTED_MAX: usize = 3;

//! Manifests and configurations of other people's images.

use oci_spec::image::{Arch, ImageConfiguration, ImageManifest, MediaType, Os};

use super::digest::Digest;
use crate::archive::widen;

/// A blob as a document names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

/// A layer as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBlob {
    /// The blob.
    pub blob: Described,
    /// How it is compressed.
    pub compression: Compression,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is a plain archive.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// By the first bytes of a file. No archive begins as compressed files do, since a name does not.
    pub fn of(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    digest: Digest,
    config: Described,
    layers: Vec<LayerBlob>,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    diff_ids: Vec<Digest>,
    document: ImageConfiguration,
}

/// Why a document is not one of an image that we take.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Bytes that are not those that were named.
    #[error("{what} has digest {found}, not {expected}")]
    Digest {
        /// Which document.
        what: &'static str,
        /// The digest that names it.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// A size that is not the one that was named.
    #[error("{what} has {found} bytes, not {expected}")]
    Size {
        /// Which document.
        what: String,
        /// The size that is named.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// A document beyond the limit.
    #[error("{0} exceeds {DOCUMENT_MAX} bytes")]
    TooLarge(&'static str),
    /// Not JSON, or without what it must have.
    #[error("{0} does not parse")]
    Json(&'static str, #[source] serde_json::Error),
    /// A media type that we do not take.
    #[error("{what} has media type {found:?}, which is not supported")]
    MediaType {
        /// What it is for.
        what: String,
        /// What it says.
        found: String,
    },
    /// A layer that is not in the image but elsewhere.
    #[error("layer {0} is a foreign layer")]
    Foreign(usize),
    /// A digest of another algorithm.
    #[error("{0} is named by a digest other than sha256")]
    Algorithm(String),
    /// Something else that makes it no image.
    #[error("{0}")]
    Rule(&'static str),
}

impl Manifest {
    /// Reads a manifest; given a digest, only the one that it names.
    pub fn parse(bytes: &[u8], expected: Option<Digest>) -> Result<Self, DocumentError> {
        let digest = check("manifest", bytes, expected, None)?;
        let manifest: ImageManifest = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Json("manifest", error))?;
        if manifest.schema_version() != 2 {
            return Err(DocumentError::Rule("manifest is not of schema version 2"));
        }
        if let Some(found) = manifest.media_type() {
            expect_type("manifest", found, &[OCI_MANIFEST, DOCKER_MANIFEST])?;
        }
        if manifest.artifact_type().is_some() {
            return Err(DocumentError::Rule("manifest is of an artifact, not of an image"));
        }
        let config = manifest.config();
        expect_type("configuration", config.media_type(), &[OCI_CONFIG, DOCKER_CONFIG])?;
        let config = described("configuration", config)?;
        if manifest.layers().is_empty() || manifest.layers().len() > LAYERS_MAX {
            return Err(DocumentError::Rule("image has no layers, or more than 128"));
        }
        let layers = manifest.layers().iter().enumerate().map(|(index, layer)| {
            let name = format!("layer {index}");
            let media_type = layer.media_type().to_string();
            if media_type.contains("nondistributable")
                || media_type.contains(".foreign.")
                || layer.urls().as_ref().is_some_and(|urls| !urls.is_empty())
            {
                return Err(DocumentError::Foreign(index));
            }
            let compression = match media_type.as_str() {
                OCI_LAYER | DOCKER_LAYER => Compression::None,
                OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Compression::Gzip,
                OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Compression::Zstd,
                _ => return Err(DocumentError::MediaType { what: name, found: media_type }),
            };
            Ok(LayerBlob { blob: described(&name, layer)?, compression })
        });
        Ok(Self { digest, config, layers: layers.collect::<Result<_, _>>()? })
    }

    /// The digest that names it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its configuration.
    pub fn config(&self) -> Described {
        self.config
    }

    /// Its layers, from base to top.
    pub fn layers(&self) -> &[LayerBlob] {
        &self.layers
    }
}

impl Config {
    /// Reads the configuration that a manifest names.
    pub fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Self, DocumentError> {
        let Described { digest, size } = manifest.config;
        check("configuration", bytes, Some(digest), Some(size))?;
        Self::read(bytes, manifest.layers.len())
    }

    /// Reads a configuration whose bytes are checked, of an image with so many layers.
    pub(super) fn read(bytes: &[u8], layers: usize) -> Result<Self, DocumentError> {
        let document: ImageConfiguration = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Json("configuration", error))?;
        if *document.os() != Os::Linux || *document.architecture() != Arch::Amd64 {
            return Err(DocumentError::Rule("image is not for linux on amd64"));
        }
        if document.rootfs().typ() != "layers" {
            return Err(DocumentError::Rule("image's root is not made of layers"));
        }
        let diff_ids = document.rootfs().diff_ids().iter().map(|text| text.parse());
        let diff_ids: Vec<Digest> = diff_ids
            .collect::<Result<_, _>>()
            .map_err(|_| DocumentError::Algorithm("diff_id".to_owned()))?;
        if diff_ids.len() != layers {
            return Err(DocumentError::Rule(
                "configuration and manifest have different numbers of layers",
            ));
        }
        Ok(Self { diff_ids, document })
    }

    /// The digests of the uncompressed layers, from base to top.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// The command that runs without arguments given: entrypoint, then default arguments.
    pub fn command(&self) -> Vec<String> {
        let config = self.document.config().as_ref();
        let entrypoint = config.and_then(|config| config.entrypoint().as_ref());
        let arguments = config.and_then(|config| config.cmd().as_ref());
        entrypoint.into_iter().chain(arguments).flatten().cloned().collect()
    }

    /// Variables, `NAME=VALUE`.
    pub fn environment(&self) -> &[String] {
        self.document
            .config()
            .as_ref()
            .and_then(|config| config.env().as_deref())
            .unwrap_or_default()
    }

    /// Where it starts; `/` unless it says otherwise.
    pub fn working_dir(&self) -> &str {
        let directory =
            self.document.config().as_ref().and_then(|config| config.working_dir().as_deref());
        directory.filter(|directory| !directory.is_empty()).unwrap_or("/")
    }

    /// The signal that stops it, as the image has it.
    pub fn stop_signal(&self) -> Option<&str> {
        let signal =
            self.document.config().as_ref().and_then(|config| config.stop_signal().as_deref());
        signal.filter(|signal| !signal.is_empty())
    }

    /// `USER[:GROUP]`, names or numbers, as the image has it.
    pub fn user(&self) -> Option<&str> {
        let user = self.document.config().as_ref().and_then(|config| config.user().as_deref());
        user.filter(|user| !user.is_empty())
    }
}

pub(super) fn described(
    what: &str,
    descriptor: &oci_spec::image::Descriptor,
) -> Result<Described, DocumentError> {
    let digest = descriptor.digest().to_string();
    let digest = digest.parse().map_err(|_| DocumentError::Algorithm(what.to_owned()))?;
    Ok(Described { digest, size: descriptor.size() })
}

pub(super) fn check(
    what: &'static str,
    bytes: &[u8],
    expected: Option<Digest>,
    size: Option<u64>,
) -> Result<Digest, DocumentError> {
    let length = widen(bytes.len());
    if length > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge(what));
    }
    if let Some(expected) = size.filter(|size| *size != length) {
        return Err(DocumentError::Size { what: what.to_owned(), expected, found: length });
    }
    let found = Digest::of(bytes);
    match expected {
        Some(expected) if expected != found => Err(DocumentError::Digest { what, expected, found }),
        _ => Ok(found),
    }
}

fn expect_type(what: &str, found: &MediaType, expected: &[&str]) -> Result<(), DocumentError> {
    let found = found.to_string();
    if expected.contains(&found.as_str()) {
        return Ok(());
    }
    Err(DocumentError::MediaType { what: what.to_owned(), found })
}

/// Manifests and configurations beyond this are refused.
pub(super) const DOCUMENT_MAX: u64 = 4 << 20;
/// What overlayfs can stack.
pub(super) const LAYERS_MAX: usize = 128;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

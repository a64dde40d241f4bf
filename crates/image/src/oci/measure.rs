//! All of an image: every blob checked, every layer's hash.

use std::io::{self, Read};

use super::digest::Digest;
use super::layer_reader::LayerReader;
use super::read::{Config, DOCUMENT_MAX, Described, DocumentError, Manifest};
use crate::layer::{self, LayerError, LayerMeasurement, RootHash};

/// Where blobs come from.
pub trait Blobs {
    /// A blob's bytes, unchecked.
    type Blob: Read;

    /// Opens a blob.
    fn open(&self, digest: Digest) -> io::Result<Self::Blob>;
}

/// An image with the hash of each layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredImage {
    manifest: Manifest,
    config: Config,
    layers: Vec<LayerRecord>,
}

/// A layer and what was found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// The blob.
    pub blob: Digest,
    /// The archive.
    pub diff_id: Digest,
    /// What the host makes of it.
    pub measurement: LayerMeasurement,
}

/// Why an image has no measurement.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A blob that is not there or cannot be read.
    #[error("reading blob {0}")]
    Blob(Digest, #[source] io::Error),
    /// A file of an archive or a layout.
    #[error("file {0:?}")]
    File(String, #[source] io::Error),
    /// A layer that has no hash.
    #[error("layer {index} ({digest})")]
    Layer {
        /// Which, from the base.
        index: usize,
        /// Its blob.
        digest: Digest,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// A layer that is not what it is named.
    #[error("layer {index} ({digest})")]
    Content {
        /// Which, from the base.
        index: usize,
        /// Its blob.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Measures the image of a manifest.
pub fn measure(manifest: Manifest, blobs: &impl Blobs) -> Result<MeasuredImage, ImageError> {
    let config = Config::parse(&document(manifest.config(), blobs)?, &manifest)?;
    let mut layers = Vec::new();
    for (index, (layer, diff_id)) in manifest.layers().iter().zip(config.diff_ids()).enumerate() {
        let digest = layer.blob.digest;
        let blob = blobs.open(digest).map_err(|source| ImageError::Blob(digest, source))?;
        layers.push(record(LayerReader::new(*layer, *diff_id, blob), index, digest)?);
    }
    Ok(MeasuredImage { manifest, config, layers })
}

impl MeasuredImage {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layers, from base to top.
    pub fn layers(&self) -> &[LayerRecord] {
        &self.layers
    }

    /// The layers' hashes, from base to top, as policies have them.
    pub fn root_hashes(&self) -> Vec<RootHash> {
        self.layers.iter().map(|layer| layer.measurement.root_hash).collect()
    }
}

/// Measures one layer by itself, plain or compressed.
pub fn measure_layer(input: impl Read) -> Result<LayerRecord, ImageError> {
    let about = Digest::of(b"");
    let content = |source| ImageError::Content { index: 0, digest: about, source };
    let reader = LayerReader::unnamed(None, input).map_err(content)?;
    record(reader, 0, about)
}

/// The record of a layer, everything of it checked.
pub(super) fn record<R: Read>(
    mut reader: LayerReader<R>,
    index: usize,
    digest: Digest,
) -> Result<LayerRecord, ImageError> {
    let measurement = layer::measure(&mut reader).map_err(|source| ImageError::Layer {
        index,
        digest,
        source,
    })?;
    let found = reader.finish().map_err(|source| ImageError::Content { index, digest, source })?;
    Ok(LayerRecord { blob: found.blob, diff_id: found.diff_id, measurement })
}

/// A small blob's bytes, as many as it should have.
pub(super) fn document(described: Described, blobs: &impl Blobs) -> Result<Vec<u8>, ImageError> {
    if described.size > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge("document").into());
    }
    let blob = blobs
        .open(described.digest)
        .map_err(|source| ImageError::Blob(described.digest, source))?;
    let mut bytes = Vec::new();
    let read = blob.take(described.size + 1).read_to_end(&mut bytes);
    read.map_err(|source| ImageError::Blob(described.digest, source))?;
    let found = crate::archive::widen(bytes.len());
    if found != described.size {
        let what = format!("document {}", described.digest);
        return Err(DocumentError::Size { what, expected: described.size, found }.into());
    }
    Ok(bytes)
}

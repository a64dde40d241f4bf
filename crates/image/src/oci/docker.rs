//! What `docker save` writes: `manifest.json`, a configuration named by its digest, and layers in any place.
//!
//! Docker Image Specification 1.2, "Combined Image JSON + Filesystem Changeset Format". No digest names the layers as
//! they are stored; the configuration names what they contain, and its own digest is the image's identity.

use serde::Deserialize;

use super::digest::Digest;
use super::files::{Files, parsed, small};
use super::layer_reader::LayerReader;
use super::measure::{ImageError, LayerRecord, record};
use super::read::{Config, DocumentError, LAYERS_MAX};

/// A measured image of an archive by `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerImage {
    /// The digest of its configuration, which Docker shows as the image's id.
    pub id: Digest,
    /// Its configuration.
    pub config: Config,
    /// Its layers, from base to top.
    pub layers: Vec<LayerRecord>,
}

/// One image of `manifest.json`; other keys say how it is called.
#[derive(Deserialize)]
struct RawEntry {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Measures the only image of an archive.
pub fn measure_docker(files: &impl Files) -> Result<DockerImage, ImageError> {
    let entries: Vec<RawEntry> = parsed(files, "manifest.json")?;
    let [entry] = entries.as_slice() else {
        return Err(DocumentError::Rule("archive does not have just one image").into());
    };
    let bytes = small(files, &entry.config)?;
    let id = Digest::of(&bytes);
    let name = entry.config.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    if name != id.hex() {
        return Err(DocumentError::Rule("configuration is not named by its digest").into());
    }
    if entry.layers.is_empty() || entry.layers.len() > LAYERS_MAX {
        return Err(DocumentError::Rule("image has no layers, or more than 128").into());
    }
    let config = Config::read(&bytes, entry.layers.len())?;
    let mut layers = Vec::new();
    for (index, (path, diff_id)) in entry.layers.iter().zip(config.diff_ids()).enumerate() {
        let failed = |error| ImageError::File(path.clone(), error);
        let file = files.open(path).map_err(failed)?;
        let reader = LayerReader::unnamed(Some(*diff_id), file).map_err(failed)?;
        layers.push(record(reader, index, *diff_id)?);
    }
    Ok(DockerImage { id, config, layers })
}

//! Where an image is: a layout, an archive, what `docker save` writes, one layer, a registry.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use azure::registry::ImageName;
use image::oci::{
    self, Archive, ArchiveKind, Blobs, Compression, Config, Digest, Directory, LayerRecord,
    Manifest, Stored, measure_docker, measure_layer,
};

use super::aside;
use super::registries::Registries;
use crate::cli::SourceKind;
use crate::failure::Failure;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Layout(PathBuf),
    Oci(PathBuf),
    Docker(PathBuf),
    Layer(PathBuf),
    Registry(ImageName),
}

/// A measured image, as far as its source says what it is.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The digest by which a registry names it; `docker save` and single layers have none.
    pub(super) manifest: Option<Digest>,
    /// A single layer has none.
    pub(super) config: Option<Config>,
    pub(super) layers: Vec<LayerRecord>,
}

impl Source {
    /// A path that is there, or else a name in a registry.
    pub(super) fn parse(text: &str, kind: Option<SourceKind>) -> Result<Self, Failure> {
        let path = Path::new(text);
        match kind {
            Some(SourceKind::Layer) => return Ok(Self::Layer(path.to_owned())),
            Some(SourceKind::Oci) => return Ok(Self::Oci(path.to_owned())),
            Some(SourceKind::Docker) => return Ok(Self::Docker(path.to_owned())),
            None => {}
        }
        if path.is_dir() {
            return Ok(Self::Layout(path.to_owned()));
        }
        if !path.is_file() {
            let remedy = "give a path that is there, or REGISTRY/REPOSITORY[:TAG][@sha256:…]";
            let name = text.parse();
            return name.map(Self::Registry).map_err(|error| Failure::of(text, error, remedy));
        }
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::of(format!("reading {text}"), error, "say what it is with --as")
        };
        let mut magic = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
        read.map_err(|error| failed(error.into()))?;
        if Compression::of(&magic) != Compression::None {
            return Err(Failure::new(
                format!("{text} is compressed, so what it holds is not seen"),
                "unpack it, or say --as layer if it is one",
            ));
        }
        let kind = Archive::kind(&|| File::open(path)).map_err(|error| failed(error.into()))?;
        Ok(match kind {
            ArchiveKind::Oci => Self::Oci(path.to_owned()),
            ArchiveKind::Docker => Self::Docker(path.to_owned()),
            ArchiveKind::Layer => Self::Layer(path.to_owned()),
        })
    }

    /// Reads every layer once, and compares every digest.
    pub(super) async fn measure(&self, registries: &Registries) -> Result<Found, Failure> {
        let name = self.to_string();
        let failed = move |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::of(format!("measuring {name}"), error, REMEDY)
        };
        match self.clone() {
            Self::Registry(name) => {
                let (manifest, _, remote) = registries.manifest(&name).await?;
                aside(move || whole(manifest, &remote).map_err(failed)).await
            }
            Self::Layout(path) => {
                let read = move || -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
                    let stored = Stored::open(Directory(path))?;
                    whole(stored.manifest()?, &stored)
                };
                aside(move || read().map_err(failed)).await
            }
            Self::Oci(path) => {
                let read = move || -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
                    let stored = Stored::open(Archive::index(|| File::open(&path))?)?;
                    whole(stored.manifest()?, &stored)
                };
                aside(move || read().map_err(failed)).await
            }
            Self::Docker(path) => {
                let read = move || -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
                    let found = measure_docker(&Archive::index(|| File::open(&path))?)?;
                    let config = Some(found.config);
                    Ok(Found { manifest: None, config, layers: found.layers })
                };
                aside(move || read().map_err(failed)).await
            }
            Self::Layer(path) => {
                let read = move || -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
                    let layers = vec![measure_layer(File::open(&path)?)?];
                    Ok(Found { manifest: None, config: None, layers })
                };
                aside(move || read().map_err(failed)).await
            }
        }
    }
}

fn whole(
    manifest: Manifest,
    blobs: &impl Blobs,
) -> Result<Found, Box<dyn std::error::Error + Send + Sync>> {
    let measured = oci::measure(manifest, blobs)?;
    Ok(Found {
        manifest: Some(measured.manifest().digest()),
        config: Some(measured.config().clone()),
        layers: measured.layers().to_vec(),
    })
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layout(path) | Self::Oci(path) | Self::Docker(path) | Self::Layer(path) => {
                write!(f, "{}", path.display())
            }
            Self::Registry(name) => write!(f, "{name}"),
        }
    }
}

/// A document or blob of an image in files.
pub(super) fn blob(blobs: &impl Blobs, digest: Digest) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    blobs.open(digest)?.take(BLOB_MAX).read_to_end(&mut bytes)?;
    if Digest::of(&bytes) == digest {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{digest} has other contents")))
    }
}

const BLOB_MAX: u64 = 4 << 30;
const REMEDY: &str = "the layer and the entry are named above; an image must be for linux on amd64, with plain, gzip or zstd layers";

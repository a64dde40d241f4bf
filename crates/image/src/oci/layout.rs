//! An OCI image layout in a directory. This and [`crate::unpack`] are the only places of the crate that touch files.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{
    Arch, ImageIndex, ImageIndexBuilder, MediaType, OciLayout, OciLayoutBuilder, Os,
    PlatformBuilder,
};

use super::build::{BuildError, Image};
use super::digest::Digest;
use super::measure::{Blobs, ImageError, document};
use super::read::{
    DOCKER_MANIFEST, DOCUMENT_MAX, DocumentError, Manifest, OCI_MANIFEST, described,
};

/// A layout that can be read.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// Why a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of it.
    #[error("file {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A document of it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A document that cannot be put together.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Writes an image into a directory, which is made if need be; `name` is how tools ask for it (a tag).
pub fn write_layout(root: &Path, image: &Image, name: &str) -> Result<(), LayoutError> {
    let blobs = root.join(BLOBS);
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| LayoutError::File { path, source }
    };
    fs::create_dir_all(&blobs).map_err(at(&blobs))?;
    for blob in image.blobs() {
        let path = blobs.join(blob.digest.hex());
        fs::write(&path, &blob.bytes).map_err(at(&path))?;
    }
    for (file, bytes) in [("oci-layout", layout_file()?), ("index.json", index_file(image, name)?)]
    {
        let path = root.join(file);
        fs::write(&path, bytes).map_err(at(&path))?;
    }
    Ok(())
}

fn layout_file() -> Result<Vec<u8>, BuildError> {
    let layout = OciLayoutBuilder::default().image_layout_version(VERSION).build()?;
    Ok(serde_jcs::to_vec(&layout)?)
}

fn index_file(image: &Image, name: &str) -> Result<Vec<u8>, BuildError> {
    let mut descriptor = image.manifest().descriptor()?;
    descriptor.set_platform(Some(
        PlatformBuilder::default().architecture(Arch::Amd64).os(Os::Linux).build()?,
    ));
    let annotation = ("org.opencontainers.image.ref.name".to_owned(), name.to_owned());
    descriptor.set_annotations(Some([annotation].into_iter().collect()));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests([descriptor])
        .build()?;
    Ok(serde_jcs::to_vec(&index)?)
}

impl Layout {
    /// Opens a layout of the version that we know.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let layout = Self { root: root.to_owned() };
        let version: OciLayout = layout.document("oci-layout")?;
        if version.image_layout_version() != VERSION {
            return Err(rule("layout is not of version 1.0.0"));
        }
        Ok(layout)
    }

    /// The manifest of the only image for linux on amd64.
    pub fn manifest(&self) -> Result<Manifest, LayoutError> {
        let index: ImageIndex = self.document("index.json")?;
        let ours = index.manifests().iter().filter(|descriptor| {
            [OCI_MANIFEST, DOCKER_MANIFEST].contains(&descriptor.media_type().to_string().as_str())
                && descriptor.artifact_type().is_none()
                && descriptor.platform().as_ref().is_none_or(|platform| {
                    *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64
                })
        });
        let ours: Vec<_> = ours.collect();
        let [descriptor] = ours.as_slice() else {
            return Err(rule("layout does not have just one image for linux on amd64"));
        };
        let described = described("manifest", descriptor).map_err(ImageError::from)?;
        let bytes = document(described, self)?;
        Ok(Manifest::parse(&bytes, Some(described.digest)).map_err(ImageError::from)?)
    }

    fn document<T: serde::de::DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<T, LayoutError> {
        let path = self.root.join(name);
        let mut bytes = Vec::new();
        let read = fs::File::open(&path)
            .and_then(|file| file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes));
        read.map_err(|source| LayoutError::File { path, source })?;
        if crate::archive::widen(bytes.len()) > DOCUMENT_MAX {
            return Err(ImageError::from(DocumentError::TooLarge(name)).into());
        }
        let parsed =
            serde_json::from_slice(&bytes).map_err(|error| DocumentError::Json(name, error));
        Ok(parsed.map_err(ImageError::from)?)
    }
}

impl Blobs for Layout {
    type Blob = fs::File;

    fn open(&self, digest: Digest) -> io::Result<fs::File> {
        fs::File::open(self.root.join(BLOBS).join(digest.hex()))
    }
}

fn rule(text: &'static str) -> LayoutError {
    ImageError::from(DocumentError::Rule(text)).into()
}

const BLOBS: &str = "blobs/sha256";
const VERSION: &str = "1.0.0";

//! An OCI image layout in a directory. This and [`crate::unpack`] are the only places of the crate that touch files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, ImageIndexBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder};

use super::build::{BuildError, Image};
use super::digest::Digest;
use super::files::{BLOBS, Files, Stored, VERSION};
use super::measure::{Blobs, ImageError};
use super::read::Manifest;

/// A layout that can be read.
#[derive(Debug, Clone)]
pub struct Layout(Stored<Directory>);

/// A layout's directory.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

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
        Ok(Self(Stored::open(Directory(root.to_owned()))?))
    }

    /// The manifest of the only image for linux on amd64.
    pub fn manifest(&self) -> Result<Manifest, LayoutError> {
        Ok(self.0.manifest()?)
    }
}

impl Blobs for Layout {
    type Blob = fs::File;

    fn open(&self, digest: Digest) -> io::Result<fs::File> {
        self.0.open_blob(digest)
    }
}

impl Files for Directory {
    type File = fs::File;

    fn open(&self, name: &str) -> io::Result<fs::File> {
        fs::File::open(self.0.join(name))
    }
}

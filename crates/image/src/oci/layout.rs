//! An OCI image layout in a directory. This and [`crate::unpack`] are the only places of the crate that touch files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build::{BuildError, Image};
use super::digest::Digest;
use super::files::{Attached, BLOBS, Files, Stored};
use super::measure::{Blobs, ImageError};
use super::read::Manifest;
use super::written::files_of;
use crate::attach::Artifact;

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
    write_layout_with(root, image, name, &[])
}

/// The same with what is attached to the image.
pub fn write_layout_with(
    root: &Path,
    image: &Image,
    name: &str,
    artifacts: &[Artifact],
) -> Result<(), LayoutError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| LayoutError::File { path, source }
    };
    let blobs = root.join(BLOBS);
    fs::create_dir_all(&blobs).map_err(at(&blobs))?;
    for (file, bytes) in files_of(image, name, artifacts)? {
        let path = root.join(file);
        fs::write(&path, bytes).map_err(at(&path))?;
    }
    Ok(())
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

    /// What is attached to an image.
    pub fn artifacts(&self) -> Result<Vec<Attached>, LayoutError> {
        Ok(self.0.artifacts()?)
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

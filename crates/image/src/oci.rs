//! OCI images: built so that equal files give equal digests, and read so that nothing unchecked passes.
//!
//! OCI image specification 1.1, with Docker's schema 2 accepted for reading. Every blob is checked against the digest
//! and size that name it, layers also against the configuration's `diff_ids`, while they stream. What is not a Linux
//! image for amd64 with plain, gzip or zstd layers is refused with its media type: foreign layers, artifacts.

mod archived;
mod build;
mod digest;
mod docker;
mod files;
mod layer_reader;
mod layout;
mod measure;
mod read;
mod written;
mod zstd;

pub use self::archived::{Archive, ArchiveFault, ArchiveKind};
pub use self::build::{Blob, BuildError, File, Image, Spec, build};
pub use self::digest::{Digest, NotADigest};
pub use self::docker::{DockerImage, measure_docker};
pub use self::files::{Attached, Chosen, Files, Stored, choose};
pub use self::layer_reader::{Found, LayerReader};
pub use self::layout::{Directory, Layout, LayoutError, write_layout, write_layout_with};
pub use self::measure::{Blobs, ImageError, LayerRecord, MeasuredImage, measure, measure_layer};
pub use self::read::{Compression, Config, Described, DocumentError, LayerBlob, Manifest};
pub use self::written::write_archive;

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod tests;

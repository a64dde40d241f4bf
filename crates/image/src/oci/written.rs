//! The files of a layout, and an archive of them, in an order and with times that depend on nothing else.

use std::io::Write;

use oci_spec::image::{
    Arch, Descriptor, ImageIndexBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder,
};

use super::build::{BuildError, Image};
use super::files::{BLOBS, VERSION};
use crate::archive::widen;
use crate::attach::Artifact;

/// Writes an image with what is attached to it as an archive of a layout.
pub fn write_archive(
    out: impl Write,
    image: &Image,
    name: &str,
    artifacts: &[Artifact],
) -> Result<(), BuildError> {
    let mut archive = tar::Builder::new(out);
    let mut header = tar::Header::new_ustar();
    for (file, bytes) in files_of(image, name, artifacts)? {
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(widen(bytes.len()));
        archive.append_data(&mut header, file, bytes.as_slice()).map_err(BuildError::Write)?;
    }
    archive.into_inner().and_then(|mut out| out.flush()).map_err(BuildError::Write)
}

/// The files of a layout by name: blobs before what names them, nothing twice.
pub(super) fn files_of(
    image: &Image,
    name: &str,
    artifacts: &[Artifact],
) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let blobs = image.blobs().chain(artifacts.iter().flat_map(Artifact::blobs));
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for blob in blobs {
        let file = format!("{BLOBS}/{}", blob.digest.hex());
        if files.iter().all(|(known, _)| *known != file) {
            files.push((file, blob.bytes.clone()));
        }
    }
    files.push(("oci-layout".to_owned(), layout_file()?));
    files.push(("index.json".to_owned(), index_file(image, name, artifacts)?));
    Ok(files)
}

fn layout_file() -> Result<Vec<u8>, BuildError> {
    let layout = OciLayoutBuilder::default().image_layout_version(VERSION).build()?;
    Ok(serde_jcs::to_vec(&layout)?)
}

fn index_file(image: &Image, name: &str, artifacts: &[Artifact]) -> Result<Vec<u8>, BuildError> {
    let mut descriptor = image.manifest().descriptor()?;
    descriptor.set_platform(Some(
        PlatformBuilder::default().architecture(Arch::Amd64).os(Os::Linux).build()?,
    ));
    let annotation = ("org.opencontainers.image.ref.name".to_owned(), name.to_owned());
    descriptor.set_annotations(Some([annotation].into_iter().collect()));
    let attached = artifacts.iter().map(|artifact| {
        let mut descriptor = artifact.manifest().descriptor()?;
        descriptor.set_artifact_type(Some(MediaType::from(artifact.artifact_type())));
        Ok(descriptor)
    });
    let attached = attached.collect::<Result<Vec<Descriptor>, BuildError>>()?;
    let manifests: Vec<_> = [descriptor].into_iter().chain(attached).collect();
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    Ok(serde_jcs::to_vec(&index)?)
}

//! The bytes of blobs and manifests: one file a digest and registry, written whole.

use std::fs;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, StatusCode};
use uuid::Uuid;

use super::errors::{Answer, blob_unknown, internal, refused};
use super::oauth::Right;
use super::reference::{Digest, Reference};
use super::{Registry, permitted};
use crate::core::store::write_atomically;
use crate::core::{Cloud, Request, Response};

/// Where a registry's bytes are.
pub(super) fn folder(cloud: &Cloud, registry: &str) -> PathBuf {
    cloud.directory().join("registry").join(registry)
}

impl Registry<'_> {
    pub(super) fn file(&self, digest: &Digest) -> PathBuf {
        folder(self.cloud, self.name).join(digest.hex())
    }

    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) -> Answer<()> {
        let path = self.file(digest);
        let kept = fs::create_dir_all(folder(self.cloud, self.name))
            .and_then(|()| write_atomically(&path, bytes));
        kept.map_err(|cause| internal(&cause))
    }
}

/// `GET` and `HEAD /v2/NAME/blobs/DIGEST`.
pub(super) fn blob(
    registry: &Registry<'_>,
    repository: &str,
    digest: &Digest,
    request: &Request,
) -> Answer {
    if !registry.look(repository, |found| found.blobs.contains(digest))? {
        return Err(blob_unknown());
    }
    let bytes = Bytes::from(fs::read(registry.file(digest)).map_err(|cause| internal(&cause))?);
    let response = Response::bytes(StatusCode::OK, "application/octet-stream", Bytes::new())
        .with("docker-content-digest", &digest.to_string())
        .with("accept-ranges", "bytes")
        .with("etag", &format!("\"{digest}\""));
    if request.method == Method::HEAD {
        return Ok(response
            .with("content-length", &bytes.len().to_string())
            .operation("registry.blob.head"));
    }
    let response = response.operation("registry.blob.get");
    let Some((first, last)) = request.header("range").and_then(range) else {
        return Ok(Response { body: bytes, ..response });
    };
    let end = last.map_or(bytes.len(), |last| last.saturating_add(1).min(bytes.len()));
    if first >= end {
        return Err(refused(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "RANGE_INVALID",
            "the blob has no such range",
        ));
    }
    let covers = format!("bytes {first}-{}/{}", end.saturating_sub(1), bytes.len());
    let part =
        Response { status: StatusCode::PARTIAL_CONTENT, body: bytes.slice(first..end), ..response };
    Ok(part.with("content-range", &covers))
}

/// One range of RFC 9110 §14.1.2, `bytes=FIRST-[LAST]`; what else a client may ask for is ignored, as it may be, and all is sent.
fn range(header: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    if last.is_empty() {
        return Some((first, None));
    }
    let last: usize = last.parse().ok()?;
    (first <= last).then_some((first, Some(last)))
}

/// `DELETE /v2/NAME/blobs/DIGEST`: the repository forgets it; the bytes stay for other repositories.
pub(super) fn delete_blob(registry: &Registry<'_>, repository: &str, digest: &Digest) -> Answer {
    if !registry.look(repository, |found| found.blobs.contains(digest))? {
        return Err(blob_unknown());
    }
    registry.change(repository, |found| {
        found.blobs.remove(digest);
    });
    Ok(Response::empty(StatusCode::ACCEPTED).operation("registry.blob.delete"))
}

/// An image as the container-instances service pulls it. Its bytes are unchecked until [`image::oci::measure`] has read them.
#[derive(Debug, Clone)]
pub struct Pulled {
    digest: image::oci::Digest,
    manifest: Bytes,
    folder: PathBuf,
}

impl Pulled {
    /// What the reference names.
    pub fn digest(&self) -> image::oci::Digest {
        self.digest
    }

    /// The manifest.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }
}

impl image::oci::Blobs for Pulled {
    type Blob = fs::File;

    fn open(&self, digest: image::oci::Digest) -> io::Result<fs::File> {
        fs::File::open(self.folder.join(digest.hex()))
    }
}

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not `NAME.azurecr.io/REPOSITORY@DIGEST` (or `:TAG`) of a registry of this cloud.
    #[error("it is not in a registry of the local cloud")]
    Foreign,
    /// The identity's roles do not permit it.
    #[error("the identity has no role like AcrPull at the registry '{0}'")]
    Forbidden(String),
    /// No such manifest.
    #[error("there is no such manifest")]
    Absent,
    /// The files are gone.
    #[error("the manifest cannot be read")]
    Unreadable(#[source] io::Error),
}

/// Find an image by reference with the roles of a principal.
///
/// # Errors
/// The first thing that does not hold: reference, role, presence.
pub fn pull(cloud: &Cloud, image: &str, principal: Option<Uuid>) -> Result<Pulled, PullError> {
    let (host, rest) = image.split_once('/').ok_or(PullError::Foreign)?;
    let name = host.strip_suffix(".azurecr.io").ok_or(PullError::Foreign)?.to_ascii_lowercase();
    let id = crate::arm::registry_named(cloud, &name).ok_or(PullError::Foreign)?;
    let (repository, reference) = match rest.split_once('@') {
        Some((repository, digest)) => {
            (repository, Reference::Digest(digest.parse().map_err(|_| PullError::Foreign)?))
        }
        None => {
            let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
            (repository, Reference::parse(tag).ok_or(PullError::Foreign)?)
        }
    };
    if !principal.is_some_and(|principal| permitted(cloud, principal, Right::Pull, &id)) {
        return Err(PullError::Forbidden(name));
    }
    let registry = Registry { cloud, name: &name, id };
    let digest = match &reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(tag) => {
            let found = registry.look(repository, |found| found.tags.get(tag).cloned());
            found.ok().flatten().ok_or(PullError::Absent)?
        }
    };
    if !registry.look(repository, |found| found.manifests.contains_key(&digest)).unwrap_or(false) {
        return Err(PullError::Absent);
    }
    let manifest = fs::read(registry.file(&digest)).map_err(PullError::Unreadable)?;
    Ok(Pulled {
        digest: digest.to_string().parse().map_err(|_| PullError::Absent)?,
        manifest: Bytes::from(manifest),
        folder: folder(cloud, &name),
    })
}

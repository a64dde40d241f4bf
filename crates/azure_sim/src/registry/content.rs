//! The bytes of blobs and manifests: one file a digest and registry, written whole.

use std::fs;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::errors::{Answer, blob_unknown, internal};
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
    let bytes = fs::read(registry.file(digest)).map_err(|cause| internal(&cause))?;
    let response = Response::bytes(StatusCode::OK, "application/octet-stream", Bytes::new())
        .with("docker-content-digest", &digest.to_string())
        .with("etag", &format!("\"{digest}\""));
    if request.method == Method::HEAD {
        return Ok(response
            .with("content-length", &bytes.len().to_string())
            .operation("registry.blob.head"));
    }
    Ok(Response { body: Bytes::from(bytes), ..response }.operation("registry.blob.get"))
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

/// An image as the container-instances service pulls it: every digest checked again on the way.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The manifest's digest.
    pub digest: Digest,
    /// The image's configuration.
    pub config: Bytes,
    /// The layers from base to top: media type and bytes.
    pub layers: Vec<(String, Bytes)>,
}

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not `NAME.azurecr.io/REPOSITORY@DIGEST` (or `:TAG`) of a registry of this cloud.
    #[error("the image '{0}' is not in a registry of the local cloud")]
    Foreign(String),
    /// The identity's roles do not permit it.
    #[error("the identity may not pull from the registry '{0}': it has no role like AcrPull there")]
    Forbidden(String),
    /// No such manifest.
    #[error("the image '{0}' was not found")]
    Absent(String),
    /// The manifest is not that of an image, or its bytes are not what its digests say.
    #[error("the image '{0}' is damaged: {1}")]
    Damaged(String, &'static str),
}

/// Pull an image by reference with the roles of a principal.
///
/// # Errors
/// The first thing that does not hold: reference, role, presence, digests.
pub fn pull(cloud: &Cloud, image: &str, principal: Option<Uuid>) -> Result<Pulled, PullError> {
    let foreign = || PullError::Foreign(image.to_owned());
    let (host, rest) = image.split_once('/').ok_or_else(foreign)?;
    let name = host.strip_suffix(".azurecr.io").ok_or_else(foreign)?.to_ascii_lowercase();
    let id = crate::arm::registry_named(cloud, &name).ok_or_else(foreign)?;
    let (repository, reference) = match rest.split_once('@') {
        Some((repository, digest)) => {
            (repository, Reference::Digest(digest.parse().map_err(|_| foreign())?))
        }
        None => {
            let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
            (repository, Reference::parse(tag).ok_or_else(foreign)?)
        }
    };
    if !principal.is_some_and(|principal| permitted(cloud, principal, Right::Pull, &id)) {
        return Err(PullError::Forbidden(name));
    }
    let registry = Registry { cloud, name: &name, id };
    let absent = || PullError::Absent(image.to_owned());
    let damaged = |what| PullError::Damaged(image.to_owned(), what);
    let digest = match &reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(tag) => {
            let found = registry.look(repository, |found| found.tags.get(tag).cloned());
            found.ok().flatten().ok_or_else(absent)?
        }
    };
    if !registry.look(repository, |found| found.manifests.contains_key(&digest)).unwrap_or(false) {
        return Err(absent());
    }
    let read = |digest: &Digest| -> Result<Bytes, PullError> {
        let bytes =
            fs::read(registry.file(digest)).map_err(|_: io::Error| damaged("bytes are missing"))?;
        if Digest::of(&bytes) == *digest {
            Ok(Bytes::from(bytes))
        } else {
            Err(damaged("a digest differs"))
        }
    };
    let manifest: Value =
        serde_json::from_slice(&read(&digest)?).map_err(|_| damaged("the manifest is not JSON"))?;
    let target = |descriptor: &Value| -> Result<Digest, PullError> {
        let text = descriptor
            .get("digest")
            .and_then(Value::as_str)
            .ok_or_else(|| damaged("a descriptor has no digest"))?;
        text.parse().map_err(|_| damaged("a descriptor's digest is invalid"))
    };
    let config = manifest.get("config").ok_or_else(|| damaged("the manifest has no config"))?;
    let layers = manifest
        .get("layers")
        .and_then(Value::as_array)
        .ok_or_else(|| damaged("the manifest has no layers"))?;
    let layers = layers
        .iter()
        .map(|layer| {
            let media_type =
                layer.get("mediaType").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok((media_type, read(&target(layer)?)?))
        })
        .collect::<Result<_, PullError>>()?;
    Ok(Pulled { config: read(&target(config)?)?, layers, digest })
}

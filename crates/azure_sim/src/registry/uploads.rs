//! Uploads of blobs: at once, in one piece, in chunks, or mounted from another repository (end-4a to end-6, end-11, end-13).
//!
//! A begun upload is a file; its length is how far it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use http::StatusCode;
use uuid::Uuid;

use super::Registry;
use super::content::folder;
use super::errors::{Answer, digest_invalid, internal, refused, upload_unknown};
use super::reference::{Digest, repository as name_is_valid};
use crate::core::{Request, Response};

/// `POST /v2/NAME/blobs/uploads/`.
pub(super) fn begin(registry: &Registry<'_>, repository: &str, request: &Request) -> Answer {
    if let (Some(digest), Some(from)) = (request.query.value("mount"), request.query.value("from"))
    {
        let digest: Digest = digest.parse().map_err(|_| digest_invalid())?;
        let there = name_is_valid(from)
            && registry.look(from, |found| found.blobs.contains(&digest)).unwrap_or(false);
        if there {
            registry.change(repository, |found| {
                found.blobs.insert(digest.clone());
            });
            return Ok(created(repository, &digest).operation("registry.blob.mount"));
        }
    }
    if let Some(digest) = request.query.value("digest") {
        let digest: Digest = digest.parse().map_err(|_| digest_invalid())?;
        return keep(registry, repository, &digest, &request.body);
    }
    let id = Uuid::new_v4();
    let path = path(registry, id);
    let made =
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, b""));
    made.map_err(|cause| internal(&cause))?;
    Ok(accepted(repository, id, 0).operation("registry.upload"))
}

/// `GET /v2/NAME/blobs/uploads/ID`.
pub(super) fn status(registry: &Registry<'_>, repository: &str, id: Uuid) -> Answer {
    let length = length(registry, id)?;
    Ok(Response { status: StatusCode::NO_CONTENT, ..accepted(repository, id, length) })
}

/// `PATCH /v2/NAME/blobs/uploads/ID`.
pub(super) fn append(
    registry: &Registry<'_>,
    repository: &str,
    id: Uuid,
    request: &Request,
) -> Answer {
    let length = add(registry, id, request)?;
    Ok(accepted(repository, id, length).operation("registry.upload.chunk"))
}

/// `PUT /v2/NAME/blobs/uploads/ID?digest=`, perhaps with the last bytes.
pub(super) fn finish(
    registry: &Registry<'_>,
    repository: &str,
    id: Uuid,
    request: &Request,
) -> Answer {
    let digest: Digest =
        request.query.value("digest").unwrap_or_default().parse().map_err(|_| digest_invalid())?;
    if request.body.is_empty() {
        length(registry, id)?;
    } else {
        add(registry, id, request)?;
    }
    let bytes = fs::read(path(registry, id)).map_err(|cause| internal(&cause))?;
    let response = keep(registry, repository, &digest, &bytes)?;
    cancel(registry, id)?;
    Ok(response)
}

/// `DELETE /v2/NAME/blobs/uploads/ID`.
pub(super) fn cancel(registry: &Registry<'_>, id: Uuid) -> Answer {
    length(registry, id)?;
    fs::remove_file(path(registry, id)).map_err(|cause| internal(&cause))?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

fn keep(registry: &Registry<'_>, repository: &str, digest: &Digest, bytes: &[u8]) -> Answer {
    if Digest::of(bytes) != *digest {
        return Err(digest_invalid());
    }
    registry.keep(digest, bytes)?;
    registry.change(repository, |found| {
        found.blobs.insert(digest.clone());
    });
    Ok(created(repository, digest).operation("registry.blob.put"))
}

/// Append a chunk; a `Content-Range` must begin where the upload is.
fn add(registry: &Registry<'_>, id: Uuid, request: &Request) -> Answer<u64> {
    let before = length(registry, id)?;
    if let Some(range) = request.header("content-range") {
        let first = range
            .split('-')
            .next()
            .and_then(|first| first.trim_start_matches("bytes ").parse::<u64>().ok());
        if first != Some(before) {
            return Err(refused(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "BLOB_UPLOAD_INVALID",
                "the range is out of order",
            ));
        }
    }
    let written = OpenOptions::new()
        .append(true)
        .open(path(registry, id))
        .and_then(|mut file| file.write_all(&request.body));
    written.map_err(|cause| internal(&cause))?;
    length(registry, id)
}

fn length(registry: &Registry<'_>, id: Uuid) -> Answer<u64> {
    match fs::metadata(path(registry, id)) {
        Ok(facts) => Ok(facts.len()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(upload_unknown()),
        Err(cause) => Err(internal(&cause)),
    }
}

fn path(registry: &Registry<'_>, id: Uuid) -> PathBuf {
    folder(registry.cloud, registry.name).join("uploads").join(id.to_string())
}

fn accepted(repository: &str, id: Uuid, length: u64) -> Response {
    Response::empty(StatusCode::ACCEPTED)
        .with("location", &format!("/v2/{repository}/blobs/uploads/{id}"))
        .with("docker-upload-uuid", &id.to_string())
        .with("range", &format!("0-{}", length.saturating_sub(1)))
}

fn created(repository: &str, digest: &Digest) -> Response {
    Response::empty(StatusCode::CREATED)
        .with("location", &format!("/v2/{repository}/blobs/{digest}"))
        .with("docker-content-digest", &digest.to_string())
}

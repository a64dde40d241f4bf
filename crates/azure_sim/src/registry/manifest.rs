//! Manifests: image manifests and indexes, by tag or digest, and what refers to them (end-3, end-7, end-9, end-12).

use std::fs;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::Registry;
use super::errors::{
    Answer, digest_invalid, internal, manifest_invalid, manifest_unknown, refused,
};
use super::reference::{Digest, Reference};
use super::state::ManifestFacts;
use crate::core::{Request, Response};

/// `PUT /v2/NAME/manifests/REFERENCE`.
///
/// 1. it is JSON of a known media type, the one it is sent as; 2. what it names is there; 3. the digest it is put under is its own.
pub(super) fn put(
    registry: &Registry<'_>,
    repository: &str,
    reference: &Reference,
    request: &Request,
) -> Answer {
    if request.body.len() > MOST {
        return Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "SIZE_INVALID",
            "the manifest is larger than 4 MiB",
        ));
    }
    let manifest: Value =
        serde_json::from_slice(&request.body).map_err(|_| manifest_invalid("not JSON"))?;
    let text = |name: &str| manifest.get(name).and_then(Value::as_str);
    let sent = request.header("content-type").unwrap_or_default();
    let media_type = text("mediaType").unwrap_or(sent);
    if media_type != sent || !MEDIA_TYPES.contains(&media_type) {
        return Err(manifest_invalid("the media type is unknown or not the one it is sent as"));
    }
    if manifest.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(manifest_invalid("schemaVersion is not 2"));
    }
    let digest_of = |descriptor: &Value| {
        descriptor
            .get("digest")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<Digest>().ok())
    };
    let list =
        |name: &str| manifest.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let index = INDEXES.contains(&media_type);
    let named: Vec<Value> = if index {
        list("manifests")
    } else {
        let config =
            manifest.get("config").cloned().ok_or_else(|| manifest_invalid("no config"))?;
        [vec![config], list("layers")].concat()
    };
    for descriptor in &named {
        let digest = digest_of(descriptor)
            .ok_or_else(|| manifest_invalid("a descriptor has no valid digest"))?;
        let there = registry.look(repository, |found| {
            if index {
                found.manifests.contains_key(&digest)
            } else {
                found.blobs.contains(&digest)
            }
        });
        if !there.unwrap_or(false) {
            let code = if index { "MANIFEST_UNKNOWN" } else { "MANIFEST_BLOB_UNKNOWN" };
            return Err(refused(
                StatusCode::NOT_FOUND,
                code,
                &format!("{digest} is unknown to the repository"),
            ));
        }
    }
    let digest = Digest::of(&request.body);
    if matches!(reference, Reference::Digest(given) if *given != digest) {
        return Err(digest_invalid());
    }
    let subject = manifest.get("subject").and_then(digest_of);
    let config_type =
        manifest.get("config").and_then(|config| config.get("mediaType")).and_then(Value::as_str);
    let facts = ManifestFacts {
        media_type: media_type.to_owned(),
        size: u64::try_from(request.body.len()).unwrap_or(u64::MAX),
        subject: subject.clone(),
        artifact_type: text("artifactType").or(config_type).map(str::to_owned),
        annotations: manifest.get("annotations").cloned().unwrap_or(Value::Null),
    };
    registry.keep(&digest, &request.body)?;
    registry.change(repository, |found| {
        found.manifests.insert(digest.clone(), facts);
        if let Reference::Tag(tag) = reference {
            found.tags.insert(tag.clone(), digest.clone());
        }
    });
    let response = Response::empty(StatusCode::CREATED)
        .with("location", &format!("/v2/{repository}/manifests/{digest}"))
        .with("docker-content-digest", &digest.to_string())
        .operation("registry.manifest.put");
    Ok(match subject {
        Some(subject) => response.with("oci-subject", &subject.to_string()),
        None => response,
    })
}

/// `GET` and `HEAD /v2/NAME/manifests/REFERENCE`.
pub(super) fn get(
    registry: &Registry<'_>,
    repository: &str,
    reference: &Reference,
    head: bool,
) -> Answer {
    let (digest, facts) = find(registry, repository, reference)?;
    let response = Response::bytes(StatusCode::OK, &facts.media_type, Bytes::new())
        .with("docker-content-digest", &digest.to_string())
        .with("etag", &format!("\"{digest}\""));
    if head {
        return Ok(response
            .with("content-length", &facts.size.to_string())
            .operation("registry.manifest.head"));
    }
    let bytes = fs::read(registry.file(&digest)).map_err(|cause| internal(&cause))?;
    Ok(Response { body: Bytes::from(bytes), ..response }.operation("registry.manifest.get"))
}

/// `DELETE /v2/NAME/manifests/REFERENCE`: a tag is taken off; a manifest goes with its tags.
pub(super) fn delete(registry: &Registry<'_>, repository: &str, reference: &Reference) -> Answer {
    let (digest, _) = find(registry, repository, reference)?;
    registry.change(repository, |found| match reference {
        Reference::Tag(tag) => {
            found.tags.remove(tag);
        }
        Reference::Digest(_) => {
            found.manifests.remove(&digest);
            found.tags.retain(|_, tagged| *tagged != digest);
        }
    });
    Ok(Response::empty(StatusCode::ACCEPTED).operation("registry.manifest.delete"))
}

/// `GET /v2/NAME/referrers/DIGEST?artifactType=`.
pub(super) fn referrers(
    registry: &Registry<'_>,
    repository: &str,
    digest: &Digest,
    request: &Request,
) -> Answer {
    let wanted = request.query.value("artifactType");
    let found: Vec<Value> = registry.cloud.registry.read(|state| {
        let manifests = state
            .repository(registry.name, repository)
            .into_iter()
            .flat_map(|found| &found.manifests);
        manifests
            .filter(|(_, facts)| facts.subject.as_ref() == Some(digest))
            .filter(|(_, facts)| {
                wanted.is_none_or(|wanted| facts.artifact_type.as_deref() == Some(wanted))
            })
            .map(|(digest, facts)| {
                json!({
                    "mediaType": facts.media_type,
                    "digest": digest,
                    "size": facts.size,
                    "artifactType": facts.artifact_type,
                    "annotations": facts.annotations,
                })
            })
            .collect()
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": found });
    let response =
        Response::bytes(StatusCode::OK, INDEX, index.to_string()).operation("registry.referrers");
    Ok(if wanted.is_some() {
        response.with("oci-filters-applied", "artifactType")
    } else {
        response
    })
}

fn find(
    registry: &Registry<'_>,
    repository: &str,
    reference: &Reference,
) -> Answer<(Digest, ManifestFacts)> {
    let found = registry.look(repository, |found| {
        let digest = match reference {
            Reference::Tag(tag) => found.tags.get(tag).cloned()?,
            Reference::Digest(digest) => digest.clone(),
        };
        found.manifests.get(&digest).cloned().map(|facts| (digest, facts))
    })?;
    found.ok_or_else(|| manifest_unknown(&reference.to_string()))
}

const MOST: usize = 4 << 20;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const INDEXES: [&str; 2] = [INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"];
const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    INDEXES[0],
    INDEXES[1],
];

//! Blobs: what each operation does once it is authorized. Block blobs only.
//!
//! Source: the operation pages of the Storage reference ("Put Blob", "Put Block List", "Get Blob", "Lease Blob", …).
//! `Content-MD5` and `x-ms-content-crc64` are refused rather than left unchecked.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use jiff::Timestamp;

use super::conditions::{Conditions, Current};
use super::error::{self, BlobError};
use super::lease::{self, Subject};
use super::service::{
    Answer, found, lease_action, lease_id, leased, metadata, tagged, with_lease, with_metadata,
};
use super::store::{BlobFacts, Blobs, Container};
use super::xml;
use crate::core::{Query, Request, Response};

/// Where a blob is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub account: &'a str,
    pub container: &'a str,
    pub name: &'a str,
}

pub(super) fn put(blobs: &Blobs, place: Place<'_>, request: &Request, now: Timestamp) -> Answer {
    match text(&request.headers, "x-ms-blob-type") {
        Some("BlockBlob") => {}
        Some("PageBlob" | "AppendBlob") => return Err(error::unsupported("page and append blobs")),
        Some(_) => return Err(error::invalid_header("x-ms-blob-type")),
        None => return Err(error::missing_header("x-ms-blob-type")),
    }
    refuse_checksums(&request.headers)?;
    write(blobs, place, request, now, |_| Ok((request.body.clone(), Vec::new())))
}

/// Copy within the account, at once; the whole of what the service may take longer for.
pub(super) fn copy(blobs: &Blobs, place: Place<'_>, request: &Request, now: Timestamp) -> Answer {
    let source = text(&request.headers, "x-ms-copy-source")
        .ok_or_else(|| error::invalid_header("x-ms-copy-source"))?;
    let url = url::Url::parse(source).map_err(|_| error::invalid_header("x-ms-copy-source"))?;
    if url.host_str() != Some(format!("{}.blob.core.windows.net", place.account).as_str()) {
        return Err(error::unsupported("copying from another account"));
    }
    let request_of = Request { path: url.path().to_owned(), ..request.clone() };
    let super::operation::Target::Blob(container, name) =
        super::operation::Target::parse(&request_of)?
    else {
        return Err(error::invalid_header("x-ms-copy-source"));
    };
    let from = {
        let mut state = blobs.lock();
        found(&mut state, place.account, &container)?
            .blobs
            .get(&name)
            .cloned()
            .ok_or_else(error::blob_not_found)?
    };
    let content = blobs
        .read_blob(place.account, &container, &name)
        .map_err(|cause| error::internal(&cause))?;
    let mut copied = request.clone();
    if metadata(&request.headers)?.is_empty() {
        for (name, value) in &from.metadata {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(format!("x-ms-meta-{name}")), value.parse())
            {
                copied.headers.insert(name, value);
            }
        }
    }
    for (name, value) in &from.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(format!("x-ms-blob-{name}")), value.parse())
        {
            copied.headers.entry(name).or_insert(value);
        }
    }
    let response = write(blobs, place, &copied, now, |_| Ok((content, from.blocks)))?;
    Ok(Response { status: StatusCode::ACCEPTED, ..response }
        .with("x-ms-copy-id", &request.id.to_string())
        .with("x-ms-copy-status", "success"))
}

/// "Get Blob" and "Get Blob Properties".
pub(super) fn get(blobs: &Blobs, place: Place<'_>, request: &Request, now: Timestamp) -> Answer {
    let conditions = Conditions::parse(&request.headers)?;
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let blob = container.blobs.get(place.name).ok_or_else(error::blob_not_found)?;
    lease::check_read(blob.lease.as_ref(), lease_id(&request.headers), Subject::Blob, now)?;
    conditions.check_read(Current { etag: &blob.etag, modified: blob.modified })?;
    let mut response = tagged(StatusCode::OK, &blob.etag, blob.modified)
        .with("x-ms-creation-time", &super::times::rfc1123(blob.created))
        .with("x-ms-blob-type", "BlockBlob")
        .with("x-ms-server-encrypted", "true")
        .with("accept-ranges", "bytes");
    for (name, value) in &blob.headers {
        response = response.with(name, value);
    }
    response = with_metadata(with_lease(response, blob.lease.as_ref(), now), &blob.metadata);
    if request.method == http::Method::HEAD {
        return Ok(response
            .with("content-length", &blob.length.to_string())
            .with("x-ms-access-tier", "Hot")
            .with("x-ms-access-tier-inferred", "true"));
    }
    let content = blobs
        .read_blob(place.account, place.container, place.name)
        .map_err(|cause| error::internal(&cause))?;
    let Some(range) =
        text(&request.headers, "x-ms-range").or_else(|| text(&request.headers, "range"))
    else {
        response.body = content;
        return Ok(response);
    };
    let Some((first, last)) = range_of(range)? else {
        response.body = content;
        return Ok(response);
    };
    let end = last.map_or(content.len(), |last| last.saturating_add(1)).min(content.len());
    if first >= content.len() || first >= end {
        return Err(BlobError::new(
            416,
            "InvalidRange",
            "The range specified is invalid for the current size of the resource.",
        ));
    }
    response.status = StatusCode::PARTIAL_CONTENT;
    let shown = format!("bytes {first}-{}/{}", end.saturating_sub(1), content.len());
    response.body = content.slice(first..end);
    Ok(response.with("content-range", &shown))
}

pub(super) fn delete(
    blobs: &Blobs,
    place: Place<'_>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Answer {
    let conditions = Conditions::parse(headers)?;
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let blob = container.blobs.get(place.name).ok_or_else(error::blob_not_found)?;
    lease::check_write(blob.lease.as_ref(), lease_id(headers), Subject::Blob, now)?;
    conditions.check_write(Some(Current { etag: &blob.etag, modified: blob.modified }))?;
    blobs
        .drop_blob(place.account, place.container, place.name)
        .map_err(|cause| error::internal(&cause))?;
    container.blobs.remove(place.name);
    container.staged.remove(place.name);
    Ok(Response::empty(StatusCode::ACCEPTED).with("x-ms-delete-type-permanent", "true"))
}

pub(super) fn lease_blob(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let action = lease_action(&request.headers)?;
    let facts = change(blobs, place, request, |blob| {
        let done = lease::apply(&mut blob.lease, action, Subject::Blob, now)?;
        Ok(leased(&done, &blob.etag, blob.modified))
    })?;
    Ok(facts)
}

pub(super) fn set_metadata(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let metadata = metadata(&request.headers)?;
    touch(blobs, place, request, now, |blob| blob.metadata = metadata)
}

pub(super) fn set_properties(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let headers = content_headers(&request.headers, OnlyNamed::Yes);
    touch(blobs, place, request, now, |blob| blob.headers = headers)
}

/// "Get Blob Tags".
pub(super) fn tags(blobs: &Blobs, place: Place<'_>) -> Answer {
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let blob = container.blobs.get(place.name).ok_or_else(error::blob_not_found)?;
    let all: String = blob
        .tags
        .iter()
        .map(|(key, value)| {
            format!("<Tag>{}{}</Tag>", xml::element("Key", key), xml::element("Value", value))
        })
        .collect();
    let body = format!("{}<Tags><TagSet>{all}</TagSet></Tags>", xml::PROLOGUE);
    Ok(Response::bytes(StatusCode::OK, "application/xml", body))
}

/// Make or replace a blob whose content `content` gives, under conditions and lease.
pub(super) fn write(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
    content: impl FnOnce(&Container) -> Result<(Bytes, Vec<(String, u64)>), BlobError>,
) -> Answer {
    let headers = &request.headers;
    let conditions = Conditions::parse(headers)?;
    let metadata = metadata(headers)?;
    let tags = Query::parse(text(headers, "x-ms-tags").unwrap_or_default());
    let tags = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut state = blobs.lock();
    let etag = state.next_tag(now);
    let container = found(&mut state, place.account, place.container)?;
    let current = container.blobs.get(place.name);
    let mut held = current.and_then(|blob| blob.lease.clone());
    lease::check_write(held.as_ref(), lease_id(headers), Subject::Blob, now)?;
    conditions
        .check_write(current.map(|blob| Current { etag: &blob.etag, modified: blob.modified }))?;
    lease::settle_after_write(&mut held, now);
    let (bytes, blocks) = content(container)?;
    let facts = BlobFacts {
        name: place.name.to_owned(),
        etag,
        created: current.map_or(now, |blob| blob.created),
        modified: now,
        length: size(bytes.len()),
        headers: content_headers(headers, OnlyNamed::No),
        metadata,
        tags,
        blocks,
        lease: held,
    };
    blobs
        .keep_blob(place.account, place.container, &facts, &bytes)
        .map_err(|cause| error::internal(&cause))?;
    let response =
        tagged(StatusCode::CREATED, &facts.etag, now).with("x-ms-request-server-encrypted", "true");
    container.staged.remove(place.name);
    container.blobs.insert(place.name.to_owned(), facts);
    Ok(response)
}

/// Change what is known of a blob, with a new tag.
fn touch(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
    alter: impl FnOnce(&mut BlobFacts),
) -> Answer {
    let etag = blobs.lock().next_tag(now);
    change(blobs, place, request, |blob| {
        lease::check_write(blob.lease.as_ref(), lease_id(&request.headers), Subject::Blob, now)?;
        lease::settle_after_write(&mut blob.lease, now);
        alter(blob);
        blob.etag = etag;
        blob.modified = now;
        Ok(tagged(StatusCode::OK, &blob.etag, now).with("x-ms-request-server-encrypted", "true"))
    })
}

fn change(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    alter: impl FnOnce(&mut BlobFacts) -> Result<Response, BlobError>,
) -> Answer {
    let conditions = Conditions::parse(&request.headers)?;
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let blob = container.blobs.get_mut(place.name).ok_or_else(error::blob_not_found)?;
    conditions.check_write(Some(Current { etag: &blob.etag, modified: blob.modified }))?;
    let mut facts = blob.clone();
    let response = alter(&mut facts)?;
    if facts != *blob {
        let content = blobs
            .read_blob(place.account, place.container, place.name)
            .map_err(|cause| error::internal(&cause))?;
        blobs
            .keep_blob(place.account, place.container, &facts, &content)
            .map_err(|cause| error::internal(&cause))?;
        *blob = facts;
    }
    Ok(response)
}

/// Whether only `x-ms-blob-*` headers count (they replace all: "Set Blob Properties") or the plain ones too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnlyNamed {
    Yes,
    No,
}

fn content_headers(headers: &HeaderMap, only: OnlyNamed) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in [
        "content-type",
        "content-encoding",
        "content-language",
        "content-disposition",
        "cache-control",
    ] {
        let named = text(headers, &format!("x-ms-blob-{name}"));
        // "Put Block List" carries its own XML type in Content-Type.
        let plain = if only == OnlyNamed::No { text(headers, name) } else { None };
        if let Some(value) = named.or(plain) {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
        .entry(header::CONTENT_TYPE.as_str().to_owned())
        .or_insert_with(|| "application/octet-stream".to_owned());
    found
}

/// `bytes=first-[last]`; nothing for other units, which are ignored. Suffix ranges are not supported by the service.
fn range_of(range: &str) -> Result<Option<(usize, Option<usize>)>, BlobError> {
    let Some(range) = range.strip_prefix("bytes=") else { return Ok(None) };
    let invalid = || error::invalid_header("Range");
    let (first, last) = range.split_once('-').ok_or_else(invalid)?;
    let first = first.parse().map_err(|_| invalid())?;
    let last = match last {
        "" => None,
        last => Some(last.parse().map_err(|_| invalid())?),
    };
    Ok(Some((first, last)))
}

pub(super) fn refuse_checksums(headers: &HeaderMap) -> Result<(), BlobError> {
    if headers.contains_key("content-md5") || headers.contains_key("x-ms-content-crc64") {
        return Err(error::unsupported("checksums of content"));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

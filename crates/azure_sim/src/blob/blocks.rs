//! Blocks of a blob before they are one: staged, committed by a list, listed.
//!
//! Source: "Put Block", "Put Block List" and "Get Block List" of the Storage reference.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use jiff::Timestamp;

use super::error::{self, BlobError};
use super::lease::{self, Subject};
use super::objects::{Place, refuse_checksums, size, write};
use super::service::{Answer, found, lease_id};
use super::store::{BlobFacts, Blobs};
use super::xml::{self, BlockSource};
use crate::core::{Request, Response};

pub(super) fn put_block(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let id = request.query.value("blockid").ok_or_else(|| error::invalid_query("blockid"))?;
    let decoded = BASE64_STANDARD.decode(id).map_err(|_| error::invalid_query("blockid"))?;
    if decoded.is_empty() || decoded.len() > 64 {
        return Err(error::invalid_query("blockid"));
    }
    if request.headers.contains_key("x-ms-copy-source") {
        return Err(error::unsupported("Put Block From URL"));
    }
    refuse_checksums(&request.headers)?;
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let held = container.blobs.get(place.name).and_then(|blob| blob.lease.as_ref());
    lease::check_write(held, lease_id(&request.headers), Subject::Blob, now)?;
    let staged = container.staged.entry(place.name.to_owned()).or_default();
    if staged.keys().any(|other| other.len() != id.len()) {
        return Err(BlobError::new(
            400,
            "InvalidBlobOrBlock",
            "The specified blob or block content is invalid.",
        ));
    }
    staged.insert(id.to_owned(), request.body.clone());
    Ok(Response::empty(StatusCode::CREATED).with("x-ms-request-server-encrypted", "true"))
}

pub(super) fn put_block_list(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let document = std::str::from_utf8(&request.body).map_err(|_| error::invalid_xml())?;
    let wanted = xml::block_list(document).ok_or_else(error::invalid_xml)?;
    write(blobs, place, request, now, |container| {
        let old = match container.blobs.get(place.name) {
            Some(facts) if !facts.blocks.is_empty() => committed(
                facts,
                &blobs
                    .read_blob(place.account, place.container, place.name)
                    .map_err(|cause| error::internal(&cause))?,
            ),
            _ => BTreeMap::new(),
        };
        let none = BTreeMap::new();
        let staged = container.staged.get(place.name).unwrap_or(&none);
        let mut content = BytesMut::new();
        let mut blocks = Vec::new();
        for (source, id) in wanted {
            let bytes = match source {
                BlockSource::Committed => old.get(&id),
                BlockSource::Uncommitted => staged.get(&id),
                BlockSource::Latest => staged.get(&id).or_else(|| old.get(&id)),
            };
            let bytes = bytes.ok_or_else(|| {
                BlobError::new(400, "InvalidBlockList", "The specified block list is invalid.")
            })?;
            content.extend_from_slice(bytes);
            blocks.push((id, size(bytes.len())));
        }
        Ok((content.freeze(), blocks))
    })
}

/// "Get Block List".
pub(super) fn block_list(
    blobs: &Blobs,
    place: Place<'_>,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let mut state = blobs.lock();
    let container = found(&mut state, place.account, place.container)?;
    let blob = container.blobs.get(place.name);
    let staged = container.staged.get(place.name);
    if blob.is_none() && staged.is_none() {
        return Err(error::blob_not_found());
    }
    lease::check_read(
        blob.and_then(|blob| blob.lease.as_ref()),
        lease_id(&request.headers),
        Subject::Blob,
        now,
    )?;
    let kind = request.query.value("blocklisttype").unwrap_or("committed");
    let one = |id: &str, length: u64| {
        format!("<Block>{}<Size>{length}</Size></Block>", xml::element("Name", id))
    };
    let mut body = String::new();
    if kind != "uncommitted" {
        let all: String = blob
            .iter()
            .flat_map(|blob| &blob.blocks)
            .map(|(id, length)| one(id, *length))
            .collect();
        body.push_str(&format!("<CommittedBlocks>{all}</CommittedBlocks>"));
    }
    if kind != "committed" {
        let all: String =
            staged.into_iter().flatten().map(|(id, bytes)| one(id, size(bytes.len()))).collect();
        body.push_str(&format!("<UncommittedBlocks>{all}</UncommittedBlocks>"));
    }
    let body = format!("{}<BlockList>{body}</BlockList>", xml::PROLOGUE);
    Ok(Response::bytes(StatusCode::OK, "application/xml", body))
}

/// Committed blocks by id, cut out of the content.
fn committed(facts: &BlobFacts, content: &Bytes) -> BTreeMap<String, Bytes> {
    let mut rest = content.clone();
    let mut blocks = BTreeMap::new();
    for (id, length) in &facts.blocks {
        let length = usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len());
        blocks.insert(id.clone(), rest.split_to(length));
    }
    blocks
}

//! "List Containers" and "List Blobs": the pages and their XML.
//!
//! A marker is opaque to clients; ours is the first name of the next page in base64url.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jiff::Timestamp;

use super::error::{self, BlobError};
use super::lease;
use super::store::{BlobFacts, Container};
use super::times;
use super::xml::{PROLOGUE, element, escape};
use crate::core::Query;

/// The most that one page holds.
const MOST: usize = 5000;

/// What a listing asks for.
struct Page<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    marker: &'a str,
    from: String,
    most: usize,
    metadata: bool,
    given_most: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn parse(query: &'a Query) -> Result<Self, BlobError> {
        let text = |name| query.value(name).unwrap_or_default();
        let given_most = query.value("maxresults");
        let most = match given_most {
            None => MOST,
            Some(given) => match given.parse::<usize>() {
                Ok(0) | Err(_) => {
                    return Err(BlobError::new(
                        400,
                        "OutOfRangeQueryParameterValue",
                        "One of the query parameters specified in the request URI is outside the permissible range.",
                    ));
                }
                Ok(most) => most.min(MOST),
            },
        };
        let marker = text("marker");
        let from = if marker.is_empty() {
            text("startfrom").to_owned()
        } else {
            let bytes = BASE64_URL_SAFE_NO_PAD
                .decode(marker)
                .map_err(|_| error::invalid_query("marker"))?;
            String::from_utf8(bytes).map_err(|_| error::invalid_query("marker"))?
        };
        let metadata = text("include").split(',').any(|one| one == "metadata");
        Ok(Self {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            marker,
            from,
            most,
            metadata,
            given_most,
        })
    }

    fn head(&self) -> String {
        let mut head = String::new();
        for (name, text) in [
            ("Prefix", self.prefix),
            ("Marker", self.marker),
            ("MaxResults", self.given_most.unwrap_or_default()),
            ("Delimiter", self.delimiter),
        ] {
            if !text.is_empty() {
                head.push_str(&element(name, text));
            }
        }
        head
    }
}

/// The body of "List Containers".
pub(super) fn containers<'c>(
    account: &str,
    query: &Query,
    all: impl Iterator<Item = (&'c String, &'c Container)>,
    now: Timestamp,
) -> Result<String, BlobError> {
    let page = Page::parse(query)?;
    let mut shown = String::new();
    let mut count = 0_usize;
    let mut next = None;
    for (name, container) in all {
        if !name.starts_with(page.prefix) || *name < page.from {
            continue;
        }
        if count == page.most {
            next = Some(name.clone());
            break;
        }
        count = count.saturating_add(1);
        let facts = &container.facts;
        let state = lease::state(facts.lease.as_ref(), now);
        shown.push_str(&format!(
            "<Container>{}<Properties>{}{}{}{}<DefaultEncryptionScope>$account-encryption-key</DefaultEncryptionScope><DenyEncryptionScopeOverride>false</DenyEncryptionScopeOverride><HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold></Properties>{}</Container>",
            element("Name", name),
            element("Last-Modified", &times::rfc1123(facts.modified)),
            element("Etag", &facts.etag),
            element("LeaseStatus", state.status()),
            element("LeaseState", state.as_str()),
            if page.metadata { metadata(&facts.metadata) } else { String::new() },
        ));
    }
    Ok(format!(
        "{PROLOGUE}<EnumerationResults ServiceEndpoint=\"{}\">{}<Containers>{shown}</Containers>{}</EnumerationResults>",
        escape(&format!("https://{account}.blob.core.windows.net/")),
        page.head(),
        element("NextMarker", &next.map(marker).unwrap_or_default())
    ))
}

/// The body of "List Blobs", flat or by a delimiter.
pub(super) fn blobs<'b>(
    account: &str,
    container: &str,
    query: &Query,
    all: impl Iterator<Item = &'b BlobFacts>,
    now: Timestamp,
) -> Result<String, BlobError> {
    let page = Page::parse(query)?;
    let mut shown = String::new();
    let mut count = 0_usize;
    let mut next = None;
    let mut group = String::new();
    for blob in all {
        let Some(rest) = blob.name.strip_prefix(page.prefix) else { continue };
        let inner = match page.delimiter {
            "" => None,
            delimiter => rest
                .split_once(delimiter)
                .map(|(first, _)| format!("{}{first}{delimiter}", page.prefix)),
        };
        // A group is listed where its name sorts, so a page may begin within one that was already listed.
        let key = inner.as_ref().unwrap_or(&blob.name);
        if *key < page.from || inner.as_ref().is_some_and(|inner| *inner == group) {
            continue;
        }
        if count == page.most {
            next = Some(key.clone());
            break;
        }
        count = count.saturating_add(1);
        match inner {
            Some(inner) => {
                shown.push_str(&format!("<BlobPrefix>{}</BlobPrefix>", element("Name", &inner)));
                group = inner;
            }
            None => shown.push_str(&one(blob, page.metadata, now)),
        }
    }
    Ok(format!(
        "{PROLOGUE}<EnumerationResults ServiceEndpoint=\"{}\" ContainerName=\"{}\">{}<Blobs>{shown}</Blobs>{}</EnumerationResults>",
        escape(&format!("https://{account}.blob.core.windows.net/")),
        escape(container),
        page.head(),
        element("NextMarker", &next.map(marker).unwrap_or_default())
    ))
}

fn one(blob: &BlobFacts, with_metadata: bool, now: Timestamp) -> String {
    let header = |name: &str| blob.headers.get(name).map_or("", String::as_str);
    let state = lease::state(blob.lease.as_ref(), now);
    let duration = lease::duration(blob.lease.as_ref(), now)
        .map_or_else(String::new, |text| element("LeaseDuration", text));
    format!(
        "<Blob>{}<Properties>{}{}{}{}{}{}{}<Content-CRC64 /><Content-MD5 />{}{}<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>{}{}{duration}<ServerEncrypted>true</ServerEncrypted></Properties>{}<OrMetadata /></Blob>",
        element("Name", &blob.name),
        element("Creation-Time", &times::rfc1123(blob.created)),
        element("Last-Modified", &times::rfc1123(blob.modified)),
        element("Etag", blob.etag.trim_matches('"')),
        element("Content-Length", &blob.length.to_string()),
        element("Content-Type", header("content-type")),
        element("Content-Encoding", header("content-encoding")),
        element("Content-Language", header("content-language")),
        element("Cache-Control", header("cache-control")),
        element("Content-Disposition", header("content-disposition")),
        element("LeaseStatus", state.status()),
        element("LeaseState", state.as_str()),
        if with_metadata { metadata(&blob.metadata) } else { String::new() },
    )
}

fn metadata(all: &std::collections::BTreeMap<String, String>) -> String {
    let inner: String = all.iter().map(|(name, value)| element(name, value)).collect();
    if inner.is_empty() {
        "<Metadata />".to_owned()
    } else {
        format!("<Metadata>{inner}</Metadata>")
    }
}

fn marker(name: String) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(name)
}

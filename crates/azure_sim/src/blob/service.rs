//! Containers: what each operation does once it is authorized.
//!
//! Source: the operation pages of the Storage reference ("Create Container", "Get Container Properties", …).

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;

use super::conditions::{Conditions, Current};
use super::error::{self, BlobError};
use super::lease::{self, Action, Subject};
use super::store::{Accounts, Blobs, Container, ContainerFacts};
use super::{list, times, xml};
use crate::core::{Request, Response};

pub(super) type Answer = Result<Response, BlobError>;

pub(super) fn list_containers(
    blobs: &Blobs,
    account: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let state = blobs.lock();
    let none = BTreeMap::new();
    let all = state.containers(account).unwrap_or(&none);
    let body = list::containers(account, &request.query, all.iter(), now)?;
    Ok(Response::bytes(StatusCode::OK, "application/xml", body))
}

/// "Get Blob Service Properties": the defaults of a new account.
pub(super) fn service_properties() -> Response {
    let off = "<RetentionPolicy><Enabled>false</Enabled></RetentionPolicy>";
    let body = format!(
        "{}<StorageServiceProperties><Logging><Version>1.0</Version><Read>false</Read><Write>false</Write><Delete>false</Delete>{off}</Logging><HourMetrics><Version>1.0</Version><Enabled>false</Enabled>{off}</HourMetrics><MinuteMetrics><Version>1.0</Version><Enabled>false</Enabled>{off}</MinuteMetrics><Cors /><DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy><StaticWebsite><Enabled>false</Enabled></StaticWebsite></StorageServiceProperties>",
        xml::PROLOGUE
    );
    Response::bytes(StatusCode::OK, "application/xml", body)
}

/// "Get Account Information".
pub(super) fn account_information() -> Response {
    Response::empty(StatusCode::OK)
        .with("x-ms-sku-name", "Standard_LRS")
        .with("x-ms-account-kind", "StorageV2")
        .with("x-ms-is-hns-enabled", "false")
}

/// Make a container; the ARM resource provider makes them by the same function.
pub(super) fn create(
    blobs: &Blobs,
    account: &str,
    name: &str,
    metadata: BTreeMap<String, String>,
    now: Timestamp,
) -> Result<ContainerFacts, BlobError> {
    let mut state = blobs.lock();
    if state.container(account, name).is_some() {
        return Err(error::container_already_exists());
    }
    let facts = ContainerFacts { etag: state.next_tag(now), modified: now, metadata, lease: None };
    blobs.keep_container(account, name, &facts).map_err(|cause| error::internal(&cause))?;
    let container =
        Container { facts: facts.clone(), blobs: BTreeMap::new(), staged: BTreeMap::new() };
    state.containers_mut(account).insert(name.to_owned(), container);
    Ok(facts)
}

pub(super) fn create_container(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    if request.headers.contains_key("x-ms-blob-public-access") {
        return Err(BlobError::new(
            409,
            "PublicAccessNotPermitted",
            "Public access is not permitted on this storage account.",
        ));
    }
    let facts = create(blobs, account, name, metadata(&request.headers)?, now)?;
    Ok(tagged(StatusCode::CREATED, &facts.etag, facts.modified))
}

pub(super) fn container_properties(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let mut state = blobs.lock();
    let facts = &found(&mut state, account, name)?.facts;
    lease::check_read(facts.lease.as_ref(), lease_id(&request.headers), Subject::Container, now)?;
    let response = tagged(StatusCode::OK, &facts.etag, facts.modified)
        .with("x-ms-has-immutability-policy", "false")
        .with("x-ms-has-legal-hold", "false")
        .with("x-ms-default-encryption-scope", "$account-encryption-key")
        .with("x-ms-deny-encryption-scope-override", "false");
    Ok(with_metadata(with_lease(response, facts.lease.as_ref(), now), &facts.metadata))
}

pub(super) fn set_container_metadata(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let metadata = metadata(&request.headers)?;
    let conditions = Conditions::parse(&request.headers)?;
    let mut state = blobs.lock();
    let etag = state.next_tag(now);
    let container = found(&mut state, account, name)?;
    lease::check_read(
        container.facts.lease.as_ref(),
        lease_id(&request.headers),
        Subject::Container,
        now,
    )?;
    conditions.check_write(Some(Current {
        etag: &container.facts.etag,
        modified: container.facts.modified,
    }))?;
    let facts =
        ContainerFacts { etag, modified: now, metadata, lease: container.facts.lease.clone() };
    blobs.keep_container(account, name, &facts).map_err(|cause| error::internal(&cause))?;
    container.facts = facts;
    Ok(tagged(StatusCode::OK, &container.facts.etag, now))
}

pub(super) fn delete_container(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let conditions = Conditions::parse(&request.headers)?;
    let mut state = blobs.lock();
    let facts = &found(&mut state, account, name)?.facts;
    lease::check_write(facts.lease.as_ref(), lease_id(&request.headers), Subject::Container, now)?;
    conditions.check_write(Some(Current { etag: &facts.etag, modified: facts.modified }))?;
    blobs.drop_container(account, name).map_err(|cause| error::internal(&cause))?;
    state.containers_mut(account).remove(name);
    Ok(Response::empty(StatusCode::ACCEPTED))
}

pub(super) fn lease_container(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let action = lease_action(&request.headers)?;
    let conditions = Conditions::parse(&request.headers)?;
    let mut state = blobs.lock();
    let container = found(&mut state, account, name)?;
    conditions.check_write(Some(Current {
        etag: &container.facts.etag,
        modified: container.facts.modified,
    }))?;
    let mut facts = container.facts.clone();
    let done = lease::apply(&mut facts.lease, action, Subject::Container, now)?;
    blobs.keep_container(account, name, &facts).map_err(|cause| error::internal(&cause))?;
    container.facts = facts;
    Ok(leased(&done, &container.facts.etag, container.facts.modified))
}

pub(super) fn list_blobs(
    blobs: &Blobs,
    account: &str,
    name: &str,
    request: &Request,
    now: Timestamp,
) -> Answer {
    let mut state = blobs.lock();
    let container = found(&mut state, account, name)?;
    let body = list::blobs(account, name, &request.query, container.blobs.values(), now)?;
    Ok(Response::bytes(StatusCode::OK, "application/xml", body))
}

pub(super) fn found<'a>(
    state: &'a mut Accounts,
    account: &str,
    name: &str,
) -> Result<&'a mut Container, BlobError> {
    state.container(account, name).ok_or_else(error::container_not_found)
}

pub(super) fn tagged(status: StatusCode, etag: &str, modified: Timestamp) -> Response {
    Response::empty(status).with("etag", etag).with("last-modified", &times::rfc1123(modified))
}

pub(super) fn leased(done: &lease::Done, etag: &str, modified: Timestamp) -> Response {
    let status = StatusCode::from_u16(done.status).unwrap_or(StatusCode::OK);
    let mut response = tagged(status, etag, modified);
    if let Some(id) = &done.id {
        response = response.with("x-ms-lease-id", id);
    }
    if let Some(seconds) = done.seconds {
        response = response.with("x-ms-lease-time", &seconds.to_string());
    }
    response
}

pub(super) fn with_lease(
    response: Response,
    held: Option<&lease::Lease>,
    now: Timestamp,
) -> Response {
    let state = lease::state(held, now);
    let response =
        response.with("x-ms-lease-status", state.status()).with("x-ms-lease-state", state.as_str());
    match lease::duration(held, now) {
        Some(duration) => response.with("x-ms-lease-duration", duration),
        None => response,
    }
}

pub(super) fn with_metadata(
    mut response: Response,
    metadata: &BTreeMap<String, String>,
) -> Response {
    for (name, value) in metadata {
        response = response.with(&format!("x-ms-meta-{name}"), value);
    }
    response
}

pub(super) fn lease_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-ms-lease-id").and_then(|value| value.to_str().ok())
}

/// `x-ms-meta-*`, at most 8 KiB in all.
pub(super) fn metadata(headers: &HeaderMap) -> Result<BTreeMap<String, String>, BlobError> {
    let mut found = BTreeMap::new();
    let mut size = 0_usize;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix("x-ms-meta-") else { continue };
        let identifier = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !key.starts_with(|first: char| first.is_ascii_digit());
        if key.is_empty() || !identifier {
            return Err(BlobError::new(
                400,
                "InvalidMetadata",
                "The metadata specified is invalid. It has characters that are not permitted.",
            ));
        }
        let value = value.to_str().map_err(|_| error::invalid_header(name.as_str()))?;
        size = size.saturating_add(key.len()).saturating_add(value.len());
        found.insert(key.to_owned(), value.to_owned());
    }
    if size > 8192 {
        return Err(BlobError::new(
            400,
            "MetadataTooLarge",
            "The size of the specified metadata exceeds the maximum size permitted.",
        ));
    }
    Ok(found)
}

/// `x-ms-lease-action` with its companions.
pub(super) fn lease_action(headers: &HeaderMap) -> Result<Action, BlobError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let id = |name: &'static str| {
        let given = text(name).ok_or_else(|| error::missing_header(name))?;
        uuid::Uuid::parse_str(given)
            .map(|id| id.to_string())
            .map_err(|_| error::invalid_header(name))
    };
    let held = || id("x-ms-lease-id");
    match text("x-ms-lease-action").ok_or_else(|| error::missing_header("x-ms-lease-action"))? {
        "acquire" => {
            let seconds = match text("x-ms-lease-duration").map(str::parse) {
                Some(Ok(-1)) => None,
                Some(Ok(seconds @ 15..=60)) => Some(seconds),
                Some(_) => return Err(error::invalid_header("x-ms-lease-duration")),
                None => return Err(error::missing_header("x-ms-lease-duration")),
            };
            let id = match text("x-ms-proposed-lease-id") {
                Some(_) => id("x-ms-proposed-lease-id")?,
                None => uuid::Uuid::new_v4().to_string(),
            };
            Ok(Action::Acquire { seconds, id })
        }
        "renew" => Ok(Action::Renew { id: held()? }),
        "release" => Ok(Action::Release { id: held()? }),
        "change" => Ok(Action::Change { id: held()?, proposed: id("x-ms-proposed-lease-id")? }),
        "break" => match text("x-ms-lease-break-period").map(str::parse) {
            None => Ok(Action::Break { period: None }),
            Some(Ok(period @ 0..=60)) => Ok(Action::Break { period: Some(period) }),
            Some(_) => Err(error::invalid_header("x-ms-lease-break-period")),
        },
        _ => Err(error::invalid_header("x-ms-lease-action")),
    }
}

/// HEAD carries no body, so a refusal of it neither.
pub(super) fn body_of(method: &Method, status: StatusCode) -> error::Body {
    if method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        error::Body::Empty
    } else {
        error::Body::Xml
    }
}

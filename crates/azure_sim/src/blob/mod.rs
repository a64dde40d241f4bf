//! The blob service: `https://ACCOUNT.blob.core.windows.net`.
//!
//! Source: the Blob service REST reference ("Operations on containers", "Operations on blobs", "Lease Blob", "Specifying conditional headers",
//! "Authorize with Shared Key", "Authorize with Microsoft Entra ID"), and what `object_store`'s Azure client sends.
//!
//! Every request is authorized for real, by an account key or by a token and a role at the container's scope.
//! Block blobs only: page and append blobs, snapshots, versions, SAS and anonymous access are refused with a plain error.

mod auth;
mod batch;
mod blocks;
mod conditions;
mod error;
mod lease;
mod list;
mod objects;
mod operation;
mod service;
mod shared_key;
mod store;
#[cfg(test)]
mod tests;
mod times;
#[cfg(test)]
mod wire;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use self::error::BlobError;
use self::objects::Place;
use self::operation::{Operation, Target};
use self::service::Answer;
use crate::core::{Cloud, Request, Response};

pub use self::auth::{Account, SharedKeyAccess};
pub use self::operation::container_name;
pub use self::store::Blobs;

/// Answers one request to an account's blob endpoint.
///
/// # Errors
/// The refusal in the service's XML envelope.
pub async fn handle(
    cloud: &Arc<Cloud>,
    account: &str,
    request: Request,
) -> Result<Response, Response> {
    let now = cloud.now();
    let outcome = match crate::arm::storage_account(cloud, account) {
        Some(account) => answer(cloud, &account, &request, now),
        // A name without an account does not resolve in the real cloud; the text is ours.
        None => Err(BlobError::new(
            404,
            "AccountNotFound",
            "The local cloud has no storage account of this name.",
        )),
    };
    finish(&request, outcome, now)
}

/// Make a container for the resource provider; answers whether it was new.
///
/// # Errors
/// The file system's.
pub fn ensure_container(
    blobs: &Blobs,
    account: &str,
    name: &str,
    metadata: BTreeMap<String, String>,
    now: Timestamp,
) -> io::Result<ContainerCreated> {
    match service::create(blobs, account, name, metadata, now) {
        Ok(_) => Ok(ContainerCreated::Yes),
        Err(refused) if refused.code == "ContainerAlreadyExists" => Ok(ContainerCreated::Existed),
        Err(refused) => Err(io::Error::other(refused.message)),
    }
}

/// Whether a container was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerCreated {
    /// It is new.
    Yes,
    /// It was there.
    Existed,
}

/// A container as the resource provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// With quotes.
    pub etag: String,
    /// The last change of its own properties.
    pub modified: Timestamp,
    /// `available`, `leased`, …
    pub lease_state: &'static str,
    /// `locked` or `unlocked`.
    pub lease_status: &'static str,
    /// `x-ms-meta-*`.
    pub metadata: BTreeMap<String, String>,
}

/// The containers of an account, by name.
pub fn containers(blobs: &Blobs, account: &str, now: Timestamp) -> Vec<ContainerView> {
    let state = blobs.lock();
    let Some(containers) = state.containers(account) else { return Vec::new() };
    let view = |(name, container): (&String, &store::Container)| {
        let lease = lease::state(container.facts.lease.as_ref(), now);
        ContainerView {
            name: name.clone(),
            etag: container.facts.etag.clone(),
            modified: container.facts.modified,
            lease_state: lease.as_str(),
            lease_status: lease.status(),
            metadata: container.facts.metadata.clone(),
        }
    };
    containers.iter().map(view).collect()
}

/// Delete a container for the resource provider, which needs no lease id but is refused by a lease.
///
/// # Errors
/// Code and text of the refusal.
pub fn delete_container(
    blobs: &Blobs,
    account: &str,
    name: &str,
    now: Timestamp,
) -> Result<(), (&'static str, String)> {
    let refused = |refused: BlobError| (refused.code, refused.message);
    let mut state = blobs.lock();
    let facts = &service::found(&mut state, account, name).map_err(refused)?.facts;
    lease::check_write(facts.lease.as_ref(), None, lease::Subject::Container, now)
        .map_err(refused)?;
    blobs.drop_container(account, name).map_err(|cause| refused(error::internal(&cause)))?;
    state.containers_mut(account).remove(name);
    Ok(())
}

fn answer(cloud: &Cloud, account: &Account, request: &Request, now: Timestamp) -> Answer {
    let target = Target::parse(request)?;
    let operation = Operation::parse(request, &target)?;
    if operation == Operation::Batch {
        auth::authenticate(cloud, account, request, now)?;
        let mut parts = Vec::new();
        for part in batch::parse(request)? {
            let outcome = delete_part(cloud, account, &part.request, now);
            let response = finish(&part.request, outcome, now).unwrap_or_else(|refused| refused);
            parts.push((part.id, response));
        }
        return Ok(batch::response(request.id, &parts).operation(operation.name()));
    }
    auth::authorize(cloud, account, request, &target, operation, now)?;
    perform(&cloud.blob, account.name.as_str(), request, &target, operation, now)
        .map(|response| response.operation(operation.name()))
}

fn delete_part(cloud: &Cloud, account: &Account, request: &Request, now: Timestamp) -> Answer {
    let target = Target::parse(request)?;
    let operation = Operation::parse(request, &target)?;
    if operation != Operation::DeleteBlob {
        return Err(error::unsupported("anything but Delete Blob in a batch"));
    }
    auth::authorize(cloud, account, request, &target, operation, now)?;
    perform(&cloud.blob, account.name.as_str(), request, &target, operation, now)
}

/// What an authorized operation does.
fn perform(
    blobs: &Blobs,
    account: &str,
    request: &Request,
    target: &Target,
    operation: Operation,
    now: Timestamp,
) -> Answer {
    let name = match target {
        Target::Service => "",
        Target::Container(container) | Target::Blob(container, _) => container.as_str(),
    };
    let place = match target {
        Target::Blob(container, name) => Place { account, container, name },
        Target::Service | Target::Container(_) => Place { account, container: name, name: "" },
    };
    match operation {
        Operation::ListContainers => service::list_containers(blobs, account, request, now),
        Operation::ServiceProperties => Ok(service::service_properties()),
        Operation::AccountInformation => Ok(service::account_information()),
        Operation::CreateContainer => service::create_container(blobs, account, name, request, now),
        Operation::ContainerProperties => {
            service::container_properties(blobs, account, name, request, now)
        }
        Operation::SetContainerMetadata => {
            service::set_container_metadata(blobs, account, name, request, now)
        }
        Operation::DeleteContainer => service::delete_container(blobs, account, name, request, now),
        Operation::LeaseContainer => service::lease_container(blobs, account, name, request, now),
        Operation::ListBlobs => service::list_blobs(blobs, account, name, request, now),
        Operation::PutBlob => objects::put(blobs, place, request, now),
        Operation::CopyBlob => objects::copy(blobs, place, request, now),
        Operation::PutBlock => blocks::put_block(blobs, place, request, now),
        Operation::PutBlockList => blocks::put_block_list(blobs, place, request, now),
        Operation::BlockList => blocks::block_list(blobs, place, request, now),
        Operation::GetBlob | Operation::HeadBlob => objects::get(blobs, place, request, now),
        Operation::DeleteBlob => objects::delete(blobs, place, &request.headers, now),
        Operation::LeaseBlob => objects::lease_blob(blobs, place, request, now),
        Operation::SetBlobMetadata => objects::set_metadata(blobs, place, request, now),
        Operation::SetBlobProperties => objects::set_properties(blobs, place, request, now),
        Operation::BlobTags => objects::tags(blobs, place),
        Operation::Batch | Operation::SetBlobTags => Err(error::unsupported("this operation")),
    }
}

/// The common headers of the service, and a refusal's envelope.
fn finish(request: &Request, outcome: Answer, now: Timestamp) -> Result<Response, Response> {
    let version = request.header("x-ms-version").unwrap_or(VERSION);
    let id = request.id.to_string();
    let dress = |response: Response| {
        response
            .with("server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
            .with("x-ms-version", version)
            .with("x-ms-request-id", &id)
    };
    match outcome {
        Ok(response) => Ok(dress(response)),
        Err(refused) => {
            let body = service::body_of(&request.method, refused.status);
            Err(dress(refused.response(&id, now, body)))
        }
    }
}

/// The version that answers name when the request named none.
const VERSION: &str = "2023-11-03";

//! Creating, replacing and changing a resource, whatever its type.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::super::body::Object;
use super::super::error::{Answer, ArmError, group_not_found, invalid_content};
use super::super::operations::{self, Ending, LATENCY, Operation, Poll};
use super::super::path::location;
use super::super::state::{Kind, Resource};
use super::super::{
    Cx, attestation, container_groups, groups, identities, registries, storage, vaults, workspaces,
};
use super::{Change, Draft, Named, render};
use crate::core::{Cloud, Response};

static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub(super) fn write(cx: &Cx<'_>, named: &Named, change: Change) -> Answer {
    // Two writers of one resource must not both find nothing and each make it.
    let _one_at_a_time = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let group =
        groups::find(cx.cloud, &named.group).ok_or_else(|| group_not_found(&named.group))?;
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    body.only(&[
        "id",
        "name",
        "type",
        "location",
        "tags",
        "properties",
        "sku",
        "kind",
        "identity",
        "systemData",
        "etag",
    ])?;
    let existing = named.found(cx.cloud);
    let place = place(named, existing.as_ref(), &body, &group.name, change)?;
    let draft =
        Draft { cx, named, existing: existing.as_ref(), body: &body, change, location: &place };
    let mut resource = match named.kind {
        Kind::AttestationProvider => attestation::draft(&draft)?,
        Kind::Vault => vaults::draft(&draft)?,
        Kind::StorageAccount => storage::draft(&draft)?,
        Kind::Identity => identities::draft(&draft)?,
        Kind::Workspace => workspaces::draft(&draft)?,
        Kind::Registry => registries::draft(&draft)?,
        Kind::ContainerGroup => container_groups::draft(&draft)?,
    };
    let tags = body.tags()?;
    resource.tags = match (change, tags, existing.as_ref()) {
        (Change::Merge, None, Some(existing)) => existing.tags.clone(),
        (_, tags, _) => tags.unwrap_or_default(),
    };
    let lasting = existing.is_none() && lasts(named.kind);
    if lasting {
        resource.ready = cx.now.saturating_add(LATENCY).unwrap_or(cx.now);
    }
    publish(cx.cloud, &resource, existing.as_ref())?;
    let operation = Operation {
        provider: named.kind.type_name().split('/').next().unwrap_or_default().to_owned(),
        location: place.clone(),
        started: cx.now,
        ends: resource.ready,
        follows: lasting.then(|| named.key()),
        ending: Ending::Resource,
    };
    let id = cx.cloud.arm.change(|state| {
        state.resources.insert(named.key(), resource.clone());
        Ok::<_, ArmError>(lasting.then(|| operations::begin(state, operation.clone())))
    })?;
    if named.kind == Kind::ContainerGroup {
        container_groups::settle(cx.cloud, &resource, existing.as_ref());
    }
    let answer = render(cx.cloud, &resource, cx.now);
    let status = if existing.is_some() { StatusCode::OK } else { created(named.kind) };
    // azure.md F.2: while a storage account is made there is nothing to show.
    let response = if status == StatusCode::ACCEPTED {
        Response::empty(status)
    } else {
        Response::json(status, &answer)
    };
    Ok(match id {
        None => response,
        Some(id) => {
            operations::announce(cx.cloud, response, id, &operation, poll(named.kind), cx.version)
        }
    })
}

/// The location of a resource: given, known, and never another than before.
fn place(
    named: &Named,
    existing: Option<&Resource>,
    body: &Object<'_>,
    group: &str,
    change: Change,
) -> Answer<String> {
    let given = body.text("location")?.map(location);
    match (existing, given) {
        (Some(existing), Some(given)) if existing.location != given => Err(ArmError::new(
            409,
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{}' in resource group '{group}'. A resource with the same name cannot be created in location '{given}'. Please select a new resource name.",
                named.name, existing.location
            ),
        )),
        (Some(existing), None) if change == Change::Merge => Ok(existing.location.clone()),
        (_, None) => Err(ArmError::new(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        )),
        (_, Some(given)) => {
            if crate::maa::provider_host("any", &given).is_none() {
                return Err(ArmError::new(
                    400,
                    "LocationNotAvailableForResourceType",
                    format!(
                        "The provided location '{given}' is not available for resource type '{}'.",
                        named.kind.type_name()
                    ),
                ));
            }
            Ok(given)
        }
    }
}

/// Tell the rest of the cloud of a resource, before it is kept.
fn publish(cloud: &Arc<Cloud>, resource: &Resource, existing: Option<&Resource>) -> Answer<()> {
    match resource.kind {
        Kind::AttestationProvider => attestation::publish(cloud, resource, existing),
        Kind::Vault => vaults::publish(cloud, resource),
        Kind::Identity => identities::publish(cloud, resource),
        Kind::StorageAccount | Kind::Workspace | Kind::Registry | Kind::ContainerGroup => Ok(()),
    }
}

/// Types whose creation is a long-running operation (azure.md F.2, D.6).
fn lasts(kind: Kind) -> bool {
    match kind {
        Kind::StorageAccount | Kind::Workspace | Kind::Registry | Kind::ContainerGroup => true,
        Kind::AttestationProvider | Kind::Vault | Kind::Identity => false,
    }
}

fn created(kind: Kind) -> StatusCode {
    match kind {
        Kind::StorageAccount => StatusCode::ACCEPTED,
        // The vault provider answers 200 also for a new vault.
        Kind::Vault => StatusCode::OK,
        Kind::AttestationProvider
        | Kind::Identity
        | Kind::Workspace
        | Kind::Registry
        | Kind::ContainerGroup => StatusCode::CREATED,
    }
}

fn poll(kind: Kind) -> Poll {
    match kind {
        Kind::StorageAccount | Kind::ContainerGroup => Poll::Location,
        Kind::Workspace
        | Kind::Registry
        | Kind::AttestationProvider
        | Kind::Vault
        | Kind::Identity => Poll::AsyncOperation,
    }
}

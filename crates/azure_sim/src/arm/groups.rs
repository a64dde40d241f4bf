//! Resource groups (azure.md F.2). Deleting one deletes what is in it; its vaults become soft-deleted.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::body::Object;
use super::error::{Answer, ArmError, group_not_found, invalid_content, method_not_allowed};
use super::operations::{self, Ending, LATENCY, Operation, Poll};
use super::path::{group_id, location, subscription_id};
use super::resources::{forget_roles, remove};
use super::state::{Group, Resource};
use super::{Cx, page};
use crate::core::{Cloud, Response};

pub(super) fn find(cloud: &Cloud, name: &str) -> Option<Group> {
    cloud.arm.read(|state| state.groups.get(&name.to_ascii_lowercase()).cloned())
}

/// The name as it was given when the group was made.
pub(super) fn spelt(cloud: &Cloud, name: &str) -> Option<String> {
    find(cloud, name).map(|group| group.name)
}

pub(super) fn list(cx: &Cx<'_>) -> Answer {
    cx.permit(READ, &subscription_id(cx.cloud.settings.subscription))?;
    let groups: Vec<Group> = cx.cloud.arm.read(|state| state.groups.values().cloned().collect());
    page::page(cx.request, groups.iter().map(|group| render(cx, group)).collect())
}

pub(super) fn handle(cx: &Cx<'_>, name: &str) -> Answer {
    let id = group_id(cx.cloud.settings.subscription, name);
    match *cx.method() {
        Method::GET | Method::HEAD => {
            cx.permit(READ, &id)?;
            match (find(cx.cloud, name), cx.method() == Method::HEAD) {
                (Some(_), true) => Ok(Response::empty(StatusCode::NO_CONTENT)),
                (None, true) => Ok(Response::empty(StatusCode::NOT_FOUND)),
                (Some(group), false) => Ok(Response::json(StatusCode::OK, &render(cx, &group))),
                (None, false) => Err(group_not_found(name)),
            }
        }
        Method::PUT => {
            cx.permit(WRITE, &id)?;
            put(cx, name)
        }
        Method::PATCH => {
            cx.permit(WRITE, &id)?;
            patch(cx, name)
        }
        Method::DELETE => {
            cx.permit("Microsoft.Resources/subscriptions/resourceGroups/delete", &id)?;
            delete(cx, name)
        }
        _ => Err(method_not_allowed()),
    }
}

fn put(cx: &Cx<'_>, name: &str) -> Answer {
    let valid = (1..=90).contains(&name.len())
        && name.chars().all(|each| each.is_alphanumeric() || "-_().".contains(each))
        && !name.ends_with('.');
    if !valid {
        return Err(ArmError::new(
            400,
            "InvalidResourceGroup",
            "The provided resource group name has these invalid characters or its length is invalid. The name can only be a letter, digit, '-', '.', '(', ')' or '_', at most 90 of them, and must not end with '.'.",
        ));
    }
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    body.only(&["id", "name", "type", "location", "tags", "properties"])?;
    let place = body.text("location")?.map(location).ok_or_else(|| {
        ArmError::new(
            400,
            "LocationRequired",
            "The location property is required for this definition.",
        )
    })?;
    if crate::maa::provider_host("any", &place).is_none() {
        return Err(ArmError::new(
            400,
            "LocationNotAvailableForResourceGroup",
            format!("The provided location '{place}' is not available for resource group."),
        ));
    }
    let existing = find(cx.cloud, name);
    if let Some(existing) = existing.as_ref().filter(|existing| existing.location != place) {
        return Err(ArmError::new(
            409,
            "InvalidResourceGroupLocation",
            format!(
                "Invalid resource group location '{place}'. The Resource group already exists in location '{}'.",
                existing.location
            ),
        ));
    }
    let tags = body.tags()?.unwrap_or_default();
    let name = existing.as_ref().map_or(name, |existing| existing.name.as_str());
    let group = Group { name: name.to_owned(), location: place, tags };
    let status = if existing.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    keep(cx, group, status)
}

fn patch(cx: &Cx<'_>, name: &str) -> Answer {
    let value: Value = cx.request.json().map_err(invalid_content)?;
    let body = Object::root(&value)?;
    body.only(&["name", "tags", "properties"])?;
    let mut group = find(cx.cloud, name).ok_or_else(|| group_not_found(name))?;
    if let Some(tags) = body.tags()? {
        group.tags = tags;
    }
    keep(cx, group, StatusCode::OK)
}

fn keep(cx: &Cx<'_>, group: Group, status: StatusCode) -> Answer {
    let shown = render(cx, &group);
    cx.cloud.arm.change(|state| {
        state.groups.insert(group.name.to_ascii_lowercase(), group);
        Ok::<_, ArmError>(())
    })?;
    Ok(Response::json(status, &shown))
}

fn delete(cx: &Cx<'_>, name: &str) -> Answer {
    let group = find(cx.cloud, name).ok_or_else(|| group_not_found(name))?;
    let resources: Vec<Resource> = cx.cloud.arm.read(|state| {
        state
            .resources
            .values()
            .filter(|resource| resource.group.eq_ignore_ascii_case(name))
            .cloned()
            .collect()
    });
    // Groups that run go first: they use the rest.
    for resource in resources.iter().rev() {
        remove(cx.cloud, resource, cx.now)?;
    }
    forget_roles(cx.cloud, &group_id(cx.cloud.settings.subscription, &group.name));
    let operation = Operation {
        provider: "Microsoft.Resources".to_owned(),
        location: group.location,
        started: cx.now,
        ends: cx.now.saturating_add(LATENCY).unwrap_or(cx.now),
        follows: None,
        ending: Ending::Ok,
    };
    let id = cx.cloud.arm.change(|state| {
        state.groups.remove(&name.to_ascii_lowercase());
        Ok::<_, ArmError>(operations::begin(state, operation.clone()))
    })?;
    let response = Response::empty(StatusCode::ACCEPTED);
    Ok(operations::announce(cx.cloud, response, id, &operation, Poll::Location, cx.version))
}

fn render(cx: &Cx<'_>, group: &Group) -> Value {
    json!({
        "id": group_id(cx.cloud.settings.subscription, &group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": { "provisioningState": "Succeeded" },
    })
}

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";

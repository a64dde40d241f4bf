//! What all resources in a group have in common: create or replace, show, change, delete, list.
//!
//! Each type's module drafts the resource from a body (purely, refusing what the provider refuses) and tells the rest of the cloud of it.
//! Facts for the data planes are written before the resource itself, so that a repeated request repairs a crash between the two.

mod write;

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::body::Object;
use super::error::{Answer, ArmError, group_not_found, method_not_allowed, not_found};
use super::operations::{self, Ending, LATENCY, Operation, Poll};
use super::path::group_id;
use super::state::{Kind, Resource};
use super::{Cx, attestation, container_groups, identities, page, registries, storage, vaults};
use crate::core::{Cloud, Response};
use crate::rbac;

use self::write::write;

/// A resource that a path names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub kind: Kind,
    pub group: String,
    pub name: String,
    pub id: String,
}

impl Named {
    pub(super) fn new(cx: &Cx<'_>, kind: Kind, group: &str, name: &str) -> Self {
        let group = super::groups::spelt(cx.cloud, group).unwrap_or_else(|| group.to_owned());
        let id = format!(
            "{}/providers/{}/{name}",
            group_id(cx.cloud.settings.subscription, &group),
            kind.type_name()
        );
        Self { kind, group, name: name.to_owned(), id }
    }

    pub(super) fn key(&self) -> String {
        self.id.to_ascii_lowercase()
    }

    pub(super) fn missing(&self) -> ArmError {
        not_found(self.kind.type_name(), &self.name, &self.group)
    }

    pub(super) fn found(&self, cloud: &Cloud) -> Option<Resource> {
        cloud.arm.read(|state| state.resources.get(&self.key()).cloned())
    }

    /// The resource, or why there is none: no such group, or none of this name in it.
    pub(super) fn present(&self, cloud: &Cloud) -> Answer<Resource> {
        if super::groups::spelt(cloud, &self.group).is_none() {
            return Err(group_not_found(&self.group));
        }
        self.found(cloud).ok_or_else(|| self.missing())
    }
}

/// How a body is applied to a resource that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// PUT.
    Replace,
    /// PATCH: what is not named stays.
    Merge,
}

/// What a type's module makes a draft from.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub cx: &'a Cx<'a>,
    pub named: &'a Named,
    pub existing: Option<&'a Resource>,
    pub body: &'a Object<'a>,
    pub change: Change,
    pub location: &'a str,
}

/// One request to `…/providers/NAMESPACE/TYPE/NAME`.
pub(super) fn handle(cx: &Cx<'_>, named: &Named) -> Answer {
    let action = |verb: &str| format!("{}/{verb}", named.kind.type_name());
    match *cx.method() {
        Method::GET => {
            cx.permit(&action("read"), &named.id)?;
            let resource = named.present(cx.cloud)?;
            Ok(Response::json(StatusCode::OK, &render(cx.cloud, &resource, cx.now)))
        }
        Method::PUT => {
            cx.permit(&action("write"), &named.id)?;
            write(cx, named, Change::Replace)
        }
        Method::PATCH => {
            cx.permit(&action("write"), &named.id)?;
            named.present(cx.cloud)?;
            write(cx, named, Change::Merge)
        }
        Method::DELETE => {
            cx.permit(&action("delete"), &named.id)?;
            delete(cx, named)
        }
        _ => Err(method_not_allowed()),
    }
}

/// The list of one type in a group or the whole subscription.
pub(super) fn list(cx: &Cx<'_>, kind: Kind, group: Option<&str>) -> Answer {
    if *cx.method() != Method::GET {
        return Err(method_not_allowed());
    }
    let scope = scope_of(cx, group)?;
    cx.permit(&format!("{}/read", kind.type_name()), &scope)?;
    page::page(cx.request, select(cx, group, |resource| resource.kind == kind, render))
}

/// "Resources - List": every type, without properties.
pub(super) fn list_all(cx: &Cx<'_>, group: Option<&str>) -> Answer {
    if *cx.method() != Method::GET {
        return Err(method_not_allowed());
    }
    let scope = scope_of(cx, group)?;
    cx.permit("Microsoft.Resources/subscriptions/resources/read", &scope)?;
    let brief = |_: &Cloud, resource: &Resource, _: Timestamp| {
        let mut body = head(resource);
        body.remove("properties");
        Value::Object(body)
    };
    page::page(cx.request, select(cx, group, |_| true, brief))
}

/// The body of a resource as it is shown, by its id in lower case.
pub(super) fn shown(cloud: &Cloud, key: &str, now: Timestamp) -> Option<Value> {
    let resource = cloud.arm.read(|state| state.resources.get(key).cloned())?;
    Some(render(cloud, &resource, now))
}

/// Take a resource out of the cloud: its data, the facts of it, the roles assigned at or below it, and itself.
pub(super) fn remove(cloud: &Arc<Cloud>, resource: &Resource, now: Timestamp) -> Answer<()> {
    match resource.kind {
        Kind::AttestationProvider => attestation::withdraw(cloud, resource),
        Kind::Vault => vaults::withdraw(cloud, resource),
        Kind::StorageAccount => storage::withdraw(cloud, resource)?,
        Kind::Identity => identities::withdraw(cloud, resource),
        Kind::Registry => registries::withdraw(cloud, resource)?,
        Kind::ContainerGroup => container_groups::withdraw(cloud, resource),
        Kind::Workspace => {}
    }
    forget_roles(cloud, &resource.id);
    cloud.arm.change(|state| {
        if resource.kind == Kind::Vault {
            vaults::keep_deleted(state, resource, now);
        }
        state.resources.remove(&resource.id.to_ascii_lowercase());
        Ok(())
    })
}

/// Role assignments at a scope end with it.
pub(super) fn forget_roles(cloud: &Cloud, scope: &str) {
    let done: Result<(), std::convert::Infallible> = cloud.rbac.change(|state| {
        state.assignments.retain(|_, assignment| !rbac::covers(scope, &assignment.scope));
        Ok(())
    });
    match done {
        Ok(()) => {}
    }
}

/// The body as it is shown.
pub(super) fn render(cloud: &Cloud, resource: &Resource, now: Timestamp) -> Value {
    let mut body = head(resource);
    let mut properties = resource.properties.clone();
    match resource.kind {
        Kind::ContainerGroup => container_groups::render(cloud, resource, &mut properties),
        // azure.md F.2: these have no provisioning state.
        Kind::Identity | Kind::AttestationProvider => {}
        Kind::Vault | Kind::StorageAccount | Kind::Workspace | Kind::Registry => {
            let state = if now < resource.ready { "Creating" } else { "Succeeded" };
            properties.insert("provisioningState".to_owned(), Value::from(state));
        }
    }
    if resource.kind == Kind::Identity {
        // azure.md F.2: the id comes back with `resourcegroups` in lower case.
        body.insert(
            "id".to_owned(),
            Value::from(resource.id.replace("/resourceGroups/", "/resourcegroups/")),
        );
    }
    body.insert("properties".to_owned(), Value::Object(properties));
    Value::Object(body)
}

fn head(resource: &Resource) -> Map<String, Value> {
    let mut body = resource.top.clone();
    body.insert("id".to_owned(), Value::from(resource.id.clone()));
    body.insert("name".to_owned(), Value::from(resource.name.clone()));
    body.insert("type".to_owned(), Value::from(resource.kind.type_name()));
    body.insert("location".to_owned(), Value::from(resource.location.clone()));
    body.insert("tags".to_owned(), json!(resource.tags));
    body
}

fn scope_of(cx: &Cx<'_>, group: Option<&str>) -> Answer<String> {
    let subscription = cx.cloud.settings.subscription;
    match group {
        None => Ok(super::path::subscription_id(subscription)),
        Some(group) => {
            let spelt = super::groups::spelt(cx.cloud, group);
            cx.permit(
                "Microsoft.Resources/subscriptions/resourceGroups/read",
                &group_id(subscription, group),
            )?;
            spelt.map(|group| group_id(subscription, &group)).ok_or_else(|| group_not_found(group))
        }
    }
}

fn select(
    cx: &Cx<'_>,
    group: Option<&str>,
    wanted: impl Fn(&Resource) -> bool,
    show: impl Fn(&Cloud, &Resource, Timestamp) -> Value,
) -> Vec<Value> {
    let found: Vec<Resource> = cx.cloud.arm.read(|state| {
        let here = |resource: &&Resource| {
            group.is_none_or(|group| resource.group.eq_ignore_ascii_case(group))
        };
        state.resources.values().filter(here).filter(|resource| wanted(resource)).cloned().collect()
    });
    found.iter().map(|resource| show(cx.cloud, resource, cx.now)).collect()
}

fn delete(cx: &Cx<'_>, named: &Named) -> Answer {
    if super::groups::spelt(cx.cloud, &named.group).is_none() {
        return Err(group_not_found(&named.group));
    }
    let Some(resource) = named.found(cx.cloud) else {
        return Ok(Response::empty(StatusCode::NO_CONTENT));
    };
    remove(cx.cloud, &resource, cx.now)?;
    let lasting = matches!(named.kind, Kind::ContainerGroup | Kind::Registry | Kind::Workspace);
    if !lasting {
        return Ok(Response::empty(StatusCode::OK));
    }
    let operation = Operation {
        provider: named.kind.type_name().split('/').next().unwrap_or_default().to_owned(),
        location: resource.location,
        started: cx.now,
        ends: cx.now.saturating_add(LATENCY).unwrap_or(cx.now),
        follows: None,
        ending: Ending::NoContent,
    };
    let id = cx
        .cloud
        .arm
        .change(|state| Ok::<_, ArmError>(operations::begin(state, operation.clone())))?;
    Ok(operations::announce(
        cx.cloud,
        Response::empty(StatusCode::ACCEPTED),
        id,
        &operation,
        Poll::Location,
        cx.version,
    ))
}

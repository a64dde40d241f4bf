//! `Microsoft.ContainerInstance/containerGroups` (azure.md D.6). What runs is [`crate::aci`]'s.
//!
//! Confidential Linux groups only. Volumes, probes, init containers, subnets and registry passwords are refused: what is taken is done.
//! Secure values and workspace keys are kept but never returned; the CCE policy is returned.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

mod body;

use self::body::{frozen, identity, identity_ids, invalid, name_is_valid, parse, public};
use super::Cx;
use super::body::Object;
use super::error::{Answer, ArmError, bad_request, method_not_allowed};
use super::operations::{self, Ending, LATENCY, Operation, Poll, Progress};
use super::resources::{Change, Draft, Named};
use super::state::{Kind, Resource};
use crate::aci::{self, Group};
use crate::core::{Cloud, Response};

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    if let (Some(existing), Change::Merge) = (draft.existing, draft.change) {
        draft.body.only(&["tags", "location", "id", "name", "type"])?;
        return Ok(existing.clone());
    }
    let name = &draft.named.name;
    if !name_is_valid(name) {
        return Err(invalid(
            "ContainerGroupNameInvalid",
            format!("The container group name '{name}' is invalid."),
        ));
    }
    let given = draft.body.needed_object("properties")?;
    let identity = identity(draft)?;
    let group = parse(&draft.named.key(), name, &given, &identity_ids(&identity))?;
    if let Some(existing) = draft.existing {
        let frozen = |properties: &Map<String, Value>| frozen(properties);
        let before =
            existing.secret.get("given").and_then(Value::as_object).cloned().unwrap_or_default();
        if frozen(&before) != frozen(given.members())
            || existing.top.get("identity") != identity.as_ref()
        {
            return Err(invalid(
                "InvalidContainerGroupUpdate",
                format!(
                    "The updates on container group '{name}' are invalid. If you are going to update the os type, restart policy, network profile, CPU, memory or GPU resources for a container group, you must delete it first and then create a new one."
                ),
            ));
        }
    }
    let mut top = Map::new();
    if let Some(identity) = identity {
        top.insert("identity".to_owned(), identity);
    }
    let mut secret = Map::new();
    secret.insert("given".to_owned(), Value::Object(given.members().clone()));
    secret.insert("desired".to_owned(), json!(RUNNING));
    Ok(Resource {
        kind: Kind::ContainerGroup,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top,
        properties: public(&given, draft, &group)?,
        secret,
        created: draft.existing.map_or(draft.cx.now, |existing| existing.created),
        ready: draft.existing.map_or(draft.cx.now, |existing| existing.ready),
    })
}

/// Start what was made or changed.
pub(super) fn settle(cloud: &Arc<Cloud>, resource: &Resource, existing: Option<&Resource>) {
    let given = |resource: &Resource| resource.secret.get("given").cloned();
    let failed = || {
        let view = aci::view(cloud, &resource.id.to_ascii_lowercase());
        matches!(view.provisioning, aci::Provisioning::Failed { .. })
    };
    if existing.is_none_or(|existing| {
        given(existing) != given(resource) || desired(existing) != RUNNING || failed()
    }) && let Some(group) = group_of(resource)
    {
        hold(cloud, &group);
        aci::start(cloud, group);
    }
}

/// Groups that ran before the cloud was stopped.
pub(crate) fn running(cloud: &Cloud) -> Vec<Group> {
    let resources: Vec<Resource> = cloud.arm.read(|state| {
        let wanted = |resource: &&Resource| {
            resource.kind == Kind::ContainerGroup && desired(resource) == RUNNING
        };
        state.resources.values().filter(wanted).cloned().collect()
    });
    resources.iter().filter_map(group_of).collect()
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) {
    let key = resource.id.to_ascii_lowercase();
    aci::remove(cloud, &key);
    release(cloud, &key);
}

/// How far the start of a group is, for the operation that began it.
pub(super) fn progress(cloud: &Cloud, key: &str) -> Progress {
    let kind = cloud.arm.read(|state| state.resources.get(key).map(|resource| resource.kind));
    if kind != Some(Kind::ContainerGroup) {
        return Progress::Succeeded;
    }
    match aci::view(cloud, key).provisioning {
        aci::Provisioning::Pending | aci::Provisioning::Creating => Progress::Running,
        aci::Provisioning::Succeeded => Progress::Succeeded,
        aci::Provisioning::Failed { code, message } => {
            Progress::Failed(ArmError::new(409, code, message))
        }
    }
}

/// Provisioning state, instance views and address, into the body that is shown.
pub(super) fn render(cloud: &Cloud, resource: &Resource, properties: &mut Map<String, Value>) {
    let view = aci::view(cloud, &resource.id.to_ascii_lowercase());
    let state = match &view.provisioning {
        aci::Provisioning::Pending => "Pending",
        aci::Provisioning::Creating => "Creating",
        aci::Provisioning::Succeeded => "Succeeded",
        aci::Provisioning::Failed { .. } => "Failed",
    };
    properties.insert("provisioningState".to_owned(), json!(state));
    properties
        .insert("instanceView".to_owned(), json!({ "events": view.events, "state": view.state }));
    let containers = properties.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let shown = view.containers.get(&name);
        if let (Some(shown), Some(inner)) =
            (shown, container.get_mut("properties").and_then(Value::as_object_mut))
        {
            inner.insert("instanceView".to_owned(), shown.clone());
        }
    }
}

/// `POST …/start`, `/stop`, `/restart`.
pub(super) fn act(cx: &Cx<'_>, named: &Named, action: &str) -> Answer {
    if cx.method() != Method::POST {
        return Err(method_not_allowed());
    }
    cx.permit(&format!("Microsoft.ContainerInstance/containerGroups/{action}/action"), &named.id)?;
    let mut resource = named.present(cx.cloud)?;
    let wanted = if action == "stop" { STOPPED } else { RUNNING };
    resource.secret.insert("desired".to_owned(), json!(wanted));
    let kept = resource.clone();
    cx.cloud.arm.change(|state| {
        state.resources.insert(named.key(), kept);
        Ok::<_, ArmError>(())
    })?;
    if action == "stop" || action == "restart" {
        aci::stop(cx.cloud, &named.key());
    }
    if action == "stop" {
        release(cx.cloud, &named.key());
        return Ok(Response::empty(StatusCode::NO_CONTENT));
    }
    if let Some(group) = group_of(&resource) {
        hold(cx.cloud, &group);
        aci::start(cx.cloud, group);
    }
    if action == "restart" {
        return Ok(Response::empty(StatusCode::NO_CONTENT));
    }
    let operation = Operation {
        provider: "Microsoft.ContainerInstance".to_owned(),
        location: resource.location,
        started: cx.now,
        ends: cx.now.saturating_add(LATENCY).unwrap_or(cx.now),
        follows: Some(named.key()),
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

/// `GET …/containers/NAME/logs?tail=N&timestamps=true`.
pub(super) fn logs(cx: &Cx<'_>, named: &Named, container: &str) -> Answer {
    if cx.method() != Method::GET {
        return Err(method_not_allowed());
    }
    cx.permit("Microsoft.ContainerInstance/containerGroups/containers/logs/read", &named.id)?;
    named.present(cx.cloud)?;
    let tail = match cx.request.query.value("tail") {
        None => None,
        Some(tail) => Some(
            tail.parse()
                .map_err(|_| bad_request("The value of the query parameter 'tail' is invalid."))?,
        ),
    };
    let times = if cx.request.query.value("timestamps") == Some("true") {
        aci::Timestamps::Shown
    } else {
        aci::Timestamps::Hidden
    };
    let content = aci::logs(cx.cloud, &named.key(), container, tail, times).ok_or_else(|| {
        ArmError::new(
            404,
            "ContainerNotFound",
            format!("Container '{container}' in group '{}' was not found.", named.name),
        )
    })?;
    Ok(Response::json(StatusCode::OK, &json!({ "content": content })))
}

/// The group of a resource that was accepted before.
fn group_of(resource: &Resource) -> Option<Group> {
    let given = resource.secret.get("given")?.as_object()?;
    let identities = identity_ids(&resource.top.get("identity").cloned());
    parse(
        &resource.id.to_ascii_lowercase(),
        &resource.name,
        &Object::of("properties", given),
        &identities,
    )
    .ok()
}

fn desired(resource: &Resource) -> &str {
    resource.secret.get("desired").and_then(Value::as_str).unwrap_or(STOPPED)
}

/// A running group holds its identities: the instance-metadata endpoint serves them.
fn hold(cloud: &Cloud, group: &Group) {
    super::infallible(cloud.inventory.change(|facts| {
        facts.running.insert(group.key.clone(), group.identities.clone());
        Ok(())
    }));
}

fn release(cloud: &Cloud, key: &str) {
    super::infallible(cloud.inventory.change(|facts| {
        facts.running.remove(key);
        Ok(())
    }));
}

const RUNNING: &str = "Running";
const STOPPED: &str = "Stopped";

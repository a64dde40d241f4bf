//! `Microsoft.ContainerInstance/containerGroups` (azure.md D.6). What runs is [`crate::aci`]'s.
//!
//! Confidential Linux groups only. Volumes, probes, init containers, subnets and registry passwords are refused: what is taken is done.
//! Secure values and workspace keys are kept but never returned; the CCE policy is returned.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Cx;
use super::body::Object;
use super::error::{Answer, ArmError, bad_request, method_not_allowed};
use super::operations::{self, Ending, LATENCY, Operation, Poll, Progress};
use super::resources::{Change, Draft, Named};
use super::state::{Kind, Resource};
use crate::aci::{self, Container, Group, RegistryCredential, Restart, Security};
use crate::core::{Cloud, Response, encoding};

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

fn parse(key: &str, name: &str, given: &Object<'_>, identities: &[String]) -> Answer<Group> {
    given.only(&[
        "sku",
        "osType",
        "restartPolicy",
        "confidentialComputeProperties",
        "ipAddress",
        "imageRegistryCredentials",
        "diagnostics",
        "containers",
        "volumes",
        "initContainers",
        "provisioningState",
        "instanceView",
        "isCustomProvisioningTimeout",
        "provisioningTimeoutInSeconds",
        "isCreatedFromStandbyPool",
        "priority",
    ])?;
    if given.text("sku")? != Some("Confidential") {
        return Err(invalid(
            "UnsupportedSku",
            "The local cloud runs container groups of sku 'Confidential' only.".to_owned(),
        ));
    }
    if given.text("osType")? != Some("Linux") {
        return Err(invalid("UnsupportedOsType", "The local cloud runs Linux only.".to_owned()));
    }
    for refused in ["volumes", "initContainers"] {
        if !given.list(refused)?.is_empty() {
            return Err(bad_request(format!(
                "The local cloud does not implement {refused} of container groups."
            )));
        }
    }
    let restart = match given.text("restartPolicy")? {
        None | Some("Always") => Restart::Always,
        Some("OnFailure") => Restart::OnFailure,
        Some("Never") => Restart::Never,
        Some(_) => return Err(given.wrong("restartPolicy", "Always, OnFailure or Never")),
    };
    let confidential = given.needed_object("confidentialComputeProperties")?;
    confidential.only(&["ccePolicy"])?;
    let policy_base64 = confidential.needed_text("ccePolicy")?.to_owned();
    let policy =
        encoding::from_b64(&policy_base64).filter(|policy| !policy.is_empty()).ok_or_else(
            || invalid("InvalidCcePolicy", "The ccePolicy is not valid base64.".to_owned()),
        )?;
    address(given)?;
    let mut registries = Vec::new();
    for credential in given.objects("imageRegistryCredentials")? {
        credential.only(&["server", "identity", "identityUrl", "username", "password"])?;
        if credential.value("username").or(credential.value("password")).is_some() {
            return Err(bad_request(
                "The local cloud pulls images by identity only, not by registry password.",
            ));
        }
        let identity = credential.needed_text("identity")?.to_ascii_lowercase();
        if !identities.contains(&identity) {
            return Err(invalid(
                "InvalidImageRegistryIdentity",
                "The identity of an image registry credential is not an identity of the container group.".to_owned(),
            ));
        }
        registries.push(RegistryCredential {
            server: credential.needed_text("server")?.to_ascii_lowercase(),
            identity,
        });
    }
    let containers: Vec<Container> =
        given.objects("containers")?.iter().map(container).collect::<Answer<_>>()?;
    let mut names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if containers.is_empty() || names.len() != containers.len() {
        return Err(invalid(
            "InvalidContainers",
            "A container group needs containers with different names.".to_owned(),
        ));
    }
    Ok(Group {
        key: key.to_owned(),
        name: name.to_owned(),
        policy_base64,
        policy,
        restart,
        identities: identities.to_vec(),
        registries,
        containers,
    })
}

fn container(given: &Object<'_>) -> Answer<Container> {
    given.only(&["name", "properties"])?;
    let name = given.needed_text("name")?;
    if !name_is_valid(name) {
        return Err(given.wrong("name", "a container name"));
    }
    let inner = given.needed_object("properties")?;
    inner.only(&[
        "image",
        "command",
        "ports",
        "environmentVariables",
        "resources",
        "instanceView",
        "securityContext",
        "volumeMounts",
    ])?;
    if !inner.list("volumeMounts")?.is_empty() {
        return Err(bad_request("The local cloud does not implement volumeMounts."));
    }
    let requests = inner.needed_object("resources")?.needed_object("requests")?;
    requests.only(&["cpu", "memoryInGB"])?;
    for amount in ["cpu", "memoryInGB"] {
        if requests.number(amount)?.is_none_or(|amount| amount <= 0.0) {
            return Err(requests.wrong(amount, "a positive number"));
        }
    }
    let security = security(&inner)?;
    let mut environment = Vec::new();
    for variable in inner.objects("environmentVariables")? {
        variable.only(&["name", "value", "secureValue"])?;
        let ((Some(value), None) | (None, Some(value))) =
            (variable.text("value")?, variable.text("secureValue")?)
        else {
            return Err(bad_request(
                "An environment variable needs exactly one of value and secureValue.",
            ));
        };
        environment.push((variable.needed_text("name")?.to_owned(), value.to_owned()));
    }
    Ok(Container {
        name: name.to_owned(),
        image: inner.needed_text("image")?.to_owned(),
        command: inner.texts("command")?,
        environment,
        security,
    })
}

fn security(inner: &Object<'_>) -> Answer<Security> {
    let Some(given) = inner.object("securityContext")? else { return Ok(Security::default()) };
    given.only(&[
        "privileged",
        "allowPrivilegeEscalation",
        "capabilities",
        "runAsUser",
        "runAsGroup",
    ])?;
    if given.flag("privileged")? == Some(true) {
        return Err(bad_request("The local cloud does not run privileged containers."));
    }
    let capabilities = given.object("capabilities")?;
    let list = |name: &str| match &capabilities {
        Some(capabilities) => {
            capabilities.only(&["add", "drop"]).and_then(|()| capabilities.texts(name))
        }
        None => Ok(Vec::new()),
    };
    let id = |name: &str| match given.integer(name)? {
        None => Ok(None),
        Some(id) => {
            u32::try_from(id).map(Some).map_err(|_| given.wrong(name, "a user or group number"))
        }
    };
    Ok(Security {
        no_new_privileges: given.flag("allowPrivilegeEscalation")? == Some(false),
        add: list("add")?,
        drop: list("drop")?,
        user: id("runAsUser")?,
        group: id("runAsGroup")?,
    })
}

fn address(given: &Object<'_>) -> Answer<()> {
    let Some(address) = given.object("ipAddress")? else { return Ok(()) };
    address.only(&[
        "type",
        "ports",
        "dnsNameLabel",
        "autoGeneratedDomainNameLabelScope",
        "ip",
        "fqdn",
    ])?;
    if address.text("type")? != Some("Public") {
        return Err(address.wrong("type", "Public"));
    }
    for port in address.objects("ports")? {
        port.only(&["protocol", "port"])?;
        if port.integer("port")?.is_none_or(|port| !(1..=65535).contains(&port)) {
            return Err(port.wrong("port", "a port"));
        }
    }
    Ok(())
}

/// The properties as they are returned: without secrets, with defaults and address.
fn public(given: &Object<'_>, draft: &Draft<'_>, group: &Group) -> Answer<Map<String, Value>> {
    let mut shown = given.members().clone();
    shown.retain(|name, _| !["instanceView", "provisioningState"].contains(&name.as_str()));
    let containers = shown.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(inner) = container.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        inner.remove("instanceView");
        let variables = inner.get_mut("environmentVariables").and_then(Value::as_array_mut);
        for variable in variables.into_iter().flatten().filter_map(Value::as_object_mut) {
            variable.remove("secureValue");
        }
        inner.entry("ports").or_insert_with(|| json!([]));
    }
    if let Some(analytics) = given.object("diagnostics")? {
        analytics.only(&["logAnalytics"])?;
        let inner = analytics.needed_object("logAnalytics")?;
        inner.only(&[
            "workspaceId",
            "workspaceKey",
            "logType",
            "metadata",
            "workspaceResourceId",
        ])?;
        inner.needed_text("workspaceId")?;
        inner.needed_text("workspaceKey")?;
        let inner = shown
            .get_mut("diagnostics")
            .and_then(|shown| shown.get_mut("logAnalytics"))
            .and_then(Value::as_object_mut);
        inner.map(|inner| inner.remove("workspaceKey"));
    }
    if let Some(address) = shown.get_mut("ipAddress").and_then(Value::as_object_mut) {
        address.insert("ip".to_owned(), json!(draft.cx.cloud.settings.address));
        if let Some(label) = address.get("dnsNameLabel").and_then(Value::as_str).map(str::to_owned)
        {
            address.insert(
                "fqdn".to_owned(),
                json!(format!("{label}.{}.azurecontainer.io", draft.location)),
            );
        }
    }
    let restart = match group.restart {
        Restart::Always => "Always",
        Restart::OnFailure => "OnFailure",
        Restart::Never => "Never",
    };
    shown.insert("restartPolicy".to_owned(), json!(restart));
    shown.entry("initContainers").or_insert_with(|| json!([]));
    shown.entry("isCustomProvisioningTimeout").or_insert(json!(false));
    shown.entry("provisioningTimeoutInSeconds").or_insert(json!(1800));
    shown.entry("isCreatedFromStandbyPool").or_insert(json!(false));
    Ok(shown)
}

/// What an update must not change: everything but images, commands and environments.
fn frozen(properties: &Map<String, Value>) -> Value {
    let mut frozen = properties.clone();
    let containers = frozen.get_mut("containers").and_then(Value::as_array_mut);
    for inner in containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get_mut("properties")?.as_object_mut())
    {
        for changeable in ["image", "command", "environmentVariables", "instanceView"] {
            inner.remove(changeable);
        }
    }
    frozen.retain(|name, _| !["instanceView", "provisioningState"].contains(&name.as_str()));
    Value::Object(frozen)
}

/// `identity`, with the ids of its principals as they are returned; the caller must be allowed to assign each.
fn identity(draft: &Draft<'_>) -> Answer<Option<Value>> {
    let Some(given) = draft.body.object("identity")? else { return Ok(None) };
    given.only(&["type", "userAssignedIdentities", "tenantId", "principalId"])?;
    match given.needed_text("type")? {
        "None" => return Ok(None),
        "UserAssigned" => {}
        _ => return Err(bad_request("The local cloud has user-assigned identities only.")),
    }
    let assigned = given.needed_object("userAssignedIdentities")?;
    let mut shown = Map::new();
    for id in assigned.members().keys() {
        let found = draft
            .cx
            .cloud
            .inventory
            .read(|facts| facts.identities.get(&id.to_ascii_lowercase()).cloned());
        let identity = found.ok_or_else(|| {
            invalid("FailedIdentityOperation", format!("The identity '{id}' was not found."))
        })?;
        draft.cx.permit_linked(
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            &identity.id,
            &draft.named.id,
        )?;
        shown.insert(
            identity.id.clone(),
            json!({ "principalId": identity.principal_id, "clientId": identity.client_id }),
        );
    }
    Ok(Some(json!({ "type": "UserAssigned", "userAssignedIdentities": shown })))
}

fn identity_ids(identity: &Option<Value>) -> Vec<String> {
    let ids = identity
        .as_ref()
        .and_then(|identity| identity.get("userAssignedIdentities"))
        .and_then(Value::as_object);
    ids.into_iter().flat_map(Map::keys).map(|id| id.to_ascii_lowercase()).collect()
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

fn name_is_valid(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn invalid(code: &str, message: String) -> ArmError {
    ArmError::new(400, code, message)
}

const RUNNING: &str = "Running";
const STOPPED: &str = "Stopped";

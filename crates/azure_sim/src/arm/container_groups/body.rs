//! The body of a container group: what is taken, what runs of it, and what is shown of it.

use serde_json::{Map, Value, json};

use super::super::body::Object;
use super::super::error::{Answer, ArmError, bad_request};
use super::super::resources::Draft;
use crate::aci::{Container, Group, RegistryCredential, Restart, Security};
use crate::core::encoding;

pub(super) fn parse(
    key: &str,
    name: &str,
    given: &Object<'_>,
    identities: &[String],
) -> Answer<Group> {
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
pub(super) fn public(
    given: &Object<'_>,
    draft: &Draft<'_>,
    group: &Group,
) -> Answer<Map<String, Value>> {
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
pub(super) fn frozen(properties: &Map<String, Value>) -> Value {
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
pub(super) fn identity(draft: &Draft<'_>) -> Answer<Option<Value>> {
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

pub(super) fn identity_ids(identity: &Option<Value>) -> Vec<String> {
    let ids = identity
        .as_ref()
        .and_then(|identity| identity.get("userAssignedIdentities"))
        .and_then(Value::as_object);
    ids.into_iter().flat_map(Map::keys).map(|id| id.to_ascii_lowercase()).collect()
}

pub(super) fn name_is_valid(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

pub(super) fn invalid(code: &str, message: String) -> ArmError {
    ArmError::new(400, code, message)
}

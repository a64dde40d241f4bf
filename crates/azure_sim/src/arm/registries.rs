//! `Microsoft.ContainerRegistry/registries`. Source: the provider's specification, 2023-07-01; images themselves are in [`crate::registry`].

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Cx;
use super::body::Object;
use super::error::{Answer, ArmError, bad_request, method_not_allowed};
use super::resources::{Change, Draft};
use super::state::{Kind, Resource};
use crate::core::{Cloud, Response};

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    if !name_is_valid(name) {
        return Err(bad_request(format!(
            "The registry name '{name}' is invalid: it may contain alpha numeric characters only and must be between 5 and 50 characters."
        )));
    }
    if draft.existing.is_none() && super::registry_named(draft.cx.cloud, name).is_some() {
        return Err(ArmError::new(
            409,
            "AlreadyInUse",
            format!(
                "The registry DNS name {}.azurecr.io is already in use.",
                name.to_ascii_lowercase()
            ),
        ));
    }
    let empty = Map::new();
    let given =
        draft.body.object("properties")?.unwrap_or_else(|| Object::of("properties", &empty));
    given.only(&[
        "adminUserEnabled",
        "publicNetworkAccess",
        "zoneRedundancy",
        "anonymousPullEnabled",
        "dataEndpointEnabled",
        "policies",
        "networkRuleBypassOptions",
        "encryption",
        "loginServer",
        "creationDate",
        "provisioningState",
        "status",
        "networkRuleSet",
        "dataEndpointHostNames",
        "privateEndpointConnections",
    ])?;
    for refused in ["adminUserEnabled", "anonymousPullEnabled"] {
        if given.flag(refused)? == Some(true) {
            return Err(bad_request(format!("The local cloud does not implement {refused}.")));
        }
    }
    let sku = match (draft.body.object("sku")?, draft.existing) {
        (Some(sku), _) => {
            sku.only(&["name", "tier"])?;
            match sku.needed_text("name")? {
                tier @ ("Basic" | "Standard" | "Premium") => json!({ "name": tier, "tier": tier }),
                _ => return Err(sku.wrong("name", "Basic, Standard or Premium")),
            }
        }
        (None, Some(existing)) if draft.change == Change::Merge => {
            existing.top.get("sku").cloned().unwrap_or(Value::Null)
        }
        (None, _) => return Err(draft.body.missing("sku")),
    };
    let created = draft.existing.map_or(draft.cx.now, |existing| existing.created);
    let mut properties = match (draft.existing, draft.change) {
        (Some(existing), Change::Merge) => existing.properties.clone(),
        _ => Map::new(),
    };
    let mut default = |name: &str, value: Value| {
        properties.entry(name).or_insert(value);
    };
    default("loginServer", json!(format!("{}.azurecr.io", name.to_ascii_lowercase())));
    default("creationDate", json!(created.to_string()));
    default("adminUserEnabled", json!(false));
    default("anonymousPullEnabled", json!(false));
    default("dataEndpointEnabled", json!(false));
    default("publicNetworkAccess", json!("Enabled"));
    default("networkRuleBypassOptions", json!("AzureServices"));
    default("zoneRedundancy", json!("Disabled"));
    for name in ["publicNetworkAccess", "zoneRedundancy", "networkRuleBypassOptions", "policies"] {
        if let Some(value) = given.value(name) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    let mut top = Map::new();
    top.insert("sku".to_owned(), sku);
    Ok(Resource {
        kind: Kind::Registry,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top,
        properties,
        secret: Map::new(),
        created,
        ready: draft.existing.map_or(draft.cx.now, |existing| existing.ready),
    })
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) -> Answer<()> {
    crate::registry::remove(cloud, &resource.name.to_ascii_lowercase())
        .map_err(|cause| ArmError::new(500, "InternalServerError", cause.to_string()))
}

/// `POST …/checkNameAvailability`.
pub(super) fn check_name(cx: &Cx<'_>, name: &str) -> Answer {
    if cx.method() != Method::POST {
        return Err(method_not_allowed());
    }
    let (reason, message) = if !name_is_valid(name) {
        ("Invalid", "The specified resource name is invalid".to_owned())
    } else if super::registry_named(cx.cloud, name).is_some() {
        ("AlreadyExists", format!("The registry {name} is already in use."))
    } else {
        return Ok(Response::json(StatusCode::OK, &json!({ "nameAvailable": true })));
    };
    Ok(Response::json(
        StatusCode::OK,
        &json!({ "nameAvailable": false, "reason": reason, "message": message }),
    ))
}

fn name_is_valid(name: &str) -> bool {
    (5..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

//! `Microsoft.OperationalInsights/workspaces` (azure.md F.2). Nothing is ingested; the keys exist so that a group can be given one.

use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Cx;
use super::body::Object;
use super::error::{Answer, bad_request, method_not_allowed};
use super::resources::{Change, Draft, Named};
use super::state::{Kind, Resource};
use crate::core::{Response, encoding};

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    let valid = (4..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !valid {
        return Err(bad_request(format!("The workspace name '{name}' is invalid.")));
    }
    let empty = Map::new();
    let given =
        draft.body.object("properties")?.unwrap_or_else(|| Object::of("properties", &empty));
    given.only(&[
        "sku",
        "retentionInDays",
        "publicNetworkAccessForIngestion",
        "publicNetworkAccessForQuery",
        "workspaceCapping",
        "features",
        "customerId",
        "provisioningState",
        "createdDate",
        "modifiedDate",
    ])?;
    let (mut properties, secret, created) = match draft.existing {
        Some(existing) => (existing.properties.clone(), existing.secret.clone(), existing.created),
        None => {
            let mut properties = Map::new();
            properties.insert("customerId".to_owned(), json!(Uuid::new_v4()));
            properties.insert("createdDate".to_owned(), json!(draft.cx.now.to_string()));
            let mut secret = Map::new();
            for key in ["primarySharedKey", "secondarySharedKey"] {
                secret.insert(key.to_owned(), json!(encoding::b64(super::random::<64>()?)));
            }
            (properties, secret, draft.cx.now)
        }
    };
    if draft.existing.is_none() || draft.change == Change::Replace {
        properties.insert("sku".to_owned(), json!({ "name": "PerGB2018" }));
        properties.insert("retentionInDays".to_owned(), json!(30));
        properties.insert("publicNetworkAccessForIngestion".to_owned(), json!("Enabled"));
        properties.insert("publicNetworkAccessForQuery".to_owned(), json!("Enabled"));
    }
    if let Some(days) = given.integer("retentionInDays")? {
        if !(7..=730).contains(&days) {
            return Err(bad_request("'RetentionInDays' property doesn't match the SKU limits."));
        }
        properties.insert("retentionInDays".to_owned(), json!(days));
    }
    for name in [
        "sku",
        "publicNetworkAccessForIngestion",
        "publicNetworkAccessForQuery",
        "workspaceCapping",
        "features",
    ] {
        if let Some(value) = given.value(name) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    properties.insert("modifiedDate".to_owned(), json!(draft.cx.now.to_string()));
    Ok(Resource {
        kind: Kind::Workspace,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top: Map::new(),
        properties,
        secret,
        created,
        ready: draft.existing.map_or(draft.cx.now, |existing| existing.ready),
    })
}

/// `POST …/sharedKeys`.
pub(super) fn shared_keys(cx: &Cx<'_>, named: &Named) -> Answer {
    if cx.method() != http::Method::POST {
        return Err(method_not_allowed());
    }
    cx.permit("Microsoft.OperationalInsights/workspaces/sharedKeys/action", &named.id)?;
    let resource = named.present(cx.cloud)?;
    Ok(Response::json(StatusCode::OK, &Value::Object(resource.secret)))
}

//! `Microsoft.ManagedIdentity/userAssignedIdentities` (azure.md F.2).

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::{Answer, bad_request};
use super::resources::Draft;
use super::state::{Kind, Resource};
use crate::core::Cloud;
use crate::core::inventory::Identity;

pub(super) fn draft(draft: &Draft<'_>) -> Answer<Resource> {
    let name = &draft.named.name;
    let valid = (3..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !valid {
        return Err(bad_request(format!("The identity name '{name}' is invalid.")));
    }
    if let Some(existing) = draft.existing {
        return Ok(existing.clone());
    }
    let mut properties = Map::new();
    properties.insert("tenantId".to_owned(), json!(draft.cx.cloud.settings.tenant));
    properties.insert("principalId".to_owned(), json!(Uuid::new_v4()));
    properties.insert("clientId".to_owned(), json!(Uuid::new_v4()));
    Ok(Resource {
        kind: Kind::Identity,
        id: draft.named.id.clone(),
        name: name.clone(),
        group: draft.named.group.clone(),
        location: draft.location.to_owned(),
        tags: std::collections::BTreeMap::new(),
        top: Map::new(),
        properties,
        secret: Map::new(),
        created: draft.cx.now,
        ready: draft.cx.now,
    })
}

pub(super) fn publish(cloud: &Arc<Cloud>, resource: &Resource) -> Answer<()> {
    let id = |name: &str| {
        let text = resource.properties.get(name).and_then(Value::as_str);
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| bad_request(format!("the identity has no {name}")))
    };
    let identity = Identity {
        id: resource.id.clone(),
        client_id: id("clientId")?,
        principal_id: id("principalId")?,
    };
    cloud.inventory.change(|facts| {
        facts.identities.insert(resource.id.to_ascii_lowercase(), identity);
        Ok(())
    })
}

pub(super) fn withdraw(cloud: &Cloud, resource: &Resource) {
    super::infallible(cloud.inventory.change(|facts| {
        facts.identities.remove(&resource.id.to_ascii_lowercase());
        Ok(())
    }));
}

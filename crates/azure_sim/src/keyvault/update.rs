//! Changing a key's attributes, tags, operations and release policy in place (azure.md C.5).

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::access::{Access, granted};
use super::bundle::key_bundle;
use super::create::{RawAttributes, RawReleasePolicy};
use super::errors::{Thing, bad};
use super::rules::{may_replace_policy, operations};
use super::state::StoredPolicy;
use crate::core::Response;

#[derive(Deserialize)]
struct RawUpdate {
    key_ops: Option<Vec<String>>,
    attributes: Option<RawAttributes>,
    tags: Option<BTreeMap<String, String>>,
    release_policy: Option<RawReleasePolicy>,
}

/// `PATCH /keys/{n}[/{v}]`.
pub(super) fn update_key(
    access: &Access<'_>,
    name: &str,
    version: &str,
) -> Result<Response, Response> {
    let assignment = access.authorize("keys/update/action", Some(&format!("keys/{name}")))?;
    let raw: RawUpdate = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    if raw.release_policy.is_some() && !version.is_empty() {
        return Err(bad("AKV.SKR.1016: Release policy can only be set on versionless key."));
    }
    let policy = raw.release_policy.as_ref().map(RawReleasePolicy::store).transpose()?;
    let now = access.now();
    let bundle = access.cloud.keyvault.change(|state| {
        let missing = || Thing::Key.not_found(name);
        let key = state.key_mut(access.cloud, &access.key, name).ok_or_else(missing)?;
        may_replace_policy(key, policy.as_ref())?;
        let wanted = if version.is_empty() { key.latest.clone() } else { version.to_owned() };
        let changed = key.versions.get_mut(&wanted).ok_or_else(missing)?;
        if let Some(attributes) = raw.attributes {
            if attributes.exportable.is_some_and(|exportable| exportable != changed.exportable) {
                return Err(bad("AKV.SKR.1014: The exportable state of a key cannot be modified."));
            }
            changed.attributes.enabled = attributes.enabled.unwrap_or(changed.attributes.enabled);
            changed.attributes.nbf = attributes.nbf.or(changed.attributes.nbf);
            changed.attributes.exp = attributes.exp.or(changed.attributes.exp);
        }
        if policy.is_some() && !changed.exportable {
            return Err(bad("AKV.SKR.1005: Non-exportable keys must not have release policy."));
        }
        if let Some(wanted) = raw.key_ops {
            changed.operations = operations(changed.kty, Some(wanted))?;
        }
        if let Some(tags) = raw.tags {
            changed.tags = tags;
        }
        changed.attributes.updated = now;
        if let Some(policy) = policy {
            let immutable =
                policy.immutable || key.release_policy.as_ref().is_some_and(|old| old.immutable);
            key.release_policy = Some(StoredPolicy { immutable, ..policy });
        }
        let (id, version) = key.version(version).ok_or_else(missing)?;
        Ok(key_bundle(access, key, id, version))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(bundle)), &assignment)
        .operation("keyvault.keys.update"))
}

//! Reading keys: get, lists (azure.md C.2).

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::access::{Access, granted};
use super::bundle::{deleted, key_bundle, key_item};
use super::errors::Thing;
use super::paging::page;
use super::state::{KeyObject, Standing};
use crate::core::Response;

/// `GET /keys/{n}[/{v}]`. A disabled key still shows its public half (azure.md C.6).
pub(super) fn get(access: &Access<'_>, name: &str, version: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/read", Some(&format!("keys/{name}")))?;
    let bundle = access.cloud.keyvault.read(|state| {
        let key = state.key(access.cloud, &access.key, name)?;
        let (id, version) = key.version(version)?;
        Some(key_bundle(access, key, id, version))
    });
    let missing = if version.is_empty() { name.to_owned() } else { format!("{name}/{version}") };
    let bundle =
        bundle.ok_or_else(|| Thing::Key.not_found(&missing).operation("keyvault.keys.get"))?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(bundle)), &assignment)
        .operation("keyvault.keys.get"))
}

/// `GET /keys`.
pub(super) fn list(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("keys/read", None)?;
    let items = collect(access, Standing::Active, |key| {
        let (_, version) = key.version("")?;
        Some(key_item(access, key, None, version))
    });
    Ok(granted(page(access, "/keys", items.into_iter())?, &assignment)
        .operation("keyvault.keys.list"))
}

/// `GET /deletedkeys`.
pub(super) fn list_deleted(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("keys/read", None)?;
    let items = collect(access, Standing::Deleted, |key| {
        let (_, version) = key.version("")?;
        object(deleted(access, key_item(access, key, None, version), "keys", &key.name, &key.phase))
    });
    Ok(granted(page(access, "/deletedkeys", items.into_iter())?, &assignment)
        .operation("keyvault.deletedkeys.list"))
}

/// `GET /keys/{n}/versions`: ordered by version id, not by time (azure.md §0, surprise 11); empty if there is no such key.
pub(super) fn versions(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/read", Some(&format!("keys/{name}")))?;
    let items: Vec<(String, Map<String, Value>)> = access.cloud.keyvault.read(|state| {
        let Some(key) = state.key(access.cloud, &access.key, name) else { return Vec::new() };
        key.versions
            .iter()
            .map(|(id, version)| (id.clone(), key_item(access, key, Some(id), version)))
            .collect()
    });
    let path = format!("/keys/{name}/versions");
    Ok(granted(page(access, &path, items.into_iter())?, &assignment)
        .operation("keyvault.keys.versions"))
}

fn collect(
    access: &Access<'_>,
    standing: Standing,
    item: impl Fn(&KeyObject) -> Option<Map<String, Value>>,
) -> Vec<(String, Map<String, Value>)> {
    access.cloud.keyvault.read(|state| {
        let Some(vault) = state.vaults.get(&access.key) else { return Vec::new() };
        vault
            .keys
            .iter()
            .filter(|(_, key)| key.phase.standing(access.cloud) == standing)
            .filter_map(|(marker, key)| Some((marker.clone(), item(key)?)))
            .collect()
    })
}

/// `deleted` always makes an object.
pub(super) fn object(value: Value) -> Option<Map<String, Value>> {
    if let Value::Object(map) = value { Some(map) } else { None }
}

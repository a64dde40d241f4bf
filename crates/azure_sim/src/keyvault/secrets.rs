//! Secrets (azure.md C.6).

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Access, granted};
use super::backup;
use super::bundle::{Reveal, deleted, secret_bundle, secret_item};
use super::create::RawAttributes;
use super::errors::{Thing, bad, forbidden, refusal};
use super::keys::object;
use super::lifecycle::{deletion, may_end, refuse_purge};
use super::paging::page;
use super::rules::check_name;
use super::state::{Attributes, Phase, SecretObject, SecretVersion, Standing};
use crate::core::Response;

#[derive(Deserialize)]
struct RawSet {
    value: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    attributes: RawAttributes,
}

/// Calls below `/secrets` and `/deletedsecrets`.
pub(super) fn route(
    access: &Access<'_>,
    method: &Method,
    path: &[&str],
) -> Result<Response, Response> {
    match (method, path) {
        (&Method::GET, ["secrets"]) => list(access),
        (&Method::GET, ["secrets", name]) => get(access, name, ""),
        (&Method::GET, ["secrets", name, "versions"]) => versions(access, name),
        (&Method::GET, ["secrets", name, version]) => get(access, name, version),
        (&Method::PUT, ["secrets", name]) => set(access, name),
        (&Method::PATCH, ["secrets", name]) => update(access, name, ""),
        (&Method::PATCH, ["secrets", name, version]) => update(access, name, version),
        (&Method::DELETE, ["secrets", name]) => delete(access, name),
        (&Method::POST, ["secrets", "restore"]) => backup::restore_secret(access),
        (&Method::POST, ["secrets", name, "backup"]) => backup::backup_secret(access, name),
        (&Method::GET, ["deletedsecrets"]) => list_deleted(access),
        (&Method::GET, ["deletedsecrets", name]) => get_deleted(access, name),
        (&Method::POST, ["deletedsecrets", name, "recover"]) => recover(access, name),
        (&Method::DELETE, ["deletedsecrets", name]) => purge(access, name),
        _ => {
            let message = format!(
                "The local cloud does not serve {method} {} of a vault.",
                access.request.path
            );
            Err(refusal(StatusCode::NOT_FOUND, "NotFound", &message))
        }
    }
}

/// `PUT /secrets/{n}`: always another version.
fn set(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment =
        access.authorize("secrets/setSecret/action", Some(&format!("secrets/{name}")))?;
    check_name(name)?;
    let raw: RawSet = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    // Both texts are ours; the limit is azure.md C.6's (of memory).
    let value = raw.value.ok_or_else(|| bad("Property value is required."))?;
    if value.len() > MAX_VALUE {
        return Err(bad(&format!("The value is longer than {MAX_VALUE} bytes.")));
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let now = access.now();
    let version = SecretVersion {
        value,
        content_type: raw.content_type,
        attributes: Attributes {
            enabled: raw.attributes.enabled.unwrap_or(true),
            nbf: raw.attributes.nbf,
            exp: raw.attributes.exp,
            created: now,
            updated: now,
        },
        tags: raw.tags.unwrap_or_default(),
    };
    let body = access.cloud.keyvault.change(|state| {
        let secrets = &mut state.vault(&access.key).secrets;
        let slot = name.to_ascii_uppercase();
        if let Some(old) = secrets.get(&slot) {
            old.phase.writable(access.cloud, Thing::Secret, name)?;
            if old.phase.standing(access.cloud) == Standing::Gone {
                secrets.remove(&slot);
            }
        }
        let secret = secrets.entry(slot).or_insert_with(|| SecretObject {
            name: name.to_owned(),
            latest: String::new(),
            versions: BTreeMap::new(),
            phase: Phase::Active,
        });
        secret.phase = Phase::Active;
        secret.latest.clone_from(&id);
        secret.versions.insert(id, version);
        let (id, version) = secret.version("").ok_or_else(|| Thing::Secret.not_found(name))?;
        Ok::<_, Response>(secret_bundle(access, secret, id, version, Reveal::Value))
    })?;
    Ok(granted(ok(body), &assignment).operation("keyvault.secrets.set"))
}

/// `GET /secrets/{n}[/{v}]`; a disabled one is refused.
fn get(access: &Access<'_>, name: &str, version: &str) -> Result<Response, Response> {
    let assignment =
        access.authorize("secrets/getSecret/action", Some(&format!("secrets/{name}")))?;
    let found = access.cloud.keyvault.read(|state| {
        let secret = state.secret(access.cloud, &access.key, name)?;
        let (id, version) = secret.version(version)?;
        Some((
            version.attributes.enabled,
            secret_bundle(access, secret, id, version, Reveal::Value),
        ))
    });
    let missing = if version.is_empty() { name.to_owned() } else { format!("{name}/{version}") };
    let (enabled, body) =
        found.ok_or_else(|| Thing::Secret.not_found(&missing).operation("keyvault.secrets.get"))?;
    if !enabled {
        return Err(forbidden(
            "Operation get is not allowed on a disabled secret.",
            "SecretDisabled",
        ));
    }
    Ok(granted(ok(body), &assignment).operation("keyvault.secrets.get"))
}

/// `PATCH /secrets/{n}/{v}`: the answer has no value but always `tags` (recorded).
fn update(access: &Access<'_>, name: &str, version: &str) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/update/action", Some(&format!("secrets/{name}")))?;
    let raw: RawSet = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    if raw.value.is_some() {
        // The text is ours.
        return Err(bad(
            "The value of a secret cannot be changed; set the secret to make another version.",
        ));
    }
    let now = access.now();
    let body = access.cloud.keyvault.change(|state| {
        let missing = || Thing::Secret.not_found(name);
        let secret = state.secret_mut(access.cloud, &access.key, name).ok_or_else(missing)?;
        let wanted = if version.is_empty() { secret.latest.clone() } else { version.to_owned() };
        let changed = secret.versions.get_mut(&wanted).ok_or_else(missing)?;
        changed.attributes.enabled = raw.attributes.enabled.unwrap_or(changed.attributes.enabled);
        changed.attributes.nbf = raw.attributes.nbf.or(changed.attributes.nbf);
        changed.attributes.exp = raw.attributes.exp.or(changed.attributes.exp);
        changed.attributes.updated = now;
        if let Some(media_type) = raw.content_type {
            changed.content_type = Some(media_type);
        }
        if let Some(tags) = raw.tags {
            changed.tags = tags;
        }
        let (id, version) = secret.version(&wanted).ok_or_else(missing)?;
        let mut body = secret_bundle(access, secret, id, version, Reveal::Metadata);
        body.entry("tags").or_insert_with(|| json!({}));
        Ok::<_, Response>(body)
    })?;
    Ok(granted(ok(body), &assignment).operation("keyvault.secrets.update"))
}

/// `GET /secrets`.
fn list(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/readMetadata/action", None)?;
    let items = collect(access, Standing::Active, |secret| {
        let (_, version) = secret.version("")?;
        Some(secret_item(access, secret, None, version))
    });
    Ok(granted(page(access, "/secrets", items.into_iter())?, &assignment)
        .operation("keyvault.secrets.list"))
}

/// `GET /deletedsecrets`.
fn list_deleted(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/readMetadata/action", None)?;
    let items = collect(access, Standing::Deleted, |secret| {
        let (_, version) = secret.version("")?;
        object(deleted(
            access,
            secret_item(access, secret, None, version),
            "secrets",
            &secret.name,
            &secret.phase,
        ))
    });
    Ok(granted(page(access, "/deletedsecrets", items.into_iter())?, &assignment)
        .operation("keyvault.deletedsecrets.list"))
}

/// `GET /secrets/{n}/versions`, ordered by version id.
fn versions(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment =
        access.authorize("secrets/readMetadata/action", Some(&format!("secrets/{name}")))?;
    let items: Vec<(String, Map<String, Value>)> = access.cloud.keyvault.read(|state| {
        let Some(secret) = state.secret(access.cloud, &access.key, name) else { return Vec::new() };
        secret
            .versions
            .iter()
            .map(|(id, version)| (id.clone(), secret_item(access, secret, Some(id), version)))
            .collect()
    });
    let path = format!("/secrets/{name}/versions");
    Ok(granted(page(access, &path, items.into_iter())?, &assignment)
        .operation("keyvault.secrets.versions"))
}

/// `DELETE /secrets/{n}`: the answer has no value (recorded).
fn delete(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/delete", Some(&format!("secrets/{name}")))?;
    let phase = deletion(access);
    let body = access.cloud.keyvault.change(|state| {
        let missing = || Thing::Secret.not_found(name);
        let secret = state.secret_mut(access.cloud, &access.key, name).ok_or_else(missing)?;
        secret.phase = phase;
        let (id, version) = secret.version("").ok_or_else(missing)?;
        let bundle = secret_bundle(access, secret, id, version, Reveal::Metadata);
        Ok::<_, Response>(deleted(access, bundle, "secrets", &secret.name, &secret.phase))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.secrets.delete"))
}

/// `GET /deletedsecrets/{n}`: 404 while it is being deleted.
fn get_deleted(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment =
        access.authorize("secrets/readMetadata/action", Some(&format!("secrets/{name}")))?;
    let body = access.cloud.keyvault.read(|state| {
        let secret = state.vaults.get(&access.key)?.secrets.get(&name.to_ascii_uppercase())?;
        if secret.phase.standing(access.cloud) != Standing::Deleted {
            return None;
        }
        let (id, version) = secret.version("")?;
        let bundle = secret_bundle(access, secret, id, version, Reveal::Metadata);
        Some(deleted(access, bundle, "secrets", &secret.name, &secret.phase))
    });
    let body = body.ok_or_else(|| Thing::Secret.deleted_not_found(name))?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.deletedsecrets.get"))
}

/// `POST /deletedsecrets/{n}/recover`: for a while GET still says 404 (recorded).
fn recover(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment =
        access.authorize("secrets/recover/action", Some(&format!("secrets/{name}")))?;
    let at = access.cloud.now();
    let body = access.cloud.keyvault.change(|state| {
        let missing = || Thing::Secret.deleted_not_found(name);
        let secret = state
            .vault(&access.key)
            .secrets
            .get_mut(&name.to_ascii_uppercase())
            .ok_or_else(missing)?;
        may_end(secret.phase.standing(access.cloud), Thing::Secret, name)?;
        secret.phase = Phase::Recovered { at };
        let (id, version) = secret.version("").ok_or_else(missing)?;
        Ok::<_, Response>(secret_bundle(access, secret, id, version, Reveal::Metadata))
    })?;
    Ok(granted(ok(body), &assignment).operation("keyvault.deletedsecrets.recover"))
}

/// `DELETE /deletedsecrets/{n}`: for good.
fn purge(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/purge/action", Some(&format!("secrets/{name}")))?;
    refuse_purge(access)?;
    access.cloud.keyvault.change(|state| {
        let secrets = &mut state.vault(&access.key).secrets;
        let slot = name.to_ascii_uppercase();
        let standing =
            secrets.get(&slot).map_or(Standing::Gone, |secret| secret.phase.standing(access.cloud));
        may_end(standing, Thing::Secret, name)?;
        secrets.remove(&slot);
        Ok::<_, Response>(())
    })?;
    Ok(granted(Response::empty(StatusCode::NO_CONTENT), &assignment)
        .operation("keyvault.deletedsecrets.purge"))
}

fn collect(
    access: &Access<'_>,
    standing: Standing,
    item: impl Fn(&SecretObject) -> Option<Map<String, Value>>,
) -> Vec<(String, Map<String, Value>)> {
    access.cloud.keyvault.read(|state| {
        let Some(vault) = state.vaults.get(&access.key) else { return Vec::new() };
        vault
            .secrets
            .iter()
            .filter(|(_, secret)| secret.phase.standing(access.cloud) == standing)
            .filter_map(|(marker, secret)| Some((marker.clone(), item(secret)?)))
            .collect()
    })
}

fn ok(body: Map<String, Value>) -> Response {
    Response::json(StatusCode::OK, &Value::Object(body))
}

const MAX_VALUE: usize = 25 * 1024;

//! The life of a key: delete, recover, purge, rotate (azure.md C.2, C.6, §0 surprise 10).

use aws_lc_rs::rand;
use hyper::StatusCode;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::access::{Access, granted};
use super::bundle::{deleted, key_bundle};
use super::create::{add_version, internal, shape_of};
use super::errors::{Thing, bad, forbidden};
use super::hsm::{self, KeyPair};
use super::state::{Attributes, KeyVersion, Phase, Standing};
use crate::core::Response;

/// `DELETE /keys/{n}`.
pub(super) fn delete_key(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/delete", Some(&format!("keys/{name}")))?;
    let phase = deletion(access);
    let body = access.cloud.keyvault.change(|state| {
        let key = state
            .key_mut(access.cloud, &access.key, name)
            .ok_or_else(|| Thing::Key.not_found(name))?;
        key.phase = phase;
        let (id, version) = key.version("").ok_or_else(|| Thing::Key.not_found(name))?;
        Ok::<_, Response>(deleted(
            access,
            key_bundle(access, key, id, version),
            "keys",
            &key.name,
            &key.phase,
        ))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.keys.delete"))
}

/// The phase of an object that is deleted now.
pub(super) fn deletion(access: &Access<'_>) -> Phase {
    let at = access.cloud.now();
    Phase::Deleted { at, purge: at.as_second() + i64::from(access.vault.retention_days) * 86_400 }
}

/// `GET /deletedkeys/{n}`: 404 while it is being deleted.
pub(super) fn deleted_key(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/read", Some(&format!("keys/{name}")))?;
    let body = access.cloud.keyvault.read(|state| {
        let key = state.vaults.get(&access.key)?.keys.get(&name.to_ascii_uppercase())?;
        if key.phase.standing(access.cloud) != Standing::Deleted {
            return None;
        }
        let (id, version) = key.version("")?;
        Some(deleted(access, key_bundle(access, key, id, version), "keys", &key.name, &key.phase))
    });
    let body = body.ok_or_else(|| Thing::Key.deleted_not_found(name))?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.deletedkeys.get"))
}

/// `POST /deletedkeys/{n}/recover`.
pub(super) fn recover_key(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/recover/action", Some(&format!("keys/{name}")))?;
    let at = access.cloud.now();
    let body = access.cloud.keyvault.change(|state| {
        let missing = || Thing::Key.deleted_not_found(name);
        let key = state
            .vault(&access.key)
            .keys
            .get_mut(&name.to_ascii_uppercase())
            .ok_or_else(missing)?;
        may_end(key.phase.standing(access.cloud), Thing::Key, name)?;
        key.phase = Phase::Recovered { at };
        let (id, version) = key.version("").ok_or_else(missing)?;
        Ok::<_, Response>(key_bundle(access, key, id, version))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(body)), &assignment)
        .operation("keyvault.deletedkeys.recover"))
}

/// `DELETE /deletedkeys/{n}`: for good.
pub(super) fn purge_key(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/purge/action", Some(&format!("keys/{name}")))?;
    refuse_purge(access)?;
    let purged = access.cloud.keyvault.change(|state| {
        let keys = &mut state.vault(&access.key).keys;
        let slot = name.to_ascii_uppercase();
        let standing = keys.get(&slot).map(|key| key.phase.standing(access.cloud));
        may_end(standing.unwrap_or(Standing::Gone), Thing::Key, name)?;
        keys.remove(&slot).ok_or_else(|| Thing::Key.deleted_not_found(name))
    })?;
    hsm::forget(access.cloud, &purged);
    Ok(granted(Response::empty(StatusCode::NO_CONTENT), &assignment)
        .operation("keyvault.deletedkeys.purge"))
}

/// May the deleted state be left, by recovery or purge?
pub(super) fn may_end(standing: Standing, thing: Thing, name: &str) -> Result<(), Response> {
    match standing {
        Standing::Deleted => Ok(()),
        Standing::Deleting => Err(thing.being_deleted(name)),
        Standing::Recovering => Err(thing.being_recovered(name)),
        Standing::Active | Standing::Gone => Err(thing.deleted_not_found(name)),
    }
}

/// Purge protection (azure.md C.6, status of memory; the text is ours).
pub(super) fn refuse_purge(access: &Access<'_>) -> Result<(), Response> {
    if access.vault.purge_protection {
        let message = format!(
            "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.\r\nVault: {};location={}",
            access.vault.name, access.vault.location
        );
        return Err(forbidden(&message, "ForbiddenByPurgeProtection"));
    }
    Ok(())
}

/// `GET /keys/{n}/rotationpolicy`; the default is the service's (a notice 30 days before expiry).
pub(super) fn rotation_policy(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access
        .authorize("keyrotationpolicies/read", Some(&format!("keyrotationpolicies/{name}")))?;
    let body = access.cloud.keyvault.read(|state| {
        let key = state.key(access.cloud, &access.key, name)?;
        Some(key.rotation_policy.clone().unwrap_or_else(|| {
            json!({
                "id": format!("{}/keys/{}/rotationpolicy", access.base(), key.name),
                "lifetimeActions": [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}],
                "attributes": {"expiryTime": null},
            })
        }))
    });
    let body = body.ok_or_else(|| Thing::Key.not_found(name))?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.keys.rotationpolicy"))
}

/// `PUT /keys/{n}/rotationpolicy`. Stored and shown; nothing rotates of itself here.
pub(super) fn set_rotation_policy(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access
        .authorize("keyrotationpolicies/write", Some(&format!("keyrotationpolicies/{name}")))?;
    let raw: Value = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let expiry = raw.pointer("/attributes/expiryTime").and_then(Value::as_str);
    if expiry.is_some_and(|text| text.parse::<Span>().is_err()) {
        return Err(bad("The expiryTime is not an ISO 8601 duration."));
    }
    let now = access.now();
    let body = access.cloud.keyvault.change(|state| {
        let key = state
            .key_mut(access.cloud, &access.key, name)
            .ok_or_else(|| Thing::Key.not_found(name))?;
        let created = key
            .rotation_policy
            .as_ref()
            .and_then(|old| old.pointer("/attributes/created").and_then(Value::as_i64));
        let mut attributes = json!({"created": created.unwrap_or(now), "updated": now});
        if let (Some(expiry), Some(attributes)) = (expiry, attributes.as_object_mut()) {
            attributes.insert("expiryTime".to_owned(), json!(expiry));
        }
        let policy = json!({
            "id": format!("{}/keys/{}/rotationpolicy", access.base(), key.name),
            "lifetimeActions": raw.get("lifetimeActions").cloned().unwrap_or_else(|| json!([])),
            "attributes": attributes,
        });
        key.rotation_policy = Some(policy.clone());
        Ok::<_, Response>(policy)
    })?;
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment)
        .operation("keyvault.keys.setrotationpolicy"))
}

/// `POST /keys/{n}/rotate`: another version of the same kind; expires as the rotation policy says.
pub(super) fn rotate(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/rotate/action", Some(&format!("keys/{name}")))?;
    let missing = || Thing::Key.not_found(name);
    let (old, policy) = access
        .cloud
        .keyvault
        .read(|state| {
            let key = state.key(access.cloud, &access.key, name)?;
            let (_, version) = key.version("")?;
            Some((version.clone(), key.rotation_policy.clone()))
        })
        .ok_or_else(missing)?;
    let pair = KeyPair::generate(shape_of(&old.public)).map_err(internal)?;
    let public =
        pair.public().ok_or_else(|| internal(std::io::Error::other("reading a public key")))?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    pair.keep(access.cloud, &id).map_err(internal)?;
    let now = access.cloud.now();
    let exp = policy
        .as_ref()
        .and_then(|policy| policy.pointer("/attributes/expiryTime")?.as_str()?.parse::<Span>().ok())
        .and_then(|span| after(now, span));
    let version = KeyVersion {
        public,
        attributes: Attributes {
            enabled: true,
            nbf: None,
            exp,
            created: now.as_second(),
            updated: now.as_second(),
        },
        ..old
    };
    let body = access.cloud.keyvault.change(|state| {
        let key = state.key_mut(access.cloud, &access.key, name).ok_or_else(missing)?;
        add_version(key, id.clone(), version, None);
        let (id, version) = key.version("").ok_or_else(missing)?;
        Ok::<_, Response>(key_bundle(access, key, id, version))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(body)), &assignment)
        .operation("keyvault.keys.rotate"))
}

fn after(now: Timestamp, span: Span) -> Option<i64> {
    now.to_zoned(TimeZone::UTC).checked_add(span).ok().map(|then| then.timestamp().as_second())
}

/// Random bytes for the wrapping key of a release.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Response> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| internal(std::io::Error::other("no randomness")))?;
    Ok(bytes)
}

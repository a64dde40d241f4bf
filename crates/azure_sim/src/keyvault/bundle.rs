//! The JSON of keys and secrets (azure.md C.2, C.6), as recorded.

use serde_json::{Map, Value, json};

use super::access::Access;
use super::hsm::PublicKey;
use super::state::{
    Attributes, KeyObject, KeyVersion, Phase, SecretObject, SecretVersion, StoredPolicy,
};
use crate::core::encoding::b64url;

/// `https://VAULT/keys/NAME/VERSION`.
pub(super) fn kid(access: &Access<'_>, key: &KeyObject, version: &str) -> String {
    format!("{}/keys/{}/{version}", access.base(), key.name)
}

/// The answer to create, import, get, update, rotate and recover.
pub(super) fn key_bundle(
    access: &Access<'_>,
    key: &KeyObject,
    id: &str,
    version: &KeyVersion,
) -> Map<String, Value> {
    let mut bundle = Map::new();
    bundle.insert("key".to_owned(), Value::Object(jwk(access, key, id, version)));
    bundle.insert("attributes".to_owned(), key_attributes(access, version));
    if let Some(policy) = &key.release_policy {
        bundle.insert("release_policy".to_owned(), policy_json(policy));
    }
    if !version.tags.is_empty() {
        bundle.insert("tags".to_owned(), json!(version.tags));
    }
    bundle
}

/// The public half as a JWK.
pub(super) fn jwk(
    access: &Access<'_>,
    key: &KeyObject,
    id: &str,
    version: &KeyVersion,
) -> Map<String, Value> {
    let mut jwk = Map::new();
    jwk.insert("kid".to_owned(), json!(kid(access, key, id)));
    jwk.insert("kty".to_owned(), json!(version.kty));
    jwk.insert("key_ops".to_owned(), json!(version.operations));
    match &version.public {
        PublicKey::Rsa { n, e } => {
            // azure.md §0, surprise 9: an exportable RSA-HSM key shows its exponent in four bytes.
            let exponent = if version.exportable {
                let mut padded = vec![0; 4_usize.saturating_sub(e.len())];
                padded.extend(e);
                padded
            } else {
                e.clone()
            };
            jwk.insert("n".to_owned(), json!(b64url(n)));
            jwk.insert("e".to_owned(), json!(b64url(exponent)));
        }
        PublicKey::Ec { curve, x, y } => {
            jwk.insert("crv".to_owned(), json!(curve));
            jwk.insert("x".to_owned(), json!(b64url(x)));
            jwk.insert("y".to_owned(), json!(b64url(y)));
        }
    }
    jwk
}

/// `attributes` of a key.
pub(super) fn key_attributes(access: &Access<'_>, version: &KeyVersion) -> Value {
    let mut attributes = attributes(access, &version.attributes);
    if version.exportable {
        attributes.insert("exportable".to_owned(), json!(true));
    }
    Value::Object(attributes)
}

/// `release_policy` of a key.
pub(super) fn policy_json(policy: &StoredPolicy) -> Value {
    json!({"contentType": policy.content_type, "data": policy.data, "immutable": policy.immutable})
}

/// An entry of a list of keys; without version in the list of a vault's keys.
pub(super) fn key_item(
    access: &Access<'_>,
    key: &KeyObject,
    id: Option<&str>,
    version: &KeyVersion,
) -> Map<String, Value> {
    let kid = match id {
        Some(id) => kid(access, key, id),
        None => format!("{}/keys/{}", access.base(), key.name),
    };
    let mut item = Map::new();
    item.insert("kid".to_owned(), json!(kid));
    item.insert("attributes".to_owned(), key_attributes(access, version));
    if !version.tags.is_empty() {
        item.insert("tags".to_owned(), json!(version.tags));
    }
    item
}

/// Whether a secret's answer carries its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reveal {
    /// Set and get.
    Value,
    /// Everything else.
    Metadata,
}

/// The answer to set, get, update and recover of a secret.
pub(super) fn secret_bundle(
    access: &Access<'_>,
    secret: &SecretObject,
    id: &str,
    version: &SecretVersion,
    reveal: Reveal,
) -> Map<String, Value> {
    let mut bundle = secret_item(access, secret, Some(id), version);
    if reveal == Reveal::Value {
        bundle.insert("value".to_owned(), json!(version.value));
    }
    bundle
}

/// An entry of a list of secrets.
pub(super) fn secret_item(
    access: &Access<'_>,
    secret: &SecretObject,
    id: Option<&str>,
    version: &SecretVersion,
) -> Map<String, Value> {
    let mut item = Map::new();
    let address = format!("{}/secrets/{}", access.base(), secret.name);
    item.insert(
        "id".to_owned(),
        json!(id.map_or_else(|| address.clone(), |id| format!("{address}/{id}"))),
    );
    item.insert("attributes".to_owned(), Value::Object(attributes(access, &version.attributes)));
    if let Some(media_type) = &version.content_type {
        item.insert("contentType".to_owned(), json!(media_type));
    }
    if !version.tags.is_empty() {
        item.insert("tags".to_owned(), json!(version.tags));
    }
    item
}

/// Adds what a deleted object's answer says beside the bundle (azure.md C.6).
pub(super) fn deleted(
    access: &Access<'_>,
    mut bundle: Map<String, Value>,
    kind: &str,
    name: &str,
    phase: &Phase,
) -> Value {
    if let Phase::Deleted { at, purge } = phase {
        bundle.insert(
            "recoveryId".to_owned(),
            json!(format!("{}/deleted{kind}/{name}", access.base())),
        );
        bundle.insert("deletedDate".to_owned(), json!(at.as_second()));
        bundle.insert("scheduledPurgeDate".to_owned(), json!(purge));
    }
    Value::Object(bundle)
}

fn attributes(access: &Access<'_>, attributes: &Attributes) -> Map<String, Value> {
    let mut json = Map::new();
    json.insert("enabled".to_owned(), json!(attributes.enabled));
    if let Some(nbf) = attributes.nbf {
        json.insert("nbf".to_owned(), json!(nbf));
    }
    if let Some(exp) = attributes.exp {
        json.insert("exp".to_owned(), json!(exp));
    }
    json.insert("created".to_owned(), json!(attributes.created));
    json.insert("updated".to_owned(), json!(attributes.updated));
    json.insert("recoveryLevel".to_owned(), json!(recovery_level(access)));
    json.insert("recoverableDays".to_owned(), json!(access.vault.retention_days));
    json
}

/// azure.md C.6.
fn recovery_level(access: &Access<'_>) -> String {
    let customized = if access.vault.retention_days < 90 { "Customized" } else { "" };
    let purgeable = if access.vault.purge_protection { "" } else { "+Purgeable" };
    format!("{customized}Recoverable{purgeable}")
}

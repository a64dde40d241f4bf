//! Backup and restore (azure.md C.2, C.6): an opaque blob that only this cloud opens.
//!
//! The prefix is as recorded (`KUF6dXJl…`); what follows is ours: all versions, private halves included, sealed with AES-256-GCM under a key
//! in `DIR/hsm/`.

use std::collections::BTreeMap;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::{Access, granted};
use super::bundle::{Reveal, key_bundle, secret_bundle};
use super::create::internal;
use super::errors::{Thing, bad, refusal};
use super::hsm::{self, KeyPair};
use super::lifecycle::random;
use super::state::{KeyObject, Phase, SecretObject, Standing};
use crate::core::encoding::{b64url, from_b64url};
use crate::core::store::write_atomically;
use crate::core::{Cloud, Response};

#[derive(Serialize, Deserialize)]
struct KeyBackup {
    key: KeyObject,
    /// PKCS#8 in base64url, by version.
    private: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawRestore {
    value: String,
}

/// `POST /keys/{n}/backup`.
pub(super) fn backup_key(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/backup/action", Some(&format!("keys/{name}")))?;
    let key =
        access.cloud.keyvault.read(|state| state.key(access.cloud, &access.key, name).cloned());
    let key = key.ok_or_else(|| Thing::Key.not_found(name))?;
    let private = key
        .versions
        .keys()
        .map(|version| Ok((version.clone(), b64url(hsm::read(access.cloud, version)?))))
        .collect::<io::Result<_>>()
        .map_err(internal)?;
    let blob = seal(access.cloud, KEY, &KeyBackup { key, private })?;
    Ok(granted(Response::json(StatusCode::OK, &json!({"value": blob})), &assignment)
        .operation("keyvault.keys.backup"))
}

/// `POST /keys/restore`: all versions under their old name and ids.
pub(super) fn restore_key(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("keys/restore/action", None)?;
    let KeyBackup { mut key, private } = open(access, KEY)?;
    key.phase = Phase::Active;
    for (id, version) in &key.versions {
        let pkcs8 = private.get(id).and_then(from_b64url).ok_or_else(malformed)?;
        let pair = KeyPair::parse(&pkcs8, &version.public).map_err(|_| malformed())?;
        pair.keep(access.cloud, id).map_err(internal)?;
    }
    let bundle = access.cloud.keyvault.change(|state| {
        let keys = &mut state.vault(&access.key).keys;
        let slot = key.name.to_ascii_uppercase();
        let standing = keys.get(&slot).map(|old| old.phase.standing(access.cloud));
        free(standing, Thing::Key, &key.name)?;
        keys.insert(slot, key.clone());
        let (id, version) = key.version("").ok_or_else(malformed)?;
        Ok::<_, Response>(key_bundle(access, &key, id, version))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(bundle)), &assignment)
        .operation("keyvault.keys.restore"))
}

/// `POST /secrets/{n}/backup`.
pub(super) fn backup_secret(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/backup/action", Some(&format!("secrets/{name}")))?;
    let secret =
        access.cloud.keyvault.read(|state| state.secret(access.cloud, &access.key, name).cloned());
    let blob = seal(access.cloud, SECRET, &secret.ok_or_else(|| Thing::Secret.not_found(name))?)?;
    Ok(granted(Response::json(StatusCode::OK, &json!({"value": blob})), &assignment)
        .operation("keyvault.secrets.backup"))
}

/// `POST /secrets/restore`.
pub(super) fn restore_secret(access: &Access<'_>) -> Result<Response, Response> {
    let assignment = access.authorize("secrets/restore/action", None)?;
    let mut secret: SecretObject = open(access, SECRET)?;
    secret.phase = Phase::Active;
    let bundle = access.cloud.keyvault.change(|state| {
        let secrets = &mut state.vault(&access.key).secrets;
        let slot = secret.name.to_ascii_uppercase();
        let standing = secrets.get(&slot).map(|old| old.phase.standing(access.cloud));
        free(standing, Thing::Secret, &secret.name)?;
        secrets.insert(slot, secret.clone());
        let (id, version) = secret.version("").ok_or_else(malformed)?;
        Ok::<_, Response>(secret_bundle(access, &secret, id, version, Reveal::Metadata))
    })?;
    Ok(granted(Response::json(StatusCode::OK, &Value::Object(bundle)), &assignment)
        .operation("keyvault.secrets.restore"))
}

/// A name that is in use cannot be restored to; the text is ours.
fn free(standing: Option<Standing>, thing: Thing, name: &str) -> Result<(), Response> {
    match standing {
        None | Some(Standing::Gone) => Ok(()),
        Some(Standing::Deleting) => Err(thing.being_deleted(name)),
        Some(Standing::Deleted) => Err(thing.deleted_but_recoverable(name)),
        Some(Standing::Active | Standing::Recovering) => {
            let message = format!(
                "There was a conflict restoring the {} {name}: the name is in use.",
                thing.word().to_lowercase()
            );
            Err(refusal(StatusCode::CONFLICT, "Conflict", &message))
        }
    }
}

/// The text is ours.
fn malformed() -> Response {
    bad("The backup blob is not one of this service.")
}

fn seal(cloud: &Cloud, kind: &str, content: &impl Serialize) -> Result<String, Response> {
    let refused = |_| internal(io::Error::other("sealing a backup"));
    let mut bytes = serde_json::to_vec(content).map_err(|error| internal(error.into()))?;
    let nonce = sealing_key(cloud)?
        .seal_in_place_append_tag(Aad::from(kind), &mut bytes)
        .map_err(refused)?;
    Ok(b64url([kind.as_bytes(), nonce.as_ref(), &bytes].concat()))
}

fn open<T: DeserializeOwned>(access: &Access<'_>, kind: &str) -> Result<T, Response> {
    let raw: RawRestore = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let bytes = from_b64url(&raw.value).ok_or_else(malformed)?;
    let sealed = bytes.strip_prefix(kind.as_bytes()).ok_or_else(malformed)?;
    let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or_else(malformed)?;
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = sealing_key(access.cloud)?
        .open_in_place(nonce, Aad::from(kind), &mut sealed)
        .map_err(|_| malformed())?;
    serde_json::from_slice(plain).map_err(|_| malformed())
}

fn sealing_key(cloud: &Cloud) -> Result<RandomizedNonceKey, Response> {
    let path = cloud.directory().join("hsm/backup.key");
    let key = match std::fs::read(&path) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random::<32>()?;
            write_atomically(&path, &key).map_err(internal)?;
            key.to_vec()
        }
        Err(error) => return Err(internal(error)),
    };
    RandomizedNonceKey::new(&AES_256_GCM, &key)
        .map_err(|_| internal(io::Error::other("reading the backup key")))
}

/// A length byte (41) and a name, as the recorded blobs begin.
const KEY: &str = ")AzureKeyVaultKeyBackup-local-cloud-v1";
const SECRET: &str = ")AzureKeyVaultSecretBackup-local-cloud-v1";

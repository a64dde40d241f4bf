//! Making keys: create and import (azure.md C.2, C.5).

use std::collections::BTreeMap;
use std::io;

use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::access::{Access, granted};
use super::bundle::key_bundle;
use super::errors::{Thing, bad, refusal};
use super::hsm::{Curve, KeyPair, KeyType, PublicKey, Shape};
use super::state::{Attributes, KeyObject, KeyVersion, Phase, StoredPolicy};
use crate::core::Response;
use crate::core::encoding::from_b64url;

/// Body of `POST /keys/{n}/create`. Unknown members are passed over, as the service does.
#[derive(Deserialize)]
struct RawCreate {
    kty: String,
    key_size: Option<u32>,
    crv: Option<String>,
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    attributes: RawAttributes,
    tags: Option<BTreeMap<String, String>>,
    release_policy: Option<RawReleasePolicy>,
}

/// Body of `PUT /keys/{n}`.
#[derive(Deserialize)]
struct RawImport {
    key: RawJwk,
    #[serde(rename = "Hsm", alias = "hsm")]
    hsm: Option<bool>,
    #[serde(default)]
    attributes: RawAttributes,
    tags: Option<BTreeMap<String, String>>,
    release_policy: Option<RawReleasePolicy>,
}

#[derive(Deserialize)]
struct RawJwk {
    kty: String,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

/// Attributes that a caller may set.
#[derive(Clone, Default, Deserialize)]
pub(super) struct RawAttributes {
    pub(super) enabled: Option<bool>,
    pub(super) nbf: Option<i64>,
    pub(super) exp: Option<i64>,
    pub(super) exportable: Option<bool>,
}

#[derive(Clone, Deserialize)]
pub(super) struct RawReleasePolicy {
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    data: Option<String>,
    immutable: Option<bool>,
}

impl RawReleasePolicy {
    /// As the vault stores it: parsed and written again (azure.md §0, surprise 8). The texts are ours.
    pub(super) fn store(&self) -> Result<StoredPolicy, Response> {
        let data = self
            .data
            .as_deref()
            .ok_or_else(|| bad("AKV.SKR.1002: The release policy has no data."))?;
        let policy = maa::release::ReleasePolicy::from_data(data).map_err(|error| {
            bad(&format!("AKV.SKR.1002: The release policy is not valid: {error}"))
        })?;
        Ok(StoredPolicy {
            content_type: self
                .content_type
                .clone()
                .unwrap_or_else(|| "application/json; charset=utf-8".to_owned()),
            data: policy.to_data(),
            immutable: self.immutable.unwrap_or(false),
        })
    }
}

/// `POST /keys/{n}/create`: the first version of a name, or another one.
pub(super) fn create(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/create/action", Some(&format!("keys/{name}")))?;
    check_name(name)?;
    let raw: RawCreate = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let kty = key_type(&raw.kty)?;
    let shape = match kty {
        KeyType::Rsa | KeyType::RsaHsm => Shape::Rsa(match raw.key_size {
            None | Some(2048) => KeySize::Rsa2048,
            Some(3072) => KeySize::Rsa3072,
            Some(4096) => KeySize::Rsa4096,
            Some(other) => {
                return Err(bad(&format!(
                    "The key size {other} is not supported for RSA keys; use 2048, 3072 or 4096."
                )));
            }
        }),
        KeyType::Ec | KeyType::EcHsm => Shape::Ec(curve(raw.crv.as_deref())?),
    };
    let wanted = Wanted {
        kty,
        operations: raw.key_ops,
        attributes: raw.attributes,
        tags: raw.tags,
        release_policy: raw.release_policy,
    };
    let response = put(access, name, wanted, || KeyPair::generate(shape).map_err(internal))?;
    Ok(granted(response, &assignment).operation("keyvault.keys.create"))
}

/// `PUT /keys/{n}`: a key from outside; an HSM key unless `Hsm` is false. Imported keys show no sign of it, as the real ones do not.
pub(super) fn import(access: &Access<'_>, name: &str) -> Result<Response, Response> {
    let assignment = access.authorize("keys/import/action", Some(&format!("keys/{name}")))?;
    check_name(name)?;
    let raw: RawImport = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let jwk = raw.key;
    let kty = match (key_type(&jwk.kty)?, raw.hsm) {
        (KeyType::Ec, Some(true)) => KeyType::EcHsm,
        (KeyType::Rsa, Some(true)) => KeyType::RsaHsm,
        (kty, _) => kty,
    };
    let pair = match kty {
        KeyType::Ec | KeyType::EcHsm => {
            let curve = curve(jwk.crv.as_deref())?;
            let (d, x, y) = (member(&jwk.d)?, member(&jwk.x)?, member(&jwk.y)?);
            let point = [&[4][..], &widen(&x, curve), &widen(&y, curve)].concat();
            KeyPair::from_ec(curve, &widen(&d, curve), &point)
        }
        KeyType::Rsa | KeyType::RsaHsm => {
            let parts = [
                member(&jwk.n)?,
                member(&jwk.e)?,
                member(&jwk.d)?,
                member(&jwk.p)?,
                member(&jwk.q)?,
                member(&jwk.dp)?,
                member(&jwk.dq)?,
                member(&jwk.qi)?,
            ];
            let [n, e, d, p, q, dp, dq, qi] = &parts;
            KeyPair::from_rsa(&KeyPairComponents {
                public_key: PublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
                d: d.as_slice(),
                p: p.as_slice(),
                q: q.as_slice(),
                dP: dp.as_slice(),
                dQ: dq.as_slice(),
                qInv: qi.as_slice(),
            })
        }
    };
    // The text is ours.
    let pair = pair.ok_or_else(|| bad("The parts of the key do not belong together."))?;
    let wanted = Wanted {
        kty,
        operations: jwk.key_ops,
        attributes: raw.attributes,
        tags: raw.tags,
        release_policy: raw.release_policy,
    };
    let response = put(access, name, wanted, || Ok(pair))?;
    Ok(granted(response, &assignment).operation("keyvault.keys.import"))
}

struct Wanted {
    kty: KeyType,
    operations: Option<Vec<String>>,
    attributes: RawAttributes,
    tags: Option<BTreeMap<String, String>>,
    release_policy: Option<RawReleasePolicy>,
}

/// The rules of keys that leave the vault (azure.md C.5), in this order: 1001, 1006, 1004, 1005, then against what exists: 1003, 1020.
fn put(
    access: &Access<'_>,
    name: &str,
    wanted: Wanted,
    pair: impl FnOnce() -> Result<KeyPair, Response>,
) -> Result<Response, Response> {
    let exportable = wanted.attributes.exportable.unwrap_or(false);
    if wanted.kty.hsm() && !access.vault.premium {
        // The text is ours.
        return Err(bad(&format!(
            "The vault {} is of SKU standard; HSM-protected keys need a premium vault.",
            access.vault.name
        )));
    }
    if exportable && (!access.vault.premium || !access.version.has_release()) {
        return Err(bad(
            "AKV.SKR.1001: The exportable attribute can only be used with premium vaults and API version '7.3-preview' or later.",
        ));
    }
    if exportable && !wanted.kty.hsm() {
        return Err(bad(
            "AKV.SKR.1006: Exportable software keys are not supported. Use RSA-HSM or EC-HSM.",
        ));
    }
    if exportable && wanted.release_policy.is_none() {
        return Err(bad("AKV.SKR.1004: Exportable keys must have release policy."));
    }
    if !exportable && wanted.release_policy.is_some() {
        return Err(bad("AKV.SKR.1005: Non-exportable keys must not have release policy."));
    }
    let policy = wanted.release_policy.as_ref().map(RawReleasePolicy::store).transpose()?;
    let operations = operations(wanted.kty, wanted.operations)?;
    // Looked at before the slow making of a key, and again when it is written.
    access.cloud.keyvault.read(|state| {
        let key = state
            .vaults
            .get(&access.key)
            .and_then(|vault| vault.keys.get(&name.to_ascii_uppercase()));
        key.map_or(Ok(()), |key| fits(access, key, name, exportable, policy.as_ref()))
    })?;
    let pair = pair()?;
    let public = pair.public().ok_or_else(|| internal(io::Error::other("reading a public key")))?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    pair.keep(access.cloud, &id).map_err(internal)?;
    let now = access.now();
    let version = KeyVersion {
        kty: wanted.kty,
        public,
        operations,
        attributes: Attributes {
            enabled: wanted.attributes.enabled.unwrap_or(true),
            nbf: wanted.attributes.nbf,
            exp: wanted.attributes.exp,
            created: now,
            updated: now,
        },
        exportable,
        tags: wanted.tags.unwrap_or_default(),
    };
    let bundle = access.cloud.keyvault.change(|state| {
        let keys = &mut state.vault(&access.key).keys;
        let slot = name.to_ascii_uppercase();
        if let Some(key) = keys.get(&slot) {
            fits(access, key, name, exportable, policy.as_ref())?;
            if key.phase.standing(access.cloud) == super::state::Standing::Gone {
                keys.remove(&slot);
            }
        }
        let key = keys.entry(slot).or_insert_with(|| KeyObject {
            name: name.to_owned(),
            latest: String::new(),
            versions: BTreeMap::new(),
            release_policy: None,
            rotation_policy: None,
            phase: Phase::Active,
        });
        add_version(key, id.clone(), version, policy);
        let (id, version) = key.version("").ok_or_else(|| Thing::Key.not_found(name))?;
        Ok::<_, Response>(key_bundle(access, key, id, version))
    })?;
    Ok(Response::json(StatusCode::OK, &Value::Object(bundle)))
}

/// Makes it the latest version.
pub(super) fn add_version(
    key: &mut KeyObject,
    id: String,
    version: KeyVersion,
    policy: Option<StoredPolicy>,
) {
    key.phase = Phase::Active;
    key.latest.clone_from(&id);
    key.versions.insert(id, version);
    if let Some(policy) = policy {
        let immutable =
            policy.immutable || key.release_policy.as_ref().is_some_and(|old| old.immutable);
        key.release_policy = Some(StoredPolicy { immutable, ..policy });
    }
}

/// May a version of this kind be added to the key of that name?
fn fits(
    access: &Access<'_>,
    key: &KeyObject,
    name: &str,
    exportable: bool,
    policy: Option<&StoredPolicy>,
) -> Result<(), Response> {
    key.phase.writable(access.cloud, Thing::Key, name)?;
    if key.phase.standing(access.cloud) == super::state::Standing::Gone {
        return Ok(());
    }
    if key.version("").is_some_and(|(_, latest)| latest.exportable != exportable) {
        return Err(bad(
            "AKV.SKR.1003: The exportable attribute of an existing key cannot be changed.",
        ));
    }
    may_replace_policy(key, policy)
}

/// An immutable policy cannot be replaced by another one; the same one again is no change (azure.md C.5, 1020).
pub(super) fn may_replace_policy(
    key: &KeyObject,
    policy: Option<&StoredPolicy>,
) -> Result<(), Response> {
    match (&key.release_policy, policy) {
        (Some(old), Some(new)) if old.immutable && !same(old, new) => {
            Err(bad("AKV.SKR.1020: The release policy is immutable and cannot be modified."))
        }
        _ => Ok(()),
    }
}

fn same(old: &StoredPolicy, new: &StoredPolicy) -> bool {
    use maa::release::ReleasePolicy;
    match (ReleasePolicy::from_data(&old.data), ReleasePolicy::from_data(&new.data)) {
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    }
}

/// azure.md C.2; the text is ours.
pub(super) fn check_name(name: &str) -> Result<(), Response> {
    let fine = !name.is_empty()
        && name.len() <= 127
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fine {
        Ok(())
    } else {
        Err(bad(&format!("The request URI contains an invalid name: {name}")))
    }
}

fn key_type(kty: &str) -> Result<KeyType, Response> {
    match kty {
        "EC" => Ok(KeyType::Ec),
        "EC-HSM" => Ok(KeyType::EcHsm),
        "RSA" => Ok(KeyType::Rsa),
        "RSA-HSM" => Ok(KeyType::RsaHsm),
        // Symmetric keys are for managed HSMs only; the text is ours.
        other => Err(bad(&format!(
            "Key type {other} is not supported by this vault; use EC, EC-HSM, RSA or RSA-HSM."
        ))),
    }
}

fn curve(name: Option<&str>) -> Result<Curve, Response> {
    match name {
        None | Some("P-256") => Ok(Curve::P256),
        Some("P-384") => Ok(Curve::P384),
        Some("P-521") => Ok(Curve::P521),
        Some("P-256K" | "SECP256K1") => Ok(Curve::P256k),
        Some(other) => {
            Err(bad(&format!("Curve {other} is not supported; use P-256, P-384, P-521 or P-256K.")))
        }
    }
}

/// `key_ops`: those of the type if none are given. That an EC key can neither encrypt nor wrap is the service's; the texts are ours.
pub(super) fn operations(
    kty: KeyType,
    wanted: Option<Vec<String>>,
) -> Result<Vec<String>, Response> {
    let known: &[&str] = match kty {
        KeyType::Rsa | KeyType::RsaHsm => {
            &["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]
        }
        KeyType::Ec | KeyType::EcHsm => &["sign", "verify"],
    };
    let Some(wanted) = wanted else { return Ok(known.iter().map(|&one| one.to_owned()).collect()) };
    match wanted
        .iter()
        .find(|one| !known.contains(&one.as_str()) && !["import", "export"].contains(&one.as_str()))
    {
        Some(other) => {
            Err(bad(&format!("Key operation {other} is not supported for keys of this type.")))
        }
        None => Ok(wanted),
    }
}

fn member(text: &Option<String>) -> Result<Vec<u8>, Response> {
    text.as_deref()
        .and_then(from_b64url)
        .ok_or_else(|| bad("A member of the key is missing or not base64url."))
}

/// A coordinate or scalar in full width.
fn widen(bytes: &[u8], curve: Curve) -> Vec<u8> {
    let mut wide = vec![0; curve.width().saturating_sub(bytes.len())];
    wide.extend(bytes);
    wide
}

/// 500; ours.
pub(super) fn internal(error: io::Error) -> Response {
    tracing::error!(%error, "simulated HSM");
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "the simulated HSM cannot do this",
    )
}

/// What a further version of a key is made with.
pub(super) fn shape_of(public: &PublicKey) -> Shape {
    match public {
        PublicKey::Rsa { n, .. } => Shape::Rsa(match n.len() {
            0..=256 => KeySize::Rsa2048,
            257..=384 => KeySize::Rsa3072,
            _ => KeySize::Rsa4096,
        }),
        PublicKey::Ec { curve, .. } => Shape::Ec(*curve),
    }
}

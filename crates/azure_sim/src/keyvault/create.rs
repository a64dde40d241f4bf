//! Making keys (azure.md C.2, C.5).

use std::collections::BTreeMap;
use std::io;

use aws_lc_rs::rsa::KeySize;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::access::{Access, granted};
use super::bundle::key_bundle;
use super::errors::{Thing, bad, refusal};
use super::hsm::{self, KeyPair, KeyType, PublicKey, Shape};
use super::rules::{check_name, curve, fits, key_type, operations};
use super::state::{Attributes, KeyObject, KeyVersion, Phase, Standing, StoredPolicy};
use crate::core::Response;

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

/// A key that is to be.
pub(super) struct Wanted {
    pub(super) kty: KeyType,
    pub(super) operations: Option<Vec<String>>,
    pub(super) attributes: RawAttributes,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) release_policy: Option<RawReleasePolicy>,
}

/// The rules of keys that leave the vault (azure.md C.5), in this order: 1001, 1006, 1004, 1005, then against what exists: 1003, 1020.
pub(super) fn put(
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
    let kept = id.clone();
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
            if key.phase.standing(access.cloud) == Standing::Gone {
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
    });
    // Refused meanwhile: the private half is of no use to anybody.
    let bundle = bundle.inspect_err(|_| hsm::discard(access.cloud, &kept))?;
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

//! What is persisted of vaults. Names compare without case but keep theirs: maps are keyed by the upper-case name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::Thing;
use super::hsm::{KeyType, PublicKey};
use crate::core::{Cloud, Response};

/// All vaults, by name in lower case. What a soft-deleted vault held stays until it is purged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeyVaultState {
    /// Vaults.
    pub vaults: BTreeMap<String, VaultState>,
}

/// One vault.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VaultState {
    /// Keys by upper-case name.
    pub keys: BTreeMap<String, KeyObject>,
    /// Secrets by upper-case name.
    pub secrets: BTreeMap<String, SecretObject>,
}

/// A key: all versions of one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyObject {
    /// Name as first given.
    pub name: String,
    /// The version that a call without one means.
    pub latest: String,
    /// Versions by id.
    pub versions: BTreeMap<String, KeyVersion>,
    /// Belongs to the name, not to a version (azure.md C.5, `AKV.SKR.1016`).
    pub release_policy: Option<StoredPolicy>,
    /// Rotation policy, as last set.
    pub rotation_policy: Option<Value>,
    /// Where it is in its life.
    pub phase: Phase,
}

/// A release policy as stored: re-serialised (azure.md §0, surprise 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// Media type.
    pub content_type: String,
    /// base64url of the JSON.
    pub data: String,
    /// Once true it stays, and the data with it.
    pub immutable: bool,
}

/// One version of a key; its private half is in the simulated HSM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyVersion {
    /// `kty`.
    pub kty: KeyType,
    /// Public half.
    pub public: PublicKey,
    /// `key_ops`.
    pub operations: Vec<String>,
    /// Attributes.
    pub attributes: Attributes,
    /// May leave the vault.
    pub exportable: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A secret: all versions of one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretObject {
    /// Name as first given.
    pub name: String,
    /// The version that a call without one means.
    pub latest: String,
    /// Versions by id.
    pub versions: BTreeMap<String, SecretVersion>,
    /// Where it is in its life.
    pub phase: Phase,
}

/// One version of a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretVersion {
    /// The value.
    pub value: String,
    /// `contentType`.
    pub content_type: Option<String>,
    /// Attributes.
    pub attributes: Attributes,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What keys and secrets have in common. Times are seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attributes {
    /// Usable.
    pub enabled: bool,
    /// Not before.
    pub nbf: Option<i64>,
    /// Expires.
    pub exp: Option<i64>,
    /// Made.
    pub created: i64,
    /// Last changed.
    pub updated: i64,
}

/// Soft delete (azure.md C.6, §0 surprise 10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In use.
    Active,
    /// Being deleted at first, then deleted, until purged.
    Deleted {
        /// When the call came.
        at: Timestamp,
        /// When it is purged of itself, seconds.
        purge: i64,
    },
    /// Being recovered at first, then active.
    Recovered {
        /// When the call came.
        at: Timestamp,
    },
}

/// The phase as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    Deleting,
    Deleted,
    Recovering,
    /// Its retention has ended.
    Gone,
}

impl Phase {
    pub(super) fn standing(&self, cloud: &Cloud) -> Standing {
        let now = cloud.now();
        let young = |at: Timestamp| {
            let age = now.duration_since(at);
            age.unsigned_abs() < cloud.settings.deleting
        };
        match self {
            Self::Active => Standing::Active,
            Self::Deleted { at, .. } if young(*at) => Standing::Deleting,
            Self::Deleted { purge, .. } if now.as_second() >= *purge => Standing::Gone,
            Self::Deleted { .. } => Standing::Deleted,
            Self::Recovered { at } if young(*at) => Standing::Recovering,
            Self::Recovered { .. } => Standing::Active,
        }
    }

    /// The answer to a call that would make or change an object of that name, if it is not in use.
    pub(super) fn writable(&self, cloud: &Cloud, thing: Thing, name: &str) -> Result<(), Response> {
        match self.standing(cloud) {
            Standing::Active | Standing::Gone => Ok(()),
            Standing::Deleting => Err(thing.being_deleted(name)),
            Standing::Deleted => Err(thing.deleted_but_recoverable(name)),
            Standing::Recovering => Err(thing.being_recovered(name)),
        }
    }
}

impl KeyVaultState {
    /// The state of a vault, made at first use.
    pub(super) fn vault(&mut self, name: &str) -> &mut VaultState {
        self.vaults.entry(name.to_owned()).or_default()
    }

    /// A key that can be used, by name without case.
    pub(super) fn key(&self, cloud: &Cloud, vault: &str, name: &str) -> Option<&KeyObject> {
        self.vaults
            .get(vault)?
            .keys
            .get(&name.to_ascii_uppercase())
            .filter(|key| key.phase.standing(cloud) == Standing::Active)
    }

    /// The same for changing it.
    pub(super) fn key_mut(
        &mut self,
        cloud: &Cloud,
        vault: &str,
        name: &str,
    ) -> Option<&mut KeyObject> {
        self.vault(vault)
            .keys
            .get_mut(&name.to_ascii_uppercase())
            .filter(|key| key.phase.standing(cloud) == Standing::Active)
    }

    /// A secret that can be used.
    pub(super) fn secret(&self, cloud: &Cloud, vault: &str, name: &str) -> Option<&SecretObject> {
        self.vaults
            .get(vault)?
            .secrets
            .get(&name.to_ascii_uppercase())
            .filter(|secret| secret.phase.standing(cloud) == Standing::Active)
    }

    /// The same for changing it.
    pub(super) fn secret_mut(
        &mut self,
        cloud: &Cloud,
        vault: &str,
        name: &str,
    ) -> Option<&mut SecretObject> {
        self.vault(vault)
            .secrets
            .get_mut(&name.to_ascii_uppercase())
            .filter(|secret| secret.phase.standing(cloud) == Standing::Active)
    }
}

impl KeyObject {
    /// That version, or the latest if none is named, with its id.
    pub(super) fn version(&self, version: &str) -> Option<(&str, &KeyVersion)> {
        let wanted = if version.is_empty() { &self.latest } else { version };
        self.versions.get_key_value(wanted).map(|(id, version)| (id.as_str(), version))
    }
}

impl SecretObject {
    /// That version, or the latest if none is named, with its id.
    pub(super) fn version(&self, version: &str) -> Option<(&str, &SecretVersion)> {
        let wanted = if version.is_empty() { &self.latest } else { version };
        self.versions.get_key_value(wanted).map(|(id, version)| (id.as_str(), version))
    }
}

//! What is known of a secret beside its values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{CommitError, Store, Transaction, Value};

use super::{ATTEMPTS, KvError, meta_key, stored, value_of};
use crate::audit::Draft;
use crate::grant::MayWrite;

/// The metadata of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    format: u8,
    /// The newest version; 0 before the first.
    pub current_version: u64,
    /// How many versions are kept; 0 for the default.
    pub max_versions: u64,
    /// Whether a writer must say which version it knows.
    pub cas_required: bool,
    /// Whatever operators note.
    pub custom_metadata: BTreeMap<String, String>,
    /// When the first of it was written.
    pub created: Timestamp,
    /// When the last of it was written.
    pub updated: Timestamp,
    /// The kept versions.
    pub versions: BTreeMap<u64, VersionState>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionState {
    /// When it was written.
    pub created: Timestamp,
    /// When it was deleted, if it is; it can be undeleted.
    pub deleted: Option<Timestamp>,
    /// Whether its value is gone for ever.
    pub destroyed: bool,
}

impl Metadata {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            format: 1,
            current_version: 0,
            max_versions: 0,
            cas_required: false,
            custom_metadata: BTreeMap::new(),
            created: now,
            updated: now,
            versions: BTreeMap::new(),
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KvError> {
        let metadata: Self = serde_json::from_slice(bytes).map_err(|_| KvError::Damaged)?;
        if metadata.format == 1 { Ok(metadata) } else { Err(KvError::Damaged) }
    }

    pub(super) fn to_value(&self) -> Result<Value, KvError> {
        value_of(serde_json::to_vec(self).map_err(|_| KvError::Damaged)?)
    }

    /// How many versions are kept.
    #[must_use]
    pub const fn kept(&self) -> u64 {
        if self.max_versions == 0 { MAX_VERSIONS } else { self.max_versions }
    }

    /// The oldest kept version; 0 before the first.
    #[must_use]
    pub fn oldest_version(&self) -> u64 {
        self.versions.keys().next().copied().unwrap_or(0)
    }
}

impl VersionState {
    /// Whether there is a value to be read.
    #[must_use]
    pub const fn readable(&self) -> bool {
        self.deleted.is_none() && !self.destroyed
    }
}

/// What an operator may set; what is absent stays as it is.
#[derive(Debug, Default)]
pub struct Settings {
    /// How many versions are kept.
    pub max_versions: Option<u64>,
    /// Whether a writer must say which version it knows.
    pub cas_required: Option<bool>,
    /// Whatever operators note; replaced as a whole.
    pub custom_metadata: Option<BTreeMap<String, String>>,
}

/// Sets what is known of a secret, which need not have a value yet.
///
/// # Errors
/// Beyond a bound, or not durable.
pub async fn set_metadata(
    store: &Store,
    permitted: &MayWrite,
    settings: &Settings,
    draft: &Draft,
) -> Result<(), KvError> {
    let now = draft.time();
    if settings.max_versions.is_some_and(|most| most > MOST_VERSIONS) {
        return Err(KvError::Malformed("max_versions is at most 1000"));
    }
    let notes = settings.custom_metadata.iter().flatten();
    if settings.custom_metadata.as_ref().is_some_and(|notes| notes.len() > 64)
        || notes.clone().any(|(key, value)| key.is_empty() || key.len() > 128 || value.len() > 512)
    {
        return Err(KvError::Malformed(
            "custom_metadata has at most 64 keys of 128 bytes with values of 512 bytes",
        ));
    }
    for _ in 0..ATTEMPTS {
        let transaction = Transaction::new(now);
        let key = meta_key(permitted.path())?;
        let (mut metadata, transaction) = match stored(store, permitted.path())? {
            None => (Metadata::new(now), transaction.require_absent(key.clone())),
            Some((metadata, entry)) => (metadata, transaction.require(key.clone(), entry.version)),
        };
        if let Some(most) = settings.max_versions {
            metadata.max_versions = most;
        }
        if let Some(required) = settings.cas_required {
            metadata.cas_required = required;
        }
        if let Some(notes) = &settings.custom_metadata {
            metadata.custom_metadata.clone_from(notes);
        }
        metadata.updated = now;
        let transaction = transaction.put(key, metadata.to_value()?).audit(draft.granted()?);
        match store.commit(transaction).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(KvError::Busy)
}

/// As Vault.
const MAX_VERSIONS: u64 = 10;
const MOST_VERSIONS: u64 = 1000;
